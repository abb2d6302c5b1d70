"""Bodies in JSON, read strictly and no further than their bound.

In: a request. Out: the same with its body parsed, or `LargeBodyError`, `WrongTypeError`, `JsonError`. FastAPI alone reads a body of any length,
takes the last of two equal keys, halves of surrogate pairs, numbers without end, and any type of content for bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from stream.serve.errors import JsonError, LargeBodyError, WrongTypeError

JSON = "application/json"
LONGEST_NUMBER = 400
"""Digits. Python reads up to 4,300; a float has 309 before its point."""


def json_routes(max_kb: int) -> type[APIRoute]:
    """A class of routes that read their bodies so."""

    class JsonRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()
            if self.body_field is None:
                return handle

            async def answer(request: Request) -> Response:
                body = await _body(request, max_kb << 10)
                if body:
                    _check_type(request)
                return await handle(_ReadRequest(request, body, parse_json(body) if body else None))

            return answer

    return JsonRoute


class _ReadRequest(Request):
    """A request whose body has been read."""

    def __init__(self, request: Request, body: bytes, document: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._given, self._document = body, document

    async def body(self) -> bytes:
        return self._given

    async def json(self) -> Any:
        return self._document


async def _body(request: Request, limit: int) -> bytes:
    """Refused by what its header says, or by what comes."""
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > limit:
        raise _too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> LargeBodyError:
    return LargeBodyError(
        f"expected a body of at most {limit >> 10} kB, got more; raise server.max_body_kb",
        expected=f"at most {limit} bytes",
        setting="server.max_body_kb",
    )


def _check_type(request: Request) -> None:
    got = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if got != JSON:
        raise WrongTypeError(
            f"expected Content-Type: {JSON}, got {got[:100] or 'none'}", expected=JSON, got=got[:100] or "none"
        )


def parse_json(text: bytes) -> Any:
    """JSON as RFC 8259 has it, in UTF-8, each key once. Raises `JsonError`. `NaN` and `Infinity` pass, so that they are refused by the field
    in which they stand."""
    try:
        document = json.loads(text.decode("utf-8"), object_pairs_hook=_once, parse_int=_whole)
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except JsonError:
        raise
    except UnicodeDecodeError as error:
        raise _refused(f"bytes at {error.start} that are no UTF-8") from None
    except UnicodeEncodeError:
        raise _refused("half of a surrogate pair") from None
    except json.JSONDecodeError as error:
        raise _refused(f"something else at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _refused("brackets nested too deeply") from None
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    given = dict(pairs)
    if len(given) < len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise _refused(f"the key {twice[:100]!r} twice")
    return given


def _whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise _refused(f"a number of {len(digits)} digits")
    return int(digits)


def _refused(got: str) -> JsonError:
    return JsonError(f"body: expected JSON in UTF-8, got {got}", expected="JSON in UTF-8", got=got)
