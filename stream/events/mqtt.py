"""The MQTT side: one connection that stays up, retained states, entries of the journal, and what comes back.

In: states from any thread, entries from the outbox. Out: the topics of a broker, under one prefix; messages for `on_message`. While
the broker is away states keep their latest value, and entries wait in the journal. After a reconnect every retained topic is written
again, paced. The last will says `offline`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiomqtt

from stream.backoff import Backoff
from stream.errors import PublishError
from stream.events.address import Broker
from stream.events.ending import end
from stream.events.pace import Pace
from stream.events.retained import Retained
from stream.events.topics import Message, messages
from stream.journal import Entry

BACKOFF_MIN_S = 0.5
BACKOFF_MAX_S = 30.0
GOOD_CONNECTION_S = 10.0
"""A connection that lasted this long resets the back-off."""
FAREWELL_S = 2.0
"""Longest time spent on the last messages when stopping."""
RETAINED_PER_S = 100.0
RETAINED_BURST = 50
ACKNOWLEDGED_S = 10.0
"""Longest wait for the broker's word that it has a message."""
REPLIES = 100
"""Replies that wait for the broker; then the oldest drops. What must arrive goes through the journal."""
INCOMING = 100
"""Received messages that wait for us; then paho drops."""

log = logging.getLogger(__name__)


class _Client(aiomqtt.Client):
    """aiomqtt watches a socket by its number, a turn of the loop after it was asked to; the connection may be lost by then, and the number
    free, or another's."""

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:
        def write() -> None:
            try:
                client.loop_write()
            except (OSError, ValueError) as error:
                if not self._disconnected.done():
                    self._disconnected.set_exception(error)

        def watch() -> None:
            if sock.fileno() >= 0:
                self._loop.add_writer(sock.fileno(), write)

        self._loop.call_soon_threadsafe(watch)


class MqttSink:
    """Publishes until closed: `start()`, then `state()` from any thread and `deliver()` in the loop, then `await stop()`.

    `topics`: what is subscribed to; each message goes to `on_message(topic, payload, retained)`, which must not wait."""

    name = "mqtt"
    in_flight = 20

    def __init__(
        self,
        broker: Broker,
        *,
        prefix: str = "ov2",
        topics: Sequence[str] = (),
        on_message: Callable[[str, bytes, bool], None] = lambda topic, payload, retained: None,
        pace: Pace | None = None,
    ) -> None:
        self.broker = broker
        self.prefix = prefix
        self.topics = list(topics)
        self.on_message = on_message
        self.connected = asyncio.Event()
        self.num_connections = 0
        self._tls = broker.tls.context() if broker.tls is not None else None
        self._pace = pace or Pace(RETAINED_PER_S, RETAINED_BURST)
        self._retained = Retained()
        self._replies: deque[Message] = deque(maxlen=REPLIES)
        self._closing = asyncio.Event()
        self._wake = asyncio.Event()
        self._client: aiomqtt.Client | None = None
        self._lost: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name="mqtt")

    async def stop(self) -> None:
        """Send the states that wait, say `offline`, disconnect."""
        self._closing.set()
        if self._task is not None:
            await self._task

    def state(self, topic: str, payload: str | bytes) -> None:
        """Set a retained topic under the prefix; only the latest value waits. An empty one removes it."""
        self.announce(f"{self.prefix}/{topic}", payload)

    def snapshot(self, camera: str, jpeg: bytes) -> None:
        """The picture of a camera's latest evidence."""
        self.state(f"{camera}/snapshot", jpeg)

    def announce(self, topic: str, payload: str | bytes) -> None:
        """The same for a topic that is not under the prefix."""
        self._retained.set(
            Message(topic=topic, payload=payload if isinstance(payload, bytes) else payload.encode(), retain=True)
        )
        self._stir()

    def announce_again(self, test: Callable[[str], bool]) -> None:
        """Somebody has started anew and may have missed these topics."""
        self._retained.renew(test)
        self._stir()

    def reply(self, topic: str, payload: bytes) -> None:
        """Say something once, under the prefix, not retained; dropped when the broker is away for long."""
        self._replies.append(Message(topic=f"{self.prefix}/{topic}", payload=payload, retain=False))
        self._stir()

    async def ready(self) -> None:
        await self.connected.wait()

    async def deliver(self, entry: Entry, *, duplicate: bool) -> None:
        """Raises `PublishError` when the broker has not acknowledged all of it."""
        out = list(messages(entry, self.prefix, duplicate=duplicate))
        await asyncio.gather(*(self._acknowledged(message) for message in out))
        for message in out:
            if message.retain:
                self._retained.set(message, sent=True)

    async def _acknowledged(self, message: Message) -> None:
        client, lost = self._client, self._lost
        if client is None or lost is None:
            raise PublishError(f"mqtt {self.broker}: expected a connection, there is none")
        sending = asyncio.ensure_future(_publish(client, message))
        try:
            await asyncio.wait({sending, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                raise PublishError(f"mqtt {self.broker}: expected an acknowledgement, the connection was lost")
            sending.result()
        except aiomqtt.MqttError as error:
            raise PublishError(f"mqtt {self.broker}: expected an acknowledgement, got {error}") from error
        finally:
            sending.cancel()

    def _stir(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to tell
                self._loop.call_soon_threadsafe(self._wake.set)

    async def _run(self) -> None:
        backoff = Backoff(first_s=BACKOFF_MIN_S, longest_s=BACKOFF_MAX_S, least_share=0.1, good_s=GOOD_CONNECTION_S)
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                await self._connection()
            except aiomqtt.MqttError as error:
                backoff.lasted(time.monotonic() - began)
                log.warning("mqtt %s: %s; trying again", self.broker, error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), backoff.pause_s())

    async def _connection(self) -> None:
        available = f"{self.prefix}/available"
        broker = self.broker
        async with _Client(
            broker.host,
            broker.port,
            username=broker.username,
            password=broker.password,
            identifier=broker.client_id,
            keepalive=broker.keepalive_s,
            tls_context=self._tls,
            will=aiomqtt.Will(available, b"offline", qos=1, retain=True),
            max_queued_incoming_messages=INCOMING,
            timeout=ACKNOWLEDGED_S,
            logger=_quiet(),
        ) as client:
            for topic in self.topics:
                await client.subscribe(topic, qos=1)
            self._retained.renew()
            await client.publish(available, b"online", qos=1, retain=True)
            log.info("mqtt %s: connected", broker)
            self.num_connections += 1
            await self._while_connected(client)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await self._send_states(client, paced=False)
                    await client.publish(available, b"offline", qos=1, retain=True)

    async def _while_connected(self, client: aiomqtt.Client) -> None:
        """Until we close. Raises `MqttError` as soon as the connection is lost."""
        self._lost = asyncio.create_task(self._receive(client))
        sending = asyncio.create_task(self._keep_sending(client))
        closing = asyncio.create_task(self._closing.wait())
        tasks: list[asyncio.Task[Any]] = [self._lost, sending, closing]
        self._client = client
        self.connected.set()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self.connected.clear()
            self._client = None
            await end(tasks)

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            self.on_message(str(message.topic), message.payload, bool(message.retain))

    async def _keep_sending(self, client: aiomqtt.Client) -> None:
        while True:
            self._wake.clear()
            await self._send_states(client, paced=True)
            await self._wake.wait()

    async def _send_states(self, client: aiomqtt.Client, *, paced: bool) -> None:
        """Everything that waits; a value is done with when the broker has acknowledged it."""
        while True:
            if self._replies:
                message = self._replies.popleft()
            elif (state := self._retained.first()) is not None:
                message = state
                if paced:
                    await self._pace.wait()
            else:
                return
            await _publish(client, message)
            if message.retain:
                self._retained.done(message)


def _publish(client: aiomqtt.Client, message: Message) -> Awaitable[None]:
    return client.publish(message.topic, message.payload, qos=1, retain=message.retain)


def _quiet() -> logging.Logger:
    """paho logs every packet; its errors reach us as exceptions."""
    quiet = logging.getLogger("stream.events.mqtt.paho")
    quiet.setLevel(logging.CRITICAL)
    return quiet
