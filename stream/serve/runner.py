"""The service and its HTTP server in one event loop, until somebody says stop.

In: a configuration, a model, a listening socket. Out: the exit status; one JSON line to `ready` with the addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import uvicorn

from ov2.model import OV2Model
from stream.config.configuration import Config, ServerSettings
from stream.config.host_names import ANY_HOST, is_loopback
from stream.serve.app import create_app
from stream.serve.connection import Connection
from stream.serve.listening import BACKLOG
from stream.serve.places import Places
from stream.serve.service import Service
from stream.serve.turns import InTurns

HEADERS = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"}
"""Of every answer, whoever makes it."""
CLOSING_S = 2
"""How long open connections may take to close."""
ACCEPTED_AT_ONCE = 64
"""Connections that are taken in one pass of the event loop: asyncio takes as many as may wait, and other requests wait for it."""

log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """uvicorn without its signals: they would end the process by the signal, not with status 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(BACKLOG)  # again: what asyncio takes at once is not all that may wait


class Runner:
    """`await run()` in an event loop; `stop()` from any thread."""

    def __init__(
        self, config: Config, model: OV2Model, listening: socket.socket, *, ready: Callable[[str], None] = lambda line: None
    ) -> None:
        self.service = Service(config, model, on_failure=self.stop)
        self._listening = listening
        self._ready = ready
        self.loop: asyncio.AbstractEventLoop | None = None
        self._server = _Server(
            uvicorn.Config(
                InTurns(create_app(self.service)),
                http=_connections(config.server, self.service.refused),
                ws="none",
                log_config=None,
                access_log=False,
                lifespan="off",
                backlog=ACCEPTED_AT_ONCE,
                timeout_graceful_shutdown=CLOSING_S,
                headers=list(HEADERS.items()),
            )
        )

    async def run(self, signals: tuple[signal.Signals, ...] = ()) -> int:
        self.loop = asyncio.get_running_loop()
        for warning in open_doors(self.service.config.server):
            log.warning("%s", warning)
        for number in signals:
            self.loop.add_signal_handler(number, self._stop)
        await self.service.start()
        try:
            serving = asyncio.create_task(self._server.serve(sockets=[self._listening]))
            self._ready(self._addresses())
            await serving
        finally:
            await self.service.stop()
        return 0 if self.service.failure is None else 1

    def stop(self) -> None:
        if self.loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: it has stopped already
                self.loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self.service.refuse_questions()
        self._server.should_exit = True

    def _addresses(self) -> str:
        host, port = self._listening.getsockname()[:2]
        mqtt, credentials = self.service.status().mqtt, self.service.delivery.embedded_credentials
        known = {} if credentials is None else {"username": credentials.username, "password": credentials.password}
        return json.dumps(
            {
                "ready": True,
                "pid": os.getpid(),
                "http": f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}",
                "mqtt": {"host": mqtt.host, "port": mqtt.port, "prefix": mqtt.prefix, "embedded": mqtt.embedded, **known},
            }
        )


def _connections(settings: ServerSettings, refused: Counter[str]) -> type[asyncio.Protocol]:
    """What makes the protocol of each connection."""
    places = Places(settings.max_connections, settings.max_share_per_address)
    made = partial(Connection, settings=settings, places=places, refused=refused)
    return cast(type[asyncio.Protocol], made)  # uvicorn only calls it


def open_doors(server: ServerSettings) -> Iterator[str]:
    """What the settings leave open, for the log of a start."""
    if not server.tokens and not is_loopback(server.host):
        yield f"server: listens on {server.host} without server.tokens: whoever reaches it sees all cameras and may change watches"
    if server.tokens and server.open_reads:
        yield "server.open_reads: whoever reaches the service sees pictures, events and questions of all cameras without a token"
    if ANY_HOST in server.hosts:
        yield "server.hosts: * takes requests under any name: pages of the internet may reach the service through a browser of this network"
