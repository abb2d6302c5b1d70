"""Packets of MQTT 3.1.1 (OASIS Standard, 29 October 2014), as a broker reads and writes them.

In: bytes of a client. Out: frozen packets, or `PacketError` for what breaks the standard; and the bytes of the broker's own packets.
Nothing here sends or keeps anything.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from enum import IntEnum

from stream.errors import PacketError

PROTOCOL, LEVEL = "MQTT", 4
"""3.1.2.1, 3.1.2.2."""
LENGTH_BYTES = 4
"""2.2.3: the remaining length takes at most so many."""
NEVER_IN_A_TOPIC = "+#\x00"
"""3.3.2.1: what no topic's name holds."""


class Kind(IntEnum):
    """2.2.1."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class Return(IntEnum):
    """3.2.2.3: what a CONNACK says."""

    ACCEPTED = 0
    BAD_PROTOCOL = 1
    BAD_CLIENT_ID = 2
    UNAVAILABLE = 3
    BAD_CREDENTIALS = 4
    NOT_AUTHORIZED = 5


REFUSED = 0x80
"""3.9.3: of a SUBACK."""
FLAGS = {Kind.PUBREL: 2, Kind.SUBSCRIBE: 2, Kind.UNSUBSCRIBE: 2}
"""2.2.2: the reserved bits; 0 of every other kind, and a PUBLISH uses them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """A message on a topic. `packet_id` is None with QoS 0."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    packet_id: int | None = None

    def encode(self) -> bytes:
        number = b"" if self.packet_id is None else self.packet_id.to_bytes(2, "big")
        return _packet(Kind.PUBLISH, self.qos << 1 | self.retain, _text(self.topic) + number + self.payload)

    def to(self, qos: int, packet_id: int | None, *, retain: bool = False) -> Publish:
        """The same as it goes to a subscriber."""
        return replace(self, qos=qos, packet_id=packet_id, retain=retain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """`level` is None for a protocol that is not ours: nothing behind it was read then."""

    level: int | None = LEVEL
    client_id: str = ""
    clean: bool = True
    keepalive_s: int = 0
    username: str | None = None
    password: bytes | None = field(default=None, repr=False)
    will: Publish | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """Filters with the QoS that is wished for."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """PUBACK, PUBREC, PUBREL or PUBCOMP."""

    kind: Kind
    packet_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bare:
    """PINGREQ or DISCONNECT."""

    kind: Kind


Packet = Connect | Publish | Subscribe | Unsubscribe | Acknowledgement | Bare


async def read_packet(reader: asyncio.StreamReader, first: int, max_bytes: int) -> Packet:
    """The packet that begins with the byte `first`. Raises `PacketError`, or `IncompleteReadError` when the client leaves within it."""
    length = 0
    for place in range(LENGTH_BYTES):
        (byte,) = await reader.readexactly(1)
        length |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            break
    else:
        raise PacketError(f"mqtt: expected a length of at most {LENGTH_BYTES} bytes, got more")
    if length > max_bytes:
        raise PacketError(f"mqtt: expected a packet of at most {max_bytes} bytes, got {length}")
    return parse(first, await reader.readexactly(length))


def parse(first: int, body: bytes) -> Packet:
    """One packet from its first byte and all that is behind its length. Raises `PacketError`."""
    number, flags = first >> 4, first & 0x0F
    if not Kind.CONNECT <= number <= Kind.DISCONNECT:
        raise PacketError(f"mqtt: expected a kind of packet from 1 to 14, got {number}")
    kind, fields = Kind(number), _Fields(body)
    if kind is Kind.PUBLISH:
        return _publish(flags, fields)
    if flags != FLAGS.get(kind, 0):
        raise PacketError(f"mqtt: expected the reserved bits of {kind.name} as the standard has them, got {flags:#x}")
    packet: Packet
    match kind:
        case Kind.CONNECT:
            return _connect(fields)
        case Kind.PUBACK | Kind.PUBREC | Kind.PUBREL | Kind.PUBCOMP:
            packet = Acknowledgement(kind=kind, packet_id=fields.packet_id())
        case Kind.SUBSCRIBE:
            packet = Subscribe(packet_id=fields.packet_id(), filters=_subscribed(fields))
        case Kind.UNSUBSCRIBE:
            packet = Unsubscribe(packet_id=fields.packet_id(), filters=_unsubscribed(fields))
        case Kind.PINGREQ | Kind.DISCONNECT:
            packet = Bare(kind=kind)
        case _:
            raise PacketError(f"mqtt: expected a packet that a client may send, got {kind.name}")
    fields.end()
    return packet


def connack(code: Return) -> bytes:
    """No session is ever kept, so none is present."""
    return _packet(Kind.CONNACK, 0, bytes((0, code)))


def suback(packet_id: int, granted: list[int]) -> bytes:
    return _packet(Kind.SUBACK, 0, packet_id.to_bytes(2, "big") + bytes(granted))


def acknowledgement(kind: Kind, packet_id: int) -> bytes:
    """PUBACK, PUBREC, PUBCOMP, UNSUBACK."""
    return _packet(kind, FLAGS.get(kind, 0), packet_id.to_bytes(2, "big"))


def pingresp() -> bytes:
    return _packet(Kind.PINGRESP, 0, b"")


class _Fields:
    """The body of a packet, read from front to back. Raises `PacketError` when it ends too soon, or too late."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def __bool__(self) -> bool:
        return self._at < len(self._body)

    def take(self, number: int) -> bytes:
        taken = self._body[self._at : self._at + number]
        if len(taken) < number:
            raise PacketError("mqtt: expected a whole packet, got one that ends within a field")
        self._at += number
        return taken

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "big")

    def packet_id(self) -> int:
        number = self.number(2)
        if not number:
            raise PacketError("mqtt: expected a packet identifier that is not 0")
        return number

    def blob(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        try:
            text = self.blob().decode()
        except UnicodeDecodeError:
            raise PacketError("mqtt: expected UTF-8, got something else") from None
        if "\x00" in text:
            raise PacketError("mqtt: expected text without U+0000")
        return text

    def rest(self) -> bytes:
        return self.take(len(self._body) - self._at)

    def end(self) -> None:
        if self:
            raise PacketError("mqtt: expected the end of the packet, got more")


def _connect(fields: _Fields) -> Connect:
    """3.1. Of another protocol only that it is another."""
    if (fields.text(), fields.number(1)) != (PROTOCOL, LEVEL):
        return Connect(level=None)
    flags, keepalive_s = fields.number(1), fields.number(2)
    with_name, with_password, with_will = flags & 0x80, flags & 0x40, flags & 0x04
    will_qos, will_retain = flags >> 3 & 3, bool(flags & 0x20)
    if flags & 1 or will_qos == 3 or (not with_will and (will_qos or will_retain)) or (with_password and not with_name):
        raise PacketError(f"mqtt: expected flags of CONNECT as the standard has them, got {flags:#x}")
    client_id = fields.text()
    will = None
    if with_will:
        will = Publish(topic=_topic(fields.text()), payload=fields.blob(), qos=will_qos, retain=will_retain)
    username = fields.text() if with_name else None
    password = fields.blob() if with_password else None
    fields.end()
    return Connect(
        client_id=client_id,
        clean=bool(flags & 0x02),
        keepalive_s=keepalive_s,
        username=username,
        password=password,
        will=will,
    )


def _publish(flags: int, fields: _Fields) -> Publish:
    """3.3."""
    qos = flags >> 1 & 3
    if qos == 3 or (not qos and flags & 8):
        raise PacketError(f"mqtt: expected flags of PUBLISH as the standard has them, got {flags:#x}")
    topic = _topic(fields.text())
    packet_id = fields.packet_id() if qos else None
    return Publish(topic=topic, payload=fields.rest(), qos=qos, retain=bool(flags & 1), packet_id=packet_id)


def _subscribed(fields: _Fields) -> tuple[tuple[str, int], ...]:
    """3.8.3."""
    filters = []
    while True:
        wanted, qos = fields.text(), fields.number(1)
        if qos > 2:
            raise PacketError(f"mqtt: expected a QoS from 0 to 2, got {qos}")
        filters.append((wanted, qos))
        if not fields:
            return tuple(filters)


def _unsubscribed(fields: _Fields) -> tuple[str, ...]:
    """3.10.3."""
    filters = [fields.text()]
    while fields:
        filters.append(fields.text())
    return tuple(filters)


def _topic(name: str) -> str:
    if not name or any(character in name for character in NEVER_IN_A_TOPIC):
        raise PacketError("mqtt: expected the name of a topic, got one that is empty or has wildcards")
    return name


def _packet(kind: Kind, flags: int, body: bytes) -> bytes:
    length, left = bytearray(), len(body)
    while True:
        left, byte = left >> 7, left & 0x7F
        length.append(byte | (0x80 if left else 0))
        if not left:
            return bytes((kind << 4 | flags,)) + bytes(length) + body


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded
