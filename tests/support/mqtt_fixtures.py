"""A real mosquitto, and a real client that collects what it publishes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import paho.mqtt.client as paho
import pytest
from journal_fixtures import delivering, run
from ports import free_port
from programs import require
from stopping import stop
from waiting import until

from stream.events.address import Broker
from stream.events.incoming import Incoming
from stream.events.mqtt import MqttSink
from stream.events.outbox import Outbox
from stream.journal import Writer

WAIT_S = 60.0
ASKED, ASK_EVERY_S = 10, 0.5
ANSWER_S = 10.0
SHOWN = 20
Found = TypeVar("Found")
Work = Callable[[Writer, Outbox, MqttSink], Awaitable[None]]
MOSQUITTO = Path(shutil.which("mosquitto") or "/usr/sbin/mosquitto")


class Mosquitto:
    """Can be stopped and started again on the same port, as brokers are. `persistent`: it keeps sessions over a stop. `tls`: a folder
    of certificates (`make_certificates`); clients must then bring one of their own."""

    def __init__(self, folder: Path, password: str | None = None, *, persistent: bool = False, tls: Path | None = None) -> None:
        require("mosquitto")
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", f"allow_anonymous {'false' if password else 'true'}"]
        if os.geteuid() == 0:
            lines.append("user root")  # or it would give up the right to read a test's own folder
        if password:
            users = folder / "users"
            subprocess.run(["mosquitto_passwd", "-b", "-c", users, "ov2", password], check=True, capture_output=True)
            lines.append(f"password_file {users}")
        if persistent:
            lines += ["persistence true", f"persistence_location {folder}/", "max_queued_messages 0"]
        if tls:
            lines += [f"cafile {tls}/ca.pem", f"certfile {tls}/server.pem", f"keyfile {tls}/server.key"]
            lines += ["require_certificate true"]
        self._config.write_text("\n".join(lines) + "\n")
        self.log = folder / "mosquitto.log"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        said = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("a") as log:  # a pipe that nobody reads would block it
            self.process = process = subprocess.Popen([MOSQUITTO, "-c", self._config], stderr=log, text=True)
        until(lambda: "running" in self.log.read_text()[said:] or process.poll() is not None)
        assert process.poll() is None, self.log.read_text()[said:]

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Asks more than once: between the line "running" and its loop mosquitto forgets a SIGTERM."""
        process, self.process = self.process, None
        if process is not None:
            for _ in range(ASKED):
                process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(ASK_EVERY_S)
                    return
            stop(process)


class Listener:
    """Subscribes to everything; `wait_for(test)` returns the first message that passes, past or future. With a `name` its session is
    kept by the broker while it is away, and it connects again by itself."""

    def __init__(self, port: int, name: str | None = None, *, username: str | None = None, password: str | None = None) -> None:
        self.messages: list[paho.MQTTMessage] = []
        self._events: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._subscribed = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name or "", clean_session=name is None)
        if username is not None:
            self._client.username_pw_set(username, password)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *rest: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *rest: self._subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(WAIT_S)

    def _on_message(self, client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        with self._news:
            self.messages.append(message)
            if message.topic.endswith("/events"):
                self._events.append(json.loads(message.payload))
            self._news.notify_all()

    def wait_for(self, test: Callable[[paho.MQTTMessage], bool]) -> paho.MQTTMessage:
        seen = 0

        def first() -> paho.MQTTMessage | None:
            nonlocal seen
            new, seen = self.messages[seen:], len(self.messages)
            return next((message for message in new if test(message)), None)

        return self.wait_until(first)

    def wait_until(self, test: Callable[[], Found]) -> Found:
        """What `test` finds, tried once for whatever has come; messages wait meanwhile, so it had better be quick."""
        with self._news:
            found = self._news.wait_for(test, WAIT_S)
        state = "connected" if self._client.is_connected() else "not connected"
        last = [(m.topic, m.payload) for m in self.messages[-SHOWN:]]
        assert found, f"waited in vain; {len(self.messages)} messages; {state}; the last: {last}"
        return found

    def events(self) -> list[dict[str, Any]]:
        with self._news:
            return list(self._events)

    def subscribe(self, topic: str) -> None:
        """To one more."""
        self._subscribed.clear()
        self._client.subscribe(topic, qos=1)
        assert self._subscribed.wait(WAIT_S)

    def send(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(WAIT_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def refusal_of(port: int, username: str | None = None, password: str | None = None) -> str:
    """What a real client that asks for everything is told. A broker that refuses closes the connection with the client's next packets
    unread, and the reset of it may overtake the refusal: then it is asked again."""
    told: list[str] = []
    heard: list[Any] = []

    def ask() -> bool:
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        if username is not None:
            client.username_pw_set(username, password)
        client.on_connect = lambda _client, _data, _flags, reason, _properties: told.append(str(reason))
        client.on_message = lambda *message: heard.append(message)
        client.connect("127.0.0.1", port)
        client.subscribe("#")
        client.publish("ov2/ask", b"{}", retain=True)
        deadline = time.monotonic() + ANSWER_S
        while not told and time.monotonic() < deadline and client.loop(timeout=1.0) == paho.MQTTErrorCode.MQTT_ERR_SUCCESS:
            pass
        client.disconnect()
        return bool(told)

    until(ask)
    assert not heard
    return told[0]


def make_certificates(folder: Path) -> Path:
    """An authority, a server for 127.0.0.1, a client; and a stranger's authority."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    for authority in ("ca", "other"):
        subject = ["-subj", f"/CN={authority}", "-days", "2", "-nodes"]
        openssl("req", "-x509", "-newkey", "rsa:2048", "-keyout", f"{authority}.key", "-out", f"{authority}.pem", *subject)
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl("req", "-newkey", "rsa:2048", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-nodes", "-subj", f"/CN={name}")
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signing)
    return folder


def publish(folder: Path, port: int, work: Work, incoming: Callable[[MqttSink], Incoming] | None = None, **broker: Any) -> None:
    """Run `work` with a journal in `folder` and an outbox to the broker."""

    async def main() -> None:
        sink = MqttSink(Broker(host="127.0.0.1", port=port, **broker))
        taking = incoming(sink) if incoming is not None else None
        if taking is not None:
            sink.topics, sink.on_message = taking.topics, taking.take
        sink.start()
        try:
            async with delivering(folder, sink) as (writer, (outbox,)):
                await work(writer, outbox, sink)
        finally:
            if taking is not None:
                await taking.stop()
            await sink.stop()

    run(main())


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


@pytest.fixture
def listener(mosquitto: Mosquitto) -> Iterator[Listener]:
    client = Listener(mosquitto.port)
    yield client
    client.close()
