"""The MQTT side: one connection that stays up, retained states, events that wait for the broker.

In: states and events, from any thread. Out: the topics of a broker, under one prefix. While the broker is away, states keep
their latest value and events wait in a bounded outbox (the oldest drops, counted); after a reconnect every retained topic is
written again. The last will says `offline`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
import time
from dataclasses import dataclass

import aiomqtt

from stream.events.event import Change
from stream.events.outbox import Message, Outbox

BACKOFF_MIN_S = 0.5
BACKOFF_MAX_S = 30.0
GOOD_CONNECTION_S = 10.0
"""A connection that lasted this long resets the back-off."""
FAREWELL_S = 2.0
"""Longest time spent on the last messages when stopping."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where to connect, and as whom."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    client_id: str | None = None
    tls: bool = False
    keepalive_s: int = 30

    def __repr__(self) -> str:
        return f"Broker({self.host}:{self.port})"


class Publisher:
    """Publishes until closed: `start()`, then `state()` and `event()` from any thread, then `await stop()`."""

    def __init__(self, broker: Broker, *, prefix: str = "ov2", queue_messages: int = 1000) -> None:
        self.broker = broker
        self.prefix = prefix
        self.connected = asyncio.Event()
        self._outbox = Outbox(queue_messages)
        self._closing = asyncio.Event()
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def dropped(self) -> int:
        """Events that fell out of the outbox while the broker was away."""
        return self._outbox.dropped

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name="mqtt")

    async def stop(self) -> None:
        """Send what waits, say `offline`, disconnect."""
        self._closing.set()
        self._wake.set()
        if self._task is not None:
            await self._task

    def state(self, topic: str, payload: str | bytes) -> None:
        """Set a retained topic under the prefix; only the latest value waits."""
        body = payload if isinstance(payload, bytes) else payload.encode()
        self._put(Message(topic=f"{self.prefix}/{topic}", payload=body, retain=True))

    def event(self, change: Change) -> None:
        """Publish one step of an event's life, QoS 1, not retained."""
        self._put(Message(topic=f"{self.prefix}/events", payload=change.payload(), retain=False))

    def _put(self, message: Message) -> None:
        self._outbox.put(message)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to tell
                self._loop.call_soon_threadsafe(self._wake.set)

    async def _run(self) -> None:
        backoff_s = BACKOFF_MIN_S
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                await self._connection()
            except aiomqtt.MqttError as error:
                if time.monotonic() - began > GOOD_CONNECTION_S:
                    backoff_s = BACKOFF_MIN_S
                log.warning("mqtt %s:%d: %s; trying again", self.broker.host, self.broker.port, error)
            finally:
                self.connected.clear()
            wait_s = random.uniform(0.1, 1.0) * backoff_s
            backoff_s = min(BACKOFF_MAX_S, 2 * backoff_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), wait_s)

    async def _connection(self) -> None:
        available = f"{self.prefix}/available"
        broker = self.broker
        async with aiomqtt.Client(
            broker.host,
            broker.port,
            username=broker.username,
            password=broker.password,
            identifier=broker.client_id,
            keepalive=broker.keepalive_s,
            tls_context=ssl.create_default_context() if broker.tls else None,
            will=aiomqtt.Will(available, b"offline", qos=1, retain=True),
            max_queued_incoming_messages=1,
            logger=_quiet(),
        ) as client:
            self._outbox.renew()
            await client.publish(available, b"online", qos=1, retain=True)
            log.info("mqtt %s:%d: connected", broker.host, broker.port)
            self.connected.set()
            await self._publish_until_closed(client)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await self._drain(client)
                    await client.publish(available, b"offline", qos=1, retain=True)

    async def _publish_until_closed(self, client: aiomqtt.Client) -> None:
        """Publish what comes. Raises `MqttError` as soon as the connection is lost."""
        lost = asyncio.create_task(_wait_for_loss(client))
        try:
            while not self._closing.is_set():
                self._wake.clear()
                sending = asyncio.create_task(self._drain_and_wait(client))
                await asyncio.wait({lost, sending}, return_when=asyncio.FIRST_COMPLETED)
                if not sending.done():
                    sending.cancel()
                    await asyncio.gather(sending, return_exceptions=True)
                    lost.result()
                sending.result()
        finally:
            lost.cancel()
            await asyncio.gather(lost, return_exceptions=True)

    async def _drain_and_wait(self, client: aiomqtt.Client) -> None:
        await self._drain(client)
        await self._wake.wait()

    async def _drain(self, client: aiomqtt.Client) -> None:
        """Send everything that waits; a message leaves the outbox when the broker has acknowledged it."""
        while (message := self._outbox.first()) is not None:
            await client.publish(message.topic, message.payload, qos=1, retain=message.retain)
            self._outbox.done(message)


async def _wait_for_loss(client: aiomqtt.Client) -> None:
    async for _ in client.messages:
        pass


def _quiet() -> logging.Logger:
    """paho logs every packet; its errors reach us as exceptions."""
    quiet = logging.getLogger("stream.events.mqtt.paho")
    quiet.setLevel(logging.CRITICAL)
    return quiet
