"""A few at a time: who would hold the event loop by their number go on in turns.

In: coroutines that wait for their turn. Out: so many of them in each pass of the event loop, in the order in which they came; whoever is not
among them (a health check) waits for one pass, not for all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

AT_A_TIME = 8
AT_ONCE_PATHS = frozenset({"/healthz", "/readyz"})
"""Whoever asks whether the service lives is not to wait behind others."""


class Turns:
    """For one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._left = AT_A_TIME
        self._is_scheduled = False

    async def take(self) -> None:
        """At once, where few have gone on in this pass."""
        if self._left and not self._waiting:
            self._left -= 1
            self._schedule()
            return
        waiting = asyncio.get_running_loop().create_future()
        self.queue([waiting])
        await waiting

    def queue(self, waiting: Iterable[asyncio.Future[None]]) -> None:
        """Futures that are set when their turn comes."""
        self._waiting.extend(waiting)
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._next_pass)

    def _next_pass(self) -> None:
        self._is_scheduled = False
        self._left = AT_A_TIME
        while self._left and self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():  # who waited may have left
                waiting.set_result(None)
                self._left -= 1
        if self._waiting:
            self._schedule()


class InTurns:
    """ASGI middleware: requests begin in turns."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turns = Turns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in AT_ONCE_PATHS:
            await self._turns.take()
        await self._app(scope, receive, send)
