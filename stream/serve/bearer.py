"""Who may publish, watch, and change things: whoever has a token, where tokens are set (RFC 6750).

In: requests. Out: the same, with `request.state.holder` telling clients with different tokens apart; or 401, counted. Reading under /v1 and the
pages (which hold no secret) stay open. Without tokens everybody is one and the same.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

SCHEME = "bearer"
ALWAYS = ("/whip", "/whep")
CHANGES = ("/v1",)
READING = frozenset({"GET", "HEAD"})
PREFLIGHT = "OPTIONS"
"""A browser asks before it sends a token, and sends none with the question."""


class BearerGuard:
    """ASGI middleware. `refused` counts `unauthorized`."""

    def __init__(self, app: ASGIApp, *, tokens: Iterable[SecretStr], refused: Counter[str]) -> None:
        self._app = app
        self._known = [_digest(token.get_secret_value()) for token in tokens]
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._known and _is_guarded(scope["method"], scope["path"]):
            holder = self._holder(Headers(scope=scope))
            if holder is None:
                self._refused["unauthorized"] += 1
                await _unauthorized()(scope, receive, send)
                return
            scope.setdefault("state", {})["holder"] = holder
        await self._app(scope, receive, send)

    def _holder(self, headers: Headers) -> str | None:
        """Which token a request carries; None for none that is known. Every known one is compared, so that time tells nothing."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = _digest(token.strip())
        matches = [known for known in self._known if hmac.compare_digest(known, given)]
        return matches[0].hex() if matches and scheme.lower() == SCHEME else None


def _is_guarded(method: str, path: str) -> bool:
    if method == PREFLIGHT:
        return False
    return _is_under(path, ALWAYS) or (method not in READING and _is_under(path, CHANGES))


def _is_under(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _unauthorized() -> JSONResponse:
    message = "expected `Authorization: Bearer TOKEN` with a token of server.tokens, got none that is known"
    body = {"error": {"code": "unauthorized", "message": message, "expected": "a bearer token", "setting": "server.tokens"}}
    return JSONResponse(body, HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer", "Connection": "close"})
