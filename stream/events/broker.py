"""The embedded MQTT broker: what alerts go to when no broker is configured.

In: a host and a port (0 finds a free one). Out: a broker in its own thread and event loop, so that nothing it does can hold up
the service. Anybody who reaches the address may read and write; it listens on loopback unless told otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading

from stream.errors import PublishError

START_S = 10.0
STOP_S = 3.0

log = logging.getLogger(__name__)


class EmbeddedBroker:
    """`with EmbeddedBroker() as broker:` listens on `broker.host`, `broker.port`.

    Raises `PublishError` when the port cannot be had."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._main, name="mqtt-broker", daemon=True)

    def start(self) -> None:
        self._thread.start()
        if not self._ready.wait(START_S):
            raise PublishError(f"embedded mqtt broker: expected to listen on {self.host}:{self.port} within {START_S:.0f} s")
        if self._failure is not None:
            raise PublishError(
                f"embedded mqtt broker: expected to listen on {self.host}:{self.port}, got {self._failure}; set mqtt.port"
            ) from self._failure
        log.info("embedded mqtt broker: listening on %s:%d", self.host, self.port)

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
        except OSError as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
        from amqtt.broker import Broker
        from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType

        for name in ("amqtt", "transitions"):  # they log every client that comes and goes
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        broker = Broker(
            BrokerConfig(
                listeners={"default": ListenerConfig(type=ListenerType.EXTERNAL)},
                plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            )
        )

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await broker.external_connected(StreamReaderAdapter(reader), StreamWriterAdapter(writer), "default")

        await broker.start()
        server = await asyncio.start_server(connected, self.host, self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._closing.wait()
        server.close()
        await broker.shutdown()
