"""From what happens to whom it is told: the journal, its outboxes, MQTT, Home Assistant.

In: changes of events, questions, answers, states of cameras, from any thread. Out: entries of the journal, written first, then told.
Further sinks (`add_sink`) get the same entries, each with a cursor of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from dataclasses import replace

from stream.errors import SettingsError
from stream.events.address import Broker, Tls
from stream.events.apprise import AppriseSink
from stream.events.broker import EmbeddedBroker
from stream.events.credentials import USERNAME, Credentials, credentials_in, new_credentials, write_credentials
from stream.events.ending import end
from stream.events.event import Change
from stream.events.homeassistant import CameraDescription, Discovery
from stream.events.incoming import Handlers, Incoming
from stream.events.mqtt import MqttSink
from stream.events.outbox import Outbox, OutboxSettings
from stream.events.records import record_answer, record_change, record_question
from stream.events.sink import Sink
from stream.events.webhook import Webhook
from stream.journal import Writer, WriterSettings, journal_at
from stream.serve.config import Config, MqttSettings, NotifySettings
from stream.serve.wire import BrokerStatus, JournalStatus, OutboxStatus

MQTT_PORT = 1883
MQTT_TLS_PORT = 8883
"""The registered ones (MQTT 3.1.1, 4.2)."""
FAREWELL_S = 2.0
"""Longest wait for what still waits when stopping; it stays in the journal."""
CREDENTIALS_FILE = "mqtt.json"
"""In the data folder: address and credentials of the embedded broker, for its owner alone."""

log = logging.getLogger(__name__)


class Delivery:
    """`await start(handlers)`, record, `await stop()`. Raises `SettingsError` for a journal or a certificate that cannot be."""

    def __init__(self, config: Config, version: str) -> None:
        self.writer = Writer(journal_at(config.journal_url, name=config.journal.name), _writer_settings(config))
        self.mqtt: MqttSink | None = None
        self.closing = False
        self._config = config
        self._discovery = Discovery(
            prefix=config.mqtt.prefix, version=version, discovery_prefix=config.homeassistant.discovery_prefix
        )
        self._bounds = OutboxSettings(max_entries=config.journal.outbox_entries, max_age_s=config.journal.outbox_hours * 3600.0)
        self._outboxes: list[Outbox] = []
        self._further = [_notifier(name, settings) for name, settings in config.notify.items()]
        self._broker: EmbeddedBroker | None = None
        self._incoming: Incoming | None = None
        self._births: set[asyncio.Task[None]] = set()

    async def start(self, handlers: Handlers) -> None:
        """Raises `PublishError` when the embedded broker cannot listen."""
        mqtt, assistant = self._config.mqtt, self._config.homeassistant
        if mqtt.host is None:
            self._broker = await asyncio.to_thread(self._embedded)
            target = _target(mqtt, self._broker.host, self._broker.port)
            if (known := self._broker.credentials) is not None:
                target = replace(target, username=known.username, password=known.password)
        else:
            target = _target(mqtt, mqtt.host, mqtt.port)
        sink = MqttSink(target, prefix=mqtt.prefix)
        asked = replace(handlers, home_assistant_born=self._born, reply=sink.reply)
        birth = self._discovery.birth_topic if assistant.enabled else None
        self._incoming = Incoming(
            mqtt.prefix, asked, birth_topic=birth, max_running=mqtt.max_asks, max_waiting=4 * mqtt.max_asks
        )
        sink.topics, sink.on_message = self._incoming.topics, self._incoming.take
        self.mqtt = sink
        self.writer.start()
        sink.start()
        self.add_sink(sink)
        for further in self._further:
            self.add_sink(further)

    def _embedded(self) -> EmbeddedBroker:
        """The broker inside, which lets in nobody without credentials where it has a password, or the service asks for tokens."""
        mqtt, path = self._config.mqtt, self._config.data / CREDENTIALS_FILE
        if mqtt.tls:
            raise SettingsError("mqtt.tls: expected mqtt.host with it, got none; the embedded broker speaks no TLS")
        credentials, made = None, False
        if mqtt.password is not None:
            credentials = Credentials(username=mqtt.username or USERNAME, password=mqtt.password.get_secret_value())
        elif self._config.server.tokens:
            credentials, made = replace(credentials_in(path) or new_credentials(), username=mqtt.username or USERNAME), True
        broker = EmbeddedBroker(port=mqtt.port or 0, credentials=credentials)
        broker.start()
        if credentials is not None and made:
            try:
                write_credentials(path, credentials, broker.host, broker.port)
            except OSError as error:
                log.warning("%s: not kept (%s); the ready line has the broker's credentials", path.name, error.strerror)
        return broker

    @property
    def embedded_credentials(self) -> Credentials | None:
        """Of the embedded broker; None where it asks for none, or where another is configured."""
        return self._broker.credentials if self._broker is not None else None

    async def stop(self) -> None:
        """What still waits is sent, if that is quick; then the broker hears `offline`; the journal is closed last."""
        await end(self._births)
        if self._incoming is not None:
            await self._incoming.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await asyncio.gather(*(outbox.drained() for outbox in self._outboxes))
        for outbox in self._outboxes:
            await outbox.stop()
        await asyncio.gather(*(further.close() for further in self._further))
        if self.mqtt is not None:
            await self.mqtt.stop()
            await asyncio.to_thread(self.writer.stop)
        if self._broker is not None:
            await asyncio.to_thread(self._broker.stop)

    def add_sink(self, sink: Sink) -> None:
        """Tell everything to one more. Call it in the event loop, after the start."""
        outbox = Outbox(self.writer, sink, self._bounds)
        outbox.start()
        self._outboxes.append(outbox)

    def end_followers(self) -> None:
        """The first step of stopping: whoever follows the journal is let go."""
        self.closing = True
        self.writer.tell()

    def change(self, change: Change) -> None:
        """Something happened in front of a camera. From any thread, and at once."""
        record_change(self.writer, change)

    def question(self, camera: str, name: str, text: str, via: str) -> None:
        record_question(self.writer, camera, name, text, via)

    def answer(self, camera: str, name: str, body: dict[str, object], via: str) -> None:
        record_answer(self.writer, camera, name, body, via)

    def state(self, topic: str, payload: str | bytes) -> None:
        """Set a retained MQTT topic under the prefix."""
        if self.mqtt is not None:
            self.mqtt.state(topic, payload)

    def describe(self, camera: CameraDescription) -> None:
        """Tell Home Assistant of a camera and its watches; again when they have changed."""
        if self.mqtt is not None and self._config.homeassistant.enabled:
            self.mqtt.announce(self._discovery.topic(camera.name), self._discovery.payload(camera))

    def forget(self, camera: str) -> None:
        """Take a camera out of Home Assistant."""
        if self.mqtt is not None and self._config.homeassistant.enabled:
            self.mqtt.announce(self._discovery.topic(camera), b"")

    def broker_status(self) -> BrokerStatus:
        assert self.mqtt is not None, "the service has not started"
        sink = self.mqtt
        dropped = sum(outbox.num_dropped for outbox in self._outboxes if outbox.sink is sink)
        return BrokerStatus(
            host=sink.broker.host,
            port=sink.broker.port,
            prefix=sink.prefix,
            embedded=self._broker is not None,
            connected=sink.connected.is_set(),
            dropped=dropped,
            problem=self._broker.problem if self._broker is not None else "",
            refused=dict(self._broker.refused) if self._broker is not None else {},
        )

    def journal_status(self) -> JournalStatus:
        writer, damage = self.writer, self.writer.journal.damage
        return JournalStatus(
            address=writer.journal.address,
            degraded="; ".join(filter(None, (writer.degraded, damage.told))),
            set_aside=writer.journal.num_aside,
            written=writer.num_written,
            pending=writer.num_pending,
            dropped=writer.num_dropped,
            failures=writer.num_failures,
            used_mb=round(writer.used_bytes / 2**20, 3),
            outboxes={
                outbox.sink.name: OutboxStatus(
                    delivered=outbox.num_delivered, repeated=outbox.num_repeated, dropped=outbox.num_dropped
                )
                for outbox in self._outboxes
            },
        )

    def _born(self) -> None:
        """Home Assistant has started: announce again, but not all services of a house in the same moment."""
        task = asyncio.create_task(self._announce_later(random.uniform(0, self._config.homeassistant.max_delay_s)))
        self._births.add(task)
        task.add_done_callback(self._births.discard)

    async def _announce_later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self.mqtt is not None:
            self.mqtt.announce_again(self._discovery.is_ours)


def _notifier(name: str, settings: NotifySettings) -> Webhook | AppriseSink:
    """Raises `SettingsError` for an address that Apprise does not know."""
    url = settings.url.get_secret_value()
    if url.startswith(("http://", "https://")):
        headers = {key: value.get_secret_value() for key, value in settings.headers.items()}
        return Webhook(name, url, kinds=settings.kinds, headers=headers)
    return AppriseSink(name, url, kinds=settings.kinds, severity=settings.severity)


def _writer_settings(config: Config) -> WriterSettings:
    journal = config.journal
    return WriterSettings(
        held_entries=journal.held_entries,
        retention_s=journal.retention_days * 86_400.0,
        max_bytes=int(journal.max_mb * 2**20),
    )


def _target(mqtt: MqttSettings, host: str, port: int | None) -> Broker:
    """Raises `SettingsError` for certificates without tls."""
    given = [name for name in ("ca_file", "cert_file", "key_file", "insecure") if getattr(mqtt, name)]
    if given and not mqtt.tls:
        raise SettingsError(f"mqtt.{given[0]}: expected mqtt.tls to be true with it, got false; set mqtt.tls: true")
    tls = Tls(ca_file=mqtt.ca_file, cert_file=mqtt.cert_file, key_file=mqtt.key_file, insecure=mqtt.insecure)
    return Broker(
        host=host,
        port=port or (MQTT_TLS_PORT if mqtt.tls else MQTT_PORT),
        username=mqtt.username,
        password=mqtt.password.get_secret_value() if mqtt.password else None,
        client_id=mqtt.client_id,
        tls=tls if mqtt.tls else None,
        keepalive_s=mqtt.keepalive_s,
    )
