"""MQTT 3.1.1 as raw bytes: an attacker may send what no library would.

In: packets (OASIS MQTT 3.1.1). Out: a connection, its return code, messages that came.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

ANSWER_S = 10.0
KEEPALIVE_S = 60
CONNECT, CONNACK, PUBLISH, SUBSCRIBE, PINGREQ, PINGRESP = 0x10, 2, 3, 0x82, b"\xc0\x00", 13
"""Fixed headers of what is sent (2.2), types of what comes."""
CLEAN_SESSION, HAS_PASSWORD, HAS_USERNAME = 0x02, 0x40, 0x80
LARGEST_PACKET = 1 << 20
KEPT_MESSAGES = 1000


class Message(NamedTuple):
    topic: str
    payload: bytes


def connect_packet(client_id: str, username: str | None = None, password: str | None = None, *, level: int = 4) -> bytes:
    """3.1. A level of 5 adds the empty properties of MQTT 5."""
    flags = CLEAN_SESSION | (HAS_USERNAME if username is not None else 0) | (HAS_PASSWORD if password is not None else 0)
    body = _text("MQTT" if level > 3 else "MQIsdp") + bytes([level, flags]) + struct.pack(">H", KEEPALIVE_S)
    body += (b"\x00" if level > 4 else b"") + _text(client_id)
    body += b"".join(_text(each) for each in (username, password) if each is not None)
    return packet(CONNECT, body)


def publish_packet(topic: bytes, payload: bytes, *, qos: int = 0, retain: bool = False, ident: int = 1) -> bytes:
    """3.3"""
    number = struct.pack(">H", ident) if qos else b""
    return packet(0x30 | qos << 1 | retain, struct.pack(">H", len(topic)) + topic + number + payload)


def subscribe_packet(topic: str, *, ident: int = 1) -> bytes:
    """3.8"""
    return packet(SUBSCRIBE, struct.pack(">H", ident) + _text(topic) + b"\x01")


def packet(first: int, body: bytes) -> bytes:
    """2.2: the fixed header with the length of the rest."""
    length, rest = bytearray(), len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length.append(digit | (128 if rest else 0))
        if not rest:
            return bytes([first]) + bytes(length) + body


class MqttWire:
    """`code = await connect(...)`; then `send`, `ping`, `wait_for`. `close` it. Raises `OSError`, `EOFError`, `TimeoutError`."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()
        self._num_pings = 0
        self._is_over = False
        self.messages: deque[Message] = deque(maxlen=KEPT_MESSAGES)

    async def connect(self, first: bytes) -> int:
        """Send a first packet; the return code of the answer. A broker that closes instead: `EOFError`."""
        async with asyncio.timeout(ANSWER_S):
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
            self._writer.write(first)
            kind, body = await self._packet()
        if kind != CONNACK or len(body) < 2:
            raise OSError(f"expected an answer to CONNECT, got a packet of type {kind}")
        self._reading = asyncio.create_task(self._read())
        return body[1]

    async def send(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)
        async with asyncio.timeout(ANSWER_S):
            await self._writer.drain()

    async def ping(self) -> None:
        """Returns when the broker has read everything so far."""
        wanted = self._num_pings + 1
        await self.send(PINGREQ)
        await self._until(lambda: self._num_pings >= wanted, ANSWER_S)

    async def wait_for(self, topic: str, longest_s: float) -> Message:
        def found() -> Message | None:
            return next((message for message in self.messages if message.topic == topic), None)

        await self._until(lambda: found() is not None, longest_s)
        message = found()
        assert message is not None
        return message

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._writer.wait_closed()

    async def _until(self, test: Callable[[], bool], longest_s: float) -> None:
        async with asyncio.timeout(longest_s), self._news:
            await self._news.wait_for(lambda: test() or self._is_over)
        if not test():
            raise EOFError("the broker closed the connection")

    async def _read(self) -> None:
        try:
            while True:
                kind, body = await self._packet()
                if kind == PUBLISH:
                    await self._take(body)
                async with self._news:
                    self._num_pings += kind == PINGRESP
                    self._news.notify_all()
        except (OSError, EOFError):
            async with self._news:
                self._is_over = True
                self._news.notify_all()

    async def _take(self, body: bytes) -> None:
        """Of QoS 0 and 1: the latter is acknowledged (3.4)."""
        size = struct.unpack_from(">H", body)[0]
        topic, rest = body[2 : 2 + size].decode("utf-8", "replace"), body[2 + size :]
        if self._qos:
            await self.send(b"\x40\x02" + rest[:2])
            rest = rest[2:]
        self.messages.append(Message(topic, rest))

    async def _packet(self) -> tuple[int, bytes]:
        first = (await self._reader.readexactly(1))[0]
        length = shift = 0
        while True:
            digit = (await self._reader.readexactly(1))[0]
            length |= (digit & 127) << shift
            shift += 7
            if not digit & 128:
                break
        if length > LARGEST_PACKET:
            raise OSError(f"expected packets of at most {LARGEST_PACKET} bytes, got one of {length}")
        self._qos = first >> 1 & 3
        return first >> 4, await self._reader.readexactly(length)


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return struct.pack(">H", len(data)) + data
