"""WHIP (RFC 9725), WHEP, and the two pages, as routes.

In: a `WebRtcSessions`. Out: a FastAPI router that knows nothing of the service around it. Bodies are read here, bounded in size and time.
Who may come is settled before; `request.state.holder` tells clients with different tokens apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.routing import APIRoute

from stream.refusals import refusals
from stream.webrtc.errors import RefusalError
from stream.webrtc.pages import page
from stream.webrtc.sessions import WebRtcSessions
from stream.webrtc.settings import IceServer, WebRtcSettings

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
ALLOWED_HEADERS = "Authorization, Content-Type, If-Match"
EXPOSED_HEADERS = "Location, ETag, Link, Retry-After, Accept-Post, Accept-Patch"
METHODS = "OPTIONS, GET, HEAD, POST, PATCH, DELETE"
PREFLIGHT_S = 3600
OFFER: dict[str, Any] = {
    "status_code": HTTPStatus.CREATED,
    "response_class": Response,
    "responses": {201: {"content": {SDP: {}}}} | refusals(404, 406, 409, 413, 415, 422, 501),
}
CHANGE: dict[str, Any] = {
    "response_class": Response,
    "responses": {200: {"content": {FRAGMENT: {}}}, 204: {"description": "taken"}} | refusals(404, 412, 413, 415, 422, 428),
}
EMPTY: dict[str, Any] = {"status_code": HTTPStatus.NO_CONTENT, "response_class": Response}
EMPTY_SESSION: dict[str, Any] = EMPTY | {"responses": refusals(404)}


def webrtc_routes(sessions: WebRtcSessions) -> APIRouter:
    """`/whip/NAME` and `/whep/NAME`, the URLs of their sessions, `/publish/NAME` and `/live/NAME`."""
    router = APIRouter(route_class=_answering(sessions))

    @router.post("/whip/{name}", **OFFER)
    async def publish(name: str, request: Request) -> Response:
        """Publish to a camera of `url: whip`: an SDP offer in, the answer out, the session's URL in Location."""
        _check_type(request, SDP)
        sessions.check_publish(name)
        session, answer = await sessions.publish(name, _holder(request), await _body(request, sessions.settings))
        return _created(request, session.id, session.etag, answer, sessions.settings)

    @router.post("/whep/{name}", **OFFER)
    async def watch(name: str, request: Request) -> Response:
        """Watch a camera: its own pictures, not encoded again."""
        _check_type(request, SDP)
        sessions.check_watch(name)
        session, answer = await sessions.watch(name, _holder(request), await _body(request, sessions.settings))
        return _created(request, session.id, session.etag, answer, sessions.settings)

    @router.patch("/whip/{name}/{secret}", **CHANGE)
    @router.patch("/whep/{name}/{secret}", **CHANGE)
    async def patch(name: str, secret: str, request: Request) -> Response:
        """Later ICE candidates, or ICE anew (RFC 9725 4.3)."""
        session = sessions.session(_kind(request), name, secret)
        _check_type(request, FRAGMENT)
        answer = await sessions.patch(session, request.headers.get("if-match"), await _body(request, sessions.settings))
        headers = {"ETag": session.etag}
        if answer is None:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
        return Response(answer, media_type=FRAGMENT, headers=headers)

    @router.delete("/whip/{name}/{secret}", response_class=Response, responses=refusals(404))
    @router.delete("/whep/{name}/{secret}", response_class=Response, responses=refusals(404))
    async def end(name: str, secret: str, request: Request) -> Response:
        """The end of a session."""
        await sessions.session(_kind(request), name, secret).end()
        return Response(status_code=HTTPStatus.OK)

    @router.get("/whip/{name}", **EMPTY)
    @router.head("/whip/{name}", **EMPTY)
    @router.get("/whep/{name}", **EMPTY)
    @router.head("/whep/{name}", **EMPTY)
    async def nothing(name: str) -> Response:
        """Reserved by RFC 9725 4.1: something, and nothing in it."""
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @router.get("/whip/{name}/{secret}", **EMPTY_SESSION)
    @router.head("/whip/{name}/{secret}", **EMPTY_SESSION)
    @router.get("/whep/{name}/{secret}", **EMPTY_SESSION)
    @router.head("/whep/{name}/{secret}", **EMPTY_SESSION)
    async def nothing_more(name: str, secret: str, request: Request) -> Response:
        """The same of a session, while it runs."""
        return Response(
            status_code=HTTPStatus.NO_CONTENT, headers={"ETag": sessions.session(_kind(request), name, secret).etag}
        )

    @router.options("/whip/{name}", response_class=Response)
    @router.options("/whep/{name}", response_class=Response)
    async def options(name: str) -> Response:
        """What may be posted (RFC 9725 4.2), and to browsers, from where. Servers with a password are told with the answer alone."""
        return Response(headers={"Accept-Post": SDP, **_links(sessions.settings, secrets=False)})

    @router.options("/whip/{name}/{secret}", response_class=Response)
    @router.options("/whep/{name}/{secret}", response_class=Response)
    async def session_options(name: str, secret: str) -> Response:
        """What may be patched."""
        return Response(headers={"Accept-Patch": FRAGMENT})

    @router.get("/publish/{name}", response_class=HTMLResponse)
    async def publish_page(name: str) -> HTMLResponse:
        """A page that publishes the camera of a phone or a laptop."""
        return page("publish.html")

    @router.get("/live/{name}", response_class=HTMLResponse)
    async def live_page(name: str) -> HTMLResponse:
        """A page that shows a camera live."""
        return page("live.html")

    return router


def _answering(sessions: WebRtcSessions) -> type[APIRoute]:
    """Routes that answer a `RefusalError` as JSON and count it, and tell browsers which origins may ask."""

    class Answering(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    response = await handle(request)
                except RefusalError as refusal:
                    sessions.refused[refusal.code] += 1
                    response = JSONResponse(refusal.body(), refusal.status, refusal.headers)
                response.headers.update(_cross_origin(request, sessions.settings))
                return response

            return answer

    return Answering


def _cross_origin(request: Request, settings: WebRtcSettings) -> dict[str, str]:
    """CORS headers, where the request comes from an origin that is allowed."""
    origin = request.headers.get("origin")
    if origin is None or not {origin, "*"} & set(settings.origins):
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": ALLOWED_HEADERS,
        "Access-Control-Expose-Headers": EXPOSED_HEADERS,
        "Access-Control-Max-Age": str(PREFLIGHT_S),
        "Vary": "Origin",
    }


def _check_type(request: Request, expected: str) -> None:
    got = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if got != expected:
        message = f"expected Content-Type {expected}, got {got or 'none'}"
        raise RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "wrong_type", message, expected=expected, got=got)


async def _body(request: Request, settings: WebRtcSettings) -> bytes:
    """The body, if it is short enough and comes soon enough. A client that is refused half way loses its connection."""
    limit, body = settings.max_sdp_bytes, bytearray()
    try:
        async with asyncio.timeout(settings.body_timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    message = f"expected at most {limit} bytes of {SDP}, got more; webrtc.max_sdp_bytes raises the limit"
                    raise RefusalError(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", message, headers={"Connection": "close"}
                    )
    except TimeoutError:
        message = f"expected the whole body within {settings.body_timeout_s:g} s (webrtc.body_timeout_s)"
        raise RefusalError(HTTPStatus.REQUEST_TIMEOUT, "slow_body", message, headers={"Connection": "close"}) from None
    return bytes(body)


def _created(request: Request, secret: str, etag: str, answer: str, settings: WebRtcSettings) -> Response:
    location = f"{request.scope.get('root_path', '')}{request.url.path.rstrip('/')}/{secret}"
    headers = {"Location": location, "ETag": etag, "Cache-Control": "no-store", **_links(settings, secrets=True)}
    return Response(answer, HTTPStatus.CREATED, headers, SDP)


def _links(settings: WebRtcSettings, *, secrets: bool) -> dict[str, str]:
    """STUN and TURN servers for the client (RFC 9725 4.6)."""
    servers = [server for server in settings.ice_servers if secrets or server.password is None]
    return {"Link": ", ".join(_link(server) for server in servers)} if servers else {}


def _link(server: IceServer) -> str:
    link = f'<{server.url}>; rel="ice-server"'
    if server.username is not None and server.password is not None:
        link += f'; username="{server.username}"; credential="{server.password.get_secret_value()}"; credential-type="password"'
    return link


def _kind(request: Request) -> str:
    return "whip" if request.scope["route"].path.startswith("/whip/") else "whep"


def _holder(request: Request) -> str:
    return str(getattr(request.state, "holder", ""))
