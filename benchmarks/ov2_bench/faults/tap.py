"""What the service itself says to the broker, as it goes by.

In: the port of a broker that comes and goes. Out: a port in front of it, and how often each event was published there without a mark. A
broker that is killed may repeat a message without saying so (Mosquitto writes down that it has sent one after it has sent it); a subscriber
cannot tell that from a service that forgets its mark. Here it shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Self

from ov2_bench.faults.subscriber import EVENTS_TOPIC, key_of
from ov2_bench.testbed.ports import HOST

_PUBLISH = 3
_DUP, _QOS = 0x08, 0x06
"""Flags of a PUBLISH (MQTT 3.1.1, 3.3.1)."""
CHUNK = 1 << 16


class Tap:
    """`async with Tap(broker_port) as tap`: clients that connect to `tap.port` talk to the broker."""

    def __init__(self, broker_port: int) -> None:
        self.num_unmarked: Counter[str] = Counter()
        self.port = 0
        self.broker_port = broker_port
        self._stack = AsyncExitStack()
        self._talks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        server = await asyncio.start_server(self._talk, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._stack.callback(server.close)
        return self

    async def __aexit__(self, *error: object) -> None:
        for talk in list(self._talks):
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await self._stack.aclose()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; it ends when either side does."""
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            async with AsyncExitStack() as stack:
                stack.callback(writer.close)
                broker_reader, broker_writer = await asyncio.open_connection(HOST, self.broker_port)
                stack.callback(broker_writer.close)
                ways = [
                    asyncio.create_task(self._pass(reader, broker_writer, Listener(self.num_unmarked))),
                    asyncio.create_task(self._pass(broker_reader, writer, None)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
        self._talks.discard(task)

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener: Listener | None) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                writer.write(data)
                await writer.drain()
                if listener is not None:
                    listener.hear(data)


class Listener:
    """Counts, in `num_unmarked`, the events that bytes of one connection publish without a mark."""

    def __init__(self, num_unmarked: Counter[str]) -> None:
        self._num_unmarked = num_unmarked
        self._heard = bytearray()

    def hear(self, data: bytes) -> None:
        self._heard += data
        for first, packet in self._packets():
            if first >> 4 != _PUBLISH:
                continue
            size = int.from_bytes(packet[:2], "big")
            payload = packet[2 + size + (2 if first & _QOS else 0) :]
            if packet[2 : 2 + size].decode() != EVENTS_TOPIC:
                continue
            body = json.loads(payload)
            self._num_unmarked[key_of(body)] += not body.get("duplicate") and not first & _DUP

    def _packets(self) -> Iterator[tuple[int, bytes]]:
        """Whole control packets: the first byte, and what follows the length (MQTT 3.1.1, 2.2.3)."""
        while True:
            size, at = 0, 1
            while at < len(self._heard) and at <= 4:
                size += (self._heard[at] & 0x7F) << 7 * (at - 1)
                at += 1
                if not self._heard[at - 1] & 0x80:
                    break
            else:
                return
            if len(self._heard) < at + size:
                return
            first, packet = self._heard[0], bytes(self._heard[at : at + size])
            del self._heard[: at + size]
            yield first, packet
