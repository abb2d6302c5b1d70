"""What is answered instead of an answer: every error of a request as JSON in one shape.

In: errors of the service, of FastAPI and of Starlette. Out: `{"error": {"code", "message", "expected", "got", "setting"}}`, counted by code. A
request that cannot be read is told by what it was to be: a question, a watch, or neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from stream.camera.errors import QuestionError
from stream.errors import ServiceError
from stream.serve.errors import RequestError, WatchError
from stream.serve.wire import AskRequest
from stream.watch.settings import WatchSettings

ERRORS: Mapping[object, type[ServiceError]] = {AskRequest: QuestionError, WatchSettings: WatchError}
"""By what a body was to be."""
LONGEST_QUOTE = 100
MOST_PROBLEMS = 20
"""Of one request, that are told."""


def answer_refusals(app: FastAPI, refused: Counter[str]) -> None:
    """`refused` counts them by code."""

    async def of_service(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ServiceError)
        refused[error.code] += 1
        return refusal(error)

    async def of_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return await of_service(request, _unreadable(request, error.errors()))

    async def of_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        wanted = f"{request.method[:LONGEST_QUOTE]} {request.url.path[:LONGEST_QUOTE]}"
        body = {"error": {"code": "http", "message": f"{wanted}: {error.detail}"}}
        return JSONResponse(body, error.status_code, error.headers)

    async def of_ourselves(request: Request, error: Exception) -> JSONResponse:
        """Starlette raises it again for the log."""
        return await of_service(request, ServiceError("something went wrong inside the service; its log says what"))

    async def of_client(request: Request, error: Exception) -> Response:
        """Nobody is left to read an answer."""
        return Response(status_code=204)

    app.add_exception_handler(ServiceError, of_service)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(ClientDisconnect, of_client)
    app.add_exception_handler(Exception, of_ourselves)


def refusal(error: ServiceError) -> JSONResponse:
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else None
    return JSONResponse(error.body(), error.status, headers)


def _unreadable(request: Request, problems: Sequence[Any]) -> ServiceError:
    told = "; ".join(f"{_place(item['loc'])}: {item['msg'][:LONGEST_QUOTE]}" for item in problems[:MOST_PROBLEMS])
    field = getattr(request.scope.get("route"), "body_field", None)
    wanted = field.field_info.annotation if field is not None else None
    if wanted is None or any(item["loc"][0] != "body" for item in problems):
        return RequestError(told, expected="a request as /openapi.json has it", got=_quoted(problems[0]["input"]))
    known = ", ".join(wanted.model_fields)
    return ERRORS.get(wanted, RequestError)(told, expected=f"a JSON object with {known}", got=_quoted(problems[0]["input"]))


def _place(loc: tuple[Any, ...]) -> str:
    """Of a problem: the name of what is wrong, not where in the request it stands."""
    return ".".join(str(part)[:LONGEST_QUOTE] for part in loc[1:]) or str(loc[0])


def _quoted(value: object) -> str:
    """A value that is short enough to be shown, else the name of its type."""
    match value:
        case None:
            return "nothing"
        case str():
            return value[:LONGEST_QUOTE]
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)[:LONGEST_QUOTE]
        case _:
            return f"a {type(value).__name__}"
