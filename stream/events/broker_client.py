"""One client of the embedded broker: its connection, what it subscribed to, what is on its way to it.

In: an admitted connection, packets. Out: messages for the broker's topics; those of others, written at once, so their order is the
broker's. A client that is too slow, silent for longer than it said, or breaks the standard loses its connection, and nobody else does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stream.errors import PacketError
from stream.events.mqtt_packets import (
    REFUSED,
    Acknowledgement,
    Bare,
    Connect,
    Kind,
    Packet,
    Publish,
    Subscribe,
    Unsubscribe,
    acknowledgement,
    pingresp,
    read_packet,
    suback,
)

PACKET_S = 30.0
"""From a packet's first byte to its last."""
KEEPALIVES = 1.5
"""3.1.2.10: so many keep-alive times of silence end a connection."""
LAST_PACKET_ID = 65_535
FAIR_PACKETS = 100
"""So many packets of one client in a row; then the others have a turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """What one client may cost. `max_backlog_bytes`: written and not yet taken by it; `max_unacknowledged`: messages with QoS 1 that it
    has not acknowledged."""

    max_packet_bytes: int = 8 << 20
    max_backlog_bytes: int = 16 << 20
    max_unacknowledged: int = 20_000
    max_filters: int = 200


class BrokerClient:
    """`await run()` until it leaves; `send()` in the same loop. `end()` takes its connection."""

    def __init__(
        self, connect: Connect, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: ClientLimits
    ) -> None:
        self.name = connect.client_id
        self.will = connect.will
        self.why = ""
        self._filters: dict[str, tuple[list[str], int]] = {}
        self._silence_s = KEEPALIVES * connect.keepalive_s or None
        self._reader, self._writer, self._limits = reader, writer, limits
        self._unacknowledged: set[int] = set()
        self._received: set[int] = set()
        self._last_id = 0

    async def run(
        self, publish: Callable[[Publish], None], subscribed: Callable[[BrokerClient, list[str]], Awaitable[None]]
    ) -> None:
        """Raises `PacketError` for a packet against the standard, `OSError` or `EOFError` when the connection is lost, `TimeoutError` for
        a client that says nothing; returns when it says goodbye, and then has no will any more."""
        while True:
            for _ in range(FAIR_PACKETS):
                async with asyncio.timeout(self._silence_s):
                    (first,) = await self._reader.readexactly(1)
                async with asyncio.timeout(PACKET_S):
                    packet = await read_packet(self._reader, first, self._limits.max_packet_bytes)
                if packet == Bare(kind=Kind.DISCONNECT):
                    self.will = None
                    return
                await self._take(packet, publish, subscribed)
                await self._writer.drain()
            await asyncio.sleep(0)

    def send(self, message: Publish, *, retained: bool = False) -> None:
        """If it subscribed to the topic. One that does not keep up is cut: better that it knows, and gets the retained ones anew."""
        levels = message.topic.split("/")
        qos = max((qos for wanted, qos in self._filters.values() if matches(wanted, levels)), default=None)
        if qos is not None:
            self._send(message, min(qos, message.qos), retained=retained)

    async def drain(self) -> None:
        await self._writer.drain()

    def end(self, why: str) -> None:
        self.why = self.why or why
        self._writer.transport.abort()

    def _send(self, message: Publish, qos: int, *, retained: bool) -> None:
        if self._writer.transport.is_closing():
            return
        packet_id = self._next_id() if qos else None
        self._writer.write(message.to(qos, packet_id, retain=retained).encode())
        limits = self._limits
        if self._writer.transport.get_write_buffer_size() > limits.max_backlog_bytes:
            self.end("too_slow")
        elif len(self._unacknowledged) > limits.max_unacknowledged:
            self.end("unacknowledged")

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % LAST_PACKET_ID + 1
            if self._last_id not in self._unacknowledged:
                self._unacknowledged.add(self._last_id)
                return self._last_id

    async def _take(
        self,
        packet: Packet,
        publish: Callable[[Publish], None],
        subscribed: Callable[[BrokerClient, list[str]], Awaitable[None]],
    ) -> None:
        match packet:
            case Publish():
                self._take_message(packet, publish)
            case Acknowledgement(kind=Kind.PUBREL):
                self._received.discard(packet.packet_id)
                self._writer.write(acknowledgement(Kind.PUBCOMP, packet.packet_id))
            case Acknowledgement():
                self._unacknowledged.discard(packet.packet_id)
            case Subscribe():
                granted = [self._subscribe(wanted, qos) for wanted, qos in packet.filters]
                self._writer.write(suback(packet.packet_id, granted))
                done = [wanted for (wanted, _), qos in zip(packet.filters, granted, strict=True) if qos != REFUSED]
                await subscribed(self, done)
            case Unsubscribe():
                for wanted in packet.filters:
                    self._filters.pop(wanted, None)
                self._writer.write(acknowledgement(Kind.UNSUBACK, packet.packet_id))
            case Bare():
                self._writer.write(pingresp())
            case Connect():
                raise PacketError("mqtt: expected one CONNECT, got a second")

    def _take_message(self, message: Publish, publish: Callable[[Publish], None]) -> None:
        """QoS 2 is taken once however often it is sent (4.3.3)."""
        if message.packet_id is None:
            publish(message)
        elif message.qos == 1:
            publish(message)
            self._writer.write(acknowledgement(Kind.PUBACK, message.packet_id))
        else:
            if message.packet_id not in self._received:
                self._received.add(message.packet_id)
                publish(message)
            self._writer.write(acknowledgement(Kind.PUBREC, message.packet_id))

    def _subscribe(self, wanted: str, qos: int) -> int:
        """What is granted: at most QoS 1 (3.9.3 allows less than was asked for)."""
        levels = wanted.split("/")
        full = wanted not in self._filters and len(self._filters) >= self._limits.max_filters
        if full or not is_filter(levels):
            return REFUSED
        self._filters[wanted] = (levels, min(qos, 1))
        return min(qos, 1)


def is_filter(levels: list[str]) -> bool:
    """4.7.1: `#` is the whole of the last level, `+` the whole of any."""
    wild = all(level in ("+", "#") or not {"+", "#"} & set(level) for level in levels)
    return wild and "#" not in levels[:-1] and levels != [""]


def matches(wanted: list[str], topic: list[str]) -> bool:
    """4.7: whether a filter takes in a topic, level by level; one that begins with a wildcard leaves `$...` out."""
    if topic[0].startswith("$") and wanted[0] in ("+", "#"):
        return False
    if wanted[-1] == "#":
        wanted = wanted[:-1]
        return len(topic) >= len(wanted) and all(one in ("+", other) for one, other in zip(wanted, topic, strict=False))
    return len(wanted) == len(topic) and all(one in ("+", other) for one, other in zip(wanted, topic, strict=True))
