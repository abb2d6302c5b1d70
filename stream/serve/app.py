"""The HTTP routes: cameras, questions, health.

In: a running `Service`. Out: a FastAPI application. Answers stream as server-sent events (`token` ..., then one `answer`)
unless the client wants JSON. Every refusal is JSON: `{"error": {"code", "message", "expected", "got", "setting"}}`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.responses import Response

from stream.camera.answer import Answer, answer
from stream.camera.errors import no_group
from stream.camera.question import Bridge, Finished, Piece, Question, Refused, Started
from stream.camera.status import CameraStatus, CameraTimeline
from stream.config import configuration as config
from stream.refusals import Refusal, Responses, anywhere, refusals, schemas
from stream.serve.api_page import api_page
from stream.serve.bearer import BearerGuard, is_stranger
from stream.serve.bodies import json_routes
from stream.serve.events import LAST_POSITION, EventsRequest, EventStream, FollowRequest, events_page
from stream.serve.followers import Followers
from stream.serve.hosts import HostGuard
from stream.serve.media_routes import media_routes
from stream.serve.places import Places
from stream.serve.refusals import answer_refusals
from stream.serve.service import VERSION, Service
from stream.serve.watch_routes import watch_routes
from stream.serve.wire import AskRequest, Health, JournalPage, Readiness, ServiceStatus, server_sent_event
from stream.webrtc.routes import webrtc_routes

PNG: Responses = {200: {"content": {"image/png": {}}}}
EVENT_STREAM: Responses = {200: {"content": {"text/event-stream": {}}}}


def create_app(service: Service) -> FastAPI:
    """The application over one service. It starts and stops nothing."""
    server = service.config.server
    followers = Followers(service.delivery.writer, lambda: service.delivery.closing)
    places = Places(server.max_followers, server.max_share_per_address)
    app = FastAPI(title="OV2 Live", version=VERSION, docs_url=None, redoc_url=None, responses=anywhere())
    answer_refusals(app, service.refused)
    app.router.route_class = json_routes(server.max_body_kb)
    app.add_middleware(BearerGuard, tokens=server.tokens, refused=service.refused, open_reads=server.open_reads)
    app.add_middleware(HostGuard, hosts={*server.hosts, server.host.lower()}, refused=service.refused)
    app.openapi = partial(_description, app)  # type: ignore[method-assign]
    app.include_router(webrtc_routes(service.webrtc))

    @app.get("/v1/cameras")
    async def cameras() -> list[CameraStatus]:
        return service.cameras()

    @app.get("/v1/cameras/{name}", responses=refusals(404))
    async def camera(name: str) -> CameraStatus:
        return service.camera(name).status()

    @app.get("/v1/cameras/{name}/timeline", responses=refusals(404))
    async def timeline(name: str) -> CameraTimeline:
        return service.camera(name).timeline()

    @app.get("/v1/cameras/{name}/canvases.png", response_class=Response, responses=PNG | refusals(404))
    async def canvases(name: str) -> Response:
        """The canvases of the latest group, side by side: what the model was shown."""
        png = await asyncio.to_thread(service.camera(name).history.png)
        if png is None:
            raise no_group(name)
        return Response(png, media_type="image/png")

    @app.post("/v1/cameras/{name}/ask", response_model=Answer, responses=EVENT_STREAM | refusals(404, 413, 415, 422))
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

    app.include_router(watch_routes(service, app.router.route_class))
    app.include_router(media_routes(service))

    @app.get("/v1/events", responses=refusals(422))
    async def events(wanted: Annotated[EventsRequest, Query()]) -> JournalPage:
        """A page of the journal, oldest first unless `order` says otherwise."""
        return await events_page(service.delivery, wanted)

    @app.get("/v1/events/stream", response_class=Response, responses=EVENT_STREAM | refusals(422))
    async def events_stream(
        wanted: Annotated[FollowRequest, Query()],
        last_event_id: Annotated[int | None, Header(ge=0, le=LAST_POSITION)] = None,
    ) -> Response:
        """Follow the journal from now on, or from behind `after`; a client that comes back says Last-Event-ID."""
        position = wanted.after if last_event_id is None else last_event_id
        return EventStream(followers, places, service.refused, wanted, position)

    @app.get("/v1/status")
    async def status(request: Request) -> ServiceStatus:
        told = await asyncio.to_thread(service.status)
        return told.without_port() if is_stranger(request) else told

    @app.get("/v1/config/schema.json")
    async def schema() -> dict[str, Any]:
        return config.schema()

    @app.get("/healthz", responses={200: {"model": Health}, 503: {"model": Health | Refusal}})
    async def healthz() -> Response:
        """Alive: the process answers, and the thread that owns the model lives."""
        alive = service.alive
        return JSONResponse({"ok": alive}, 200 if alive else 503)

    @app.get("/readyz", responses={200: {"model": Readiness}, 503: {"model": Readiness | Refusal}})
    async def readyz(request: Request) -> Response:
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


def _description(app: FastAPI) -> dict[str, Any]:
    """`/openapi.json` without the refusals of FastAPI's own shape, which nothing here answers."""
    if app.openapi_schema is None:
        schema = FastAPI.openapi(app)
        for operation in (operation for path in schema["paths"].values() for operation in path.values()):
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
        for name in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(name, None)
        schema["components"]["schemas"] |= schemas()
    return app.openapi_schema or {}


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
