"""Under which names the service answers. A page of the internet may make a browser ask a machine of this network under the page's own name
(DNS rebinding): such a request names a host that is not ours.

In: requests. Out: the same; or 400 for a Host header that cannot be read, 421 for a name that is not known (RFC 9110 7.2, 7.4), counted.
Addresses need no list: no name server can make them point elsewhere. What a proxy says in X-Forwarded-Host is not looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from stream.config.host_names import ANY_HOST, LOCAL, host_of, is_address, own_names


class HostGuard:
    """ASGI middleware. `refused` counts `bad_host` and `unknown_host`."""

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], refused: Counter[str]) -> None:
        self._app = app
        self._refused = refused
        given = set(hosts)
        self._any = ANY_HOST in given
        self._names = {LOCAL, *own_names(), *(name for name in given if not name.startswith(ANY_HOST))}
        self._endings = tuple(name[1:] for name in given if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._any:
            given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            host = host_of(given[0]) if len(given) == 1 else None
            if host is None or not self._is_known(host):
                await self._refusal(host)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_known(self, host: str) -> bool:
        return is_address(host) or host in self._names or (bool(self._endings) and host.endswith(self._endings))

    def _refusal(self, host: str | None) -> JSONResponse:
        code = "bad_host" if host is None else "unknown_host"
        self._refused[code] += 1
        expected = "one Host header with a name or an address" if host is None else "a host name of server.hosts, or an address"
        got = "none that can be read" if host is None else host
        message = f"expected {expected}, got {got}; add the name under which clients reach the service to server.hosts"
        error = {"code": code, "message": message, "expected": expected, "got": got, "setting": "server.hosts"}
        status = HTTPStatus.BAD_REQUEST if host is None else HTTPStatus.MISDIRECTED_REQUEST
        return JSONResponse({"error": error}, status, {"Connection": "close"})
