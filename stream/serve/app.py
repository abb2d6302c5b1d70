"""The HTTP routes: cameras, questions, health.

In: a running `Service`. Out: a FastAPI application. Answers stream as server-sent events (`token` ..., then one `answer`)
unless the client wants JSON. Every refusal is JSON: `{"error": {"code", "message", "expected", "got", "setting"}}`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from stream.serve import config
from stream.serve.apipage import api_page
from stream.serve.bearer import BearerGuard, is_stranger
from stream.serve.errors import QuestionError, ServeError, WatchError, no_group
from stream.serve.events import EventsRequest, FollowRequest, events_after, events_page
from stream.serve.hosts import HostGuard
from stream.serve.media_routes import media_routes
from stream.serve.question import Bridge, Finished, Piece, Question, Refused, Started
from stream.serve.service import VERSION, Service
from stream.serve.watch_routes import watch_routes
from stream.serve.wire import (
    Answer,
    AskRequest,
    CameraStatus,
    CameraTimeline,
    JournalPage,
    ServiceStatus,
    answer,
    server_sent_event,
)
from stream.watch.settings import WatchSettings
from stream.webrtc.routes import webrtc_routes


def create_app(service: Service) -> FastAPI:
    """The application over one service. It starts and stops nothing."""
    app = FastAPI(title="OV2 Live", version=VERSION, docs_url=None, redoc_url=None)
    app.add_exception_handler(ServeError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    server = service.config.server
    app.add_middleware(BearerGuard, tokens=server.tokens, refused=service.refused, open_reads=server.open_reads)
    app.add_middleware(HostGuard, hosts={*server.hosts, server.host.lower()}, refused=service.refused)
    app.include_router(webrtc_routes(service.desk))

    @app.get("/v1/cameras")
    async def cameras() -> list[CameraStatus]:
        return service.cameras()

    @app.get("/v1/cameras/{name}")
    async def camera(name: str) -> CameraStatus:
        return service.camera(name).status()

    @app.get("/v1/cameras/{name}/timeline")
    async def timeline(name: str) -> CameraTimeline:
        return service.camera(name).timeline()

    @app.get("/v1/cameras/{name}/canvases.png", response_class=Response, responses={200: {"content": {"image/png": {}}}})
    async def canvases(name: str) -> Response:
        """The canvases of the latest group, side by side: what the model was shown."""
        png = await asyncio.to_thread(service.camera(name).history.png)
        if png is None:
            raise no_group(name)
        return Response(png, media_type="image/png")

    @app.post("/v1/cameras/{name}/ask", response_model=Answer, responses={200: {"content": {"text/event-stream": {}}}})
    async def ask(name: str, body: AskRequest, request: Request, accept: Annotated[str, Header()] = "*/*") -> Response:
        bridge = Bridge()
        question = await service.ask(name, body, bridge.put)
        stream = _wants_stream(body, accept)
        async with _cancelled_when_gone(request, question):
            if not stream:
                return JSONResponse((await _whole(question, bridge)).model_dump())
            first = await bridge.get()
        if isinstance(first, Refused):
            raise first.error
        assert isinstance(first, Started)
        return StreamingResponse(
            _events(question, bridge), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
        )

    app.include_router(watch_routes(service))
    app.include_router(media_routes(service))

    @app.get("/v1/events")
    async def events(wanted: Annotated[EventsRequest, Query()]) -> JournalPage:
        """A page of the journal, oldest first unless `order` says otherwise."""
        return await events_page(service.delivery, wanted)

    @app.get("/v1/events/stream", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}})
    async def events_stream(
        wanted: Annotated[FollowRequest, Query()], last_event_id: Annotated[int | None, Header()] = None
    ) -> Response:
        """Follow the journal from now on, or from behind `after`; a client that comes back says Last-Event-ID."""
        return StreamingResponse(
            events_after(service.delivery, wanted, last_event_id),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache"},
        )

    @app.get("/v1/status")
    async def status(request: Request) -> ServiceStatus:
        told = await asyncio.to_thread(service.status)
        return told.without_port() if is_stranger(request) else told

    @app.get("/v1/config/schema.json")
    async def schema() -> dict[str, Any]:
        return config.schema()

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        """Alive: the process answers, and the thread that owns the model lives."""
        alive = service.alive
        return JSONResponse({"ok": alive}, 200 if alive else 503)

    @app.get("/readyz")
    async def readyz(request: Request) -> JSONResponse:
        """Ready: alive, and at least one camera is live. Which cameras there are is not for strangers."""
        states = {camera.name: camera.state for camera in service.cameras()}
        ready = service.alive and "live" in states.values()
        hidden = is_stranger(request) and not server.open_reads
        return JSONResponse({"ready": ready} if hidden else {"ready": ready, "cameras": states}, 200 if ready else 503)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """The routes, to be read and tried in a browser."""
        assert app.openapi_url is not None
        return api_page(app.title, app.openapi_url)

    return app


def _wants_stream(body: AskRequest, accept: str) -> bool:
    if body.stream is not None:
        return body.stream
    return "application/json" not in accept or "text/event-stream" in accept


@asynccontextmanager
async def _cancelled_when_gone(request: Request, question: Question) -> AsyncIterator[None]:
    """While nothing has been sent, only `receive` tells that the client has left; then its place is given back."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        question.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    except BaseException:
        question.cancel()
        raise
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _events(question: Question, bridge: Bridge) -> AsyncIterator[bytes]:
    """Tokens, then the answer. A client that leaves closes this generator, which ends the branch."""
    try:
        while True:
            match await bridge.get():
                case Piece(text):
                    yield server_sent_event("token", {"text": text})
                case Finished() as finished:
                    yield server_sent_event("answer", answer(question, finished))
                    return
                case Refused(error):
                    yield server_sent_event("error", error.body())
                    return
    finally:
        question.cancel()


async def _whole(question: Question, bridge: Bridge) -> Answer:
    while True:
        match await bridge.get():
            case Finished() as finished:
                return answer(question, finished)
            case Refused(error):
                raise error


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServeError)
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else None
    return JSONResponse(error.body(), error.status, headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = [f"{'.'.join(str(part) for part in item['loc'][1:]) or 'body'}: {item['msg']}" for item in error.errors()]
    if request.url.path.endswith("/ask"):
        known = ", ".join(AskRequest.model_fields)
        return await _refused(request, QuestionError("; ".join(problems), expected=f"a JSON object with {known}"))
    known = ", ".join(WatchSettings.model_fields)
    return await _refused(request, WatchError("; ".join(problems), expected=f"a JSON object with {known}"))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    body = {"error": {"code": "http", "message": f"{request.method} {request.url.path}: {error.detail}"}}
    return JSONResponse(body, error.status_code, error.headers)
