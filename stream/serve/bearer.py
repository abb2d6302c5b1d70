"""Who may publish, watch, ask, read and change things: whoever has a token, where tokens are set (RFC 6750).

In: requests. Out: the same, with `request.state.holder` telling clients with different tokens apart, and `request.state.is_stranger` those
that have none; or 401, counted. Open to all are whether the service lives, and the two pages (which hold no secret). With `open_reads` so is
all that changes nothing. Without tokens everybody is one and the same, and nobody a stranger.

A token comes in the Authorization header alone: what is in an address ends in logs, histories and Referer headers.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

SCHEME = "bearer"
HEALTH = frozenset({"/healthz", "/readyz"})
PAGES = ("/publish", "/live")
MEDIA = ("/whip", "/whep")
READING = frozenset({"GET", "HEAD"})
PREFLIGHT = "OPTIONS"
"""A browser asks before it sends a token, and sends none with the question."""


class BearerGuard:
    """ASGI middleware. `refused` counts `unauthorized`."""

    def __init__(self, app: ASGIApp, *, tokens: Iterable[SecretStr], refused: Counter[str], open_reads: bool = False) -> None:
        self._app = app
        self._known = [_digest(token.get_secret_value()) for token in tokens]
        self._refused = refused
        self._open_reads = open_reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._known:
            holder = self._holder(Headers(scope=scope))
            if holder is None and not self._is_open(scope["method"], scope["path"]):
                self._refused["unauthorized"] += 1
                await _unauthorized()(scope, receive, send)
                return
            scope.setdefault("state", {}).update({"is_stranger": True} if holder is None else {"holder": holder})
        await self._app(scope, receive, send)

    def _holder(self, headers: Headers) -> str | None:
        """Which token a request carries; None for none that is known. Every known one is compared, so that time tells nothing."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = _digest(token.strip())
        matches = [known for known in self._known if hmac.compare_digest(known, given)]
        return matches[0].hex() if matches and scheme.lower() == SCHEME else None

    def _is_open(self, method: str, path: str) -> bool:
        if method == PREFLIGHT:
            return True
        if method not in READING:
            return False
        return path in HEALTH or _is_under(path, PAGES) or (self._open_reads and not _is_under(path, MEDIA))


def is_stranger(request: Request) -> bool:
    """Whether tokens are set, and this client has shown none."""
    return bool(getattr(request.state, "is_stranger", False))


def _is_under(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _unauthorized() -> JSONResponse:
    message = "expected `Authorization: Bearer TOKEN` with a token of server.tokens, got none that is known"
    body = {"error": {"code": "unauthorized", "message": message, "expected": "a bearer token", "setting": "server.tokens"}}
    return JSONResponse(body, HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer", "Connection": "close"})
