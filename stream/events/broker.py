"""The embedded MQTT broker: what alerts go to when no broker is configured.

In: a host and a port (0 finds a free one), credentials or none. Out: a broker in its own thread and event loop, so that nothing it does can
hold up the service. It speaks MQTT 3.1.1 with QoS 0 and 1 (2 is taken, and passed on as 1), retained messages and wills, and keeps no session
of a client that is away. With credentials it lets in nobody without; it listens on loopback unless told otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Mapping

from stream.errors import PublishError
from stream.events.credentials import Credentials
from stream.events.exchange import BrokerLimits, Exchange

START_S = 10.0
STOP_S = 3.0

log = logging.getLogger(__name__)


class EmbeddedBroker:
    """`with EmbeddedBroker() as broker:` listens on `broker.host`, `broker.port`.

    Raises `PublishError` when the port cannot be had."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        credentials: Credentials | None = None,
        limits: BrokerLimits | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.credentials = credentials
        self._exchange = Exchange(credentials, limits or BrokerLimits())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="mqtt-broker", daemon=True)

    @property
    def problem(self) -> str:
        """Why it does not serve any more; empty while it does."""
        if self._thread.is_alive():
            return ""
        why = f": {self._failure}" if self._failure is not None else ""
        return f"embedded mqtt broker: expected it to run, its thread has ended{why}; start the service again"

    @property
    def num_clients(self) -> int:
        return self._exchange.num_clients

    @property
    def refused(self) -> Mapping[str, int]:
        """Connections and messages by why they were refused."""
        return dict(self._exchange.refused)

    def start(self) -> None:
        self._thread.start()
        if not self._ready.wait(START_S):
            raise PublishError(f"embedded mqtt broker: expected to listen on {self.host}:{self.port} within {START_S:.0f} s")
        if self._failure is not None:
            raise PublishError(
                f"embedded mqtt broker: expected to listen on {self.host}:{self.port}, got {self._failure}; set mqtt.port"
            ) from self._failure
        who = "whoever has its credentials" if self.credentials is not None else "everybody"
        log.info("embedded mqtt broker: listening on %s:%d for %s", self.host, self.port, who)

    def stop(self) -> None:
        if self._loop is not None and self._closing is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop closed by itself
                self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(STOP_S)

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # whatever it was: the service goes on, and its status says so
            self._failure = error
            if self._ready.is_set():
                log.exception("embedded mqtt broker: its thread has ended")
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._exchange.connected, self.host, self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        try:
            await self._closing.wait()
        finally:
            server.close()
            await self._exchange.close()
