"""What the embedded broker does with its clients: who may come in, what is kept of topics, who gets a message.

In: connections. Out: messages of one to all that subscribed, and the retained ones to whoever subscribes later. Everything is bounded;
what is refused is counted by reason, and told once a second. No session outlives its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
from collections import Counter
from dataclasses import dataclass, field, replace

from ov2.log_limit import LogLimit
from stream.errors import PacketError
from stream.events.broker_client import BrokerClient, ClientLimits, matches
from stream.events.credentials import Credentials
from stream.events.mqtt_packets import Connect, Kind, Publish, Return, connack, read_packet

CLOSE_S = 1.0
"""Longest wait for connections that were taken to notice it."""
FAREWELL_S = 2.0
"""How long one that was refused may take to read why."""
CONNECT_S = 10.0
"""From the connection to the whole of CONNECT."""
CONNECT_BYTES = 128 * 1024
"""The largest CONNECT: five fields of at most 65,535 bytes could be more, and nobody needs it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerLimits:
    """`max_strangers`: connections that have not said who they are; one more takes the place of the oldest."""

    max_clients: int = 100
    max_strangers: int = 32
    max_retained: int = 10_000
    max_retained_bytes: int = 256 << 20
    client: ClientLimits = field(default_factory=ClientLimits)


class Exchange:
    """`connected` takes a connection until it ends. All in one event loop."""

    def __init__(self, credentials: Credentials | None, limits: BrokerLimits) -> None:
        self.refused: Counter[str] = Counter()
        self._credentials, self._limits = credentials, limits
        self._clients: dict[str, BrokerClient] = {}
        self._strangers: dict[asyncio.StreamWriter, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._retained: dict[str, Publish] = {}
        self._retained_bytes = 0
        self._log_limit = LogLimit()

    @property
    def num_clients(self) -> int:
        return len(self._clients)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its end. Whatever it sends ends this connection alone."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            client = await self._admitted(reader, writer)
            if client is not None:
                await self._serve(client)
        except PacketError as error:
            self._refuse("malformed", str(error))
        except (OSError, EOFError, TimeoutError):
            pass  # it left, or was silent for too long
        finally:
            self._tasks.discard(task)
            self._strangers.pop(writer, None)
            writer.close()

    async def _admitted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> BrokerClient | None:
        """Who says CONNECT, in time, with credentials where they are asked for. Before that nothing of a client is looked at or kept."""
        self._strangers[writer] = None
        if len(self._strangers) > self._limits.max_strangers:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.transport.abort()
            self._refuse("at_capacity", "mqtt: expected fewer connections that say nothing; the oldest is dropped")
        async with asyncio.timeout(CONNECT_S):
            (first,) = await reader.readexactly(1)
            if first >> 4 != Kind.CONNECT:
                raise PacketError("mqtt: expected CONNECT first")
            connect = await read_packet(reader, first, CONNECT_BYTES)
        assert isinstance(connect, Connect)
        code, reason = self._judged(connect)
        if reason:
            self._refuse(reason, f"mqtt: a client was refused: {code.name.lower()}")
            await _sent_away(reader, writer, code)
            return None
        self._strangers.pop(writer, None)
        if not connect.client_id:  # 3.1.3.1: the broker makes one
            connect = replace(connect, client_id=f"auto-{secrets.token_hex(8)}")
        if (old := self._clients.get(connect.client_id)) is not None:  # 3.1.4: the new one takes its place
            old.end("taken over")
            self._gone(old)
        writer.write(connack(Return.ACCEPTED))
        client = BrokerClient(connect, reader, writer, self._limits.client)
        self._clients[client.name] = client
        return client

    def _judged(self, connect: Connect) -> tuple[Return, str]:
        """The answer, and the reason to count where it is a refusal."""
        if connect.level is None:
            return Return.BAD_PROTOCOL, "protocol"
        if (wanted := self._credentials) is not None:
            name, password = connect.username or "", connect.password or b""
            known = hmac.compare_digest(name.encode(), wanted.username.encode())
            if not hmac.compare_digest(password, wanted.password.encode()) or not known:
                code = Return.NOT_AUTHORIZED if connect.username is None else Return.BAD_CREDENTIALS
                return code, "unauthorized"
        if not connect.client_id and not connect.clean:
            return Return.BAD_CLIENT_ID, "client_id"
        if len(self._clients) >= self._limits.max_clients and connect.client_id not in self._clients:
            return Return.UNAVAILABLE, "at_capacity"
        return Return.ACCEPTED, ""

    async def _serve(self, client: BrokerClient) -> None:
        try:
            await client.run(self.publish, self._subscribed)
        finally:
            if self._clients.get(client.name) is client:
                self._gone(client)
            if client.why in ("too_slow", "unacknowledged"):
                self._refuse(client.why, f"mqtt: a client was cut: {client.why}")

    def _gone(self, client: BrokerClient) -> None:
        """Its will is done, unless it said goodbye."""
        del self._clients[client.name]
        if (will := client.will) is not None:
            client.will = None
            self.publish(will)

    def publish(self, message: Publish) -> None:
        """To all that subscribed. `$...` is the broker's own (4.7.2), so what a client says there goes nowhere."""
        if message.topic.startswith("$"):
            self._refuse("topic", "mqtt: a message on a $ topic was left out")
            return
        if message.retain:
            self._retain(message)
        for client in list(self._clients.values()):
            client.send(message)

    def _retain(self, message: Publish) -> None:
        old = self._retained.pop(message.topic, None)
        self._retained_bytes -= _size(old)
        if not message.payload:  # 3.3.1.3: nothing, retained, removes what was there
            return
        limits, size = self._limits, _size(message)
        if len(self._retained) >= limits.max_retained or self._retained_bytes + size > limits.max_retained_bytes:
            self._refuse("retained", "mqtt: a retained message was not kept: too many, or too large together")
            return
        self._retained[message.topic] = message
        self._retained_bytes += size

    async def _subscribed(self, client: BrokerClient, filters: list[str]) -> None:
        """What is retained, at the speed at which the client takes it: what comes meanwhile is newer, so it is looked up as it is sent."""
        wanted = [one.split("/") for one in filters]
        for topic in list(self._retained):
            levels = topic.split("/")
            if any(matches(one, levels) for one in wanted) and (message := self._retained.get(topic)) is not None:
                client.send(message, retained=True)
                await client.drain()

    def _refuse(self, reason: str, problem: str) -> None:
        self.refused[reason] += 1
        if self._log_limit.allows():
            log.warning("%s (%d of this kind so far)", problem, self.refused[reason])

    async def close(self) -> None:
        """Every connection ends, and is waited for."""
        for client in list(self._clients.values()):
            client.end("closing")
        for writer in list(self._strangers):
            with contextlib.suppress(OSError):
                writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)


async def _sent_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, code: Return) -> None:
    """A refusal that arrives: closing while something is unread would make TCP take it back (RFC 2525, 2.17)."""
    writer.write(connack(code))
    writer.write_eof()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL_S):
            while await reader.read(CONNECT_BYTES):
                pass


def _size(message: Publish | None) -> int:
    return 0 if message is None else len(message.topic) + len(message.payload)
