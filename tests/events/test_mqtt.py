"""Events reach a real broker: topics, retention, the last will, outages, passwords, TLS."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from journal_fixtures import change, event, until
from mqtt_fixtures import Listener, Mosquitto, listener, make_certificates, mosquitto, publish
from ports import free_port

from stream.errors import PublishError, SettingsError
from stream.events.address import Broker, Tls
from stream.events.broker import EmbeddedBroker
from stream.events.journal_entries import record_change
from stream.events.mqtt import MqttSink
from stream.events.outbox import Outbox
from stream.journal import Writer

__all__ = ["listener", "mosquitto"]


def test_states_are_retained_and_events_are_not(tmp_path: Path, mosquitto: Mosquitto, listener: Listener) -> None:
    async def work(writer: Writer, outbox: Outbox, sink: MqttSink) -> None:
        sink.state("front/status", "online")
        sink.snapshot("front", b"\xff\xd8 a jpeg")
        record_change(writer, change())
        await outbox.drained()
        await asyncio.to_thread(listener.wait_for, lambda m: m.topic == "ov2/front/snapshot")

    publish(tmp_path, mosquitto.port, work)
    listener.wait_for(lambda m: m.topic == "ov2/available" and m.payload == b"offline")
    late = Listener(mosquitto.port)
    late.wait_for(lambda m: m.topic == "ov2/front/status" and m.payload == b"online" and m.retain)
    late.wait_for(lambda m: m.topic == "ov2/front/snapshot" and m.payload == b"\xff\xd8 a jpeg" and m.retain)
    late.wait_for(lambda m: m.topic == "ov2/available" and m.payload == b"offline" and m.retain)
    late.wait_for(lambda m: m.topic == "ov2/front/boundary/state" and m.payload == b"ON" and m.retain)
    late.close()
    assert late.events() == []
    assert not [m for m in late.messages if m.topic.endswith("/event")]
    (told,) = listener.events()
    assert set(told) == {"type", "before", "after"}
    assert told["after"]["evidence"] == [{"start": 1.0, "end": 1.5, "frames": 5}]
    assert told["after"]["end_time"] is None


def test_a_watch_has_a_state_and_an_event_of_its_own(tmp_path: Path, mosquitto: Mosquitto, listener: Listener) -> None:
    async def work(writer: Writer, outbox: Outbox, sink: MqttSink) -> None:
        for kind in ("new", "update", "end"):
            record_change(writer, change(kind=kind, watch="door"))
        await outbox.drained()

    publish(tmp_path, mosquitto.port, work)
    listener.wait_for(lambda m: m.topic == "ov2/front/door/state" and m.payload == b"OFF")
    told = [(m.topic, m.payload) for m in listener.messages]
    assert [payload for topic, payload in told if topic == "ov2/front/door/state"] == [b"ON", b"ON", b"OFF"]
    events = [json.loads(payload) for topic, payload in told if topic == "ov2/front/door/event"]
    assert [one["event_type"] for one in events] == ["new", "update", "end"]
    assert events[0]["id"] == event().id


def test_events_wait_for_a_broker_that_is_away_and_states_come_back_after_its_restart(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    async def work(writer: Writer, outbox: Outbox, sink: MqttSink) -> None:
        sink.state("front/status", "online")
        record_change(writer, change("first"))
        await outbox.drained()
        await asyncio.to_thread(mosquitto.stop)
        for number in range(3):
            record_change(writer, change(f"e{number}"))
        await asyncio.to_thread(mosquitto.start)  # without persistence: it has forgotten everything
        late = await asyncio.to_thread(Listener, mosquitto.port)
        await asyncio.to_thread(late.wait_for, lambda m: m.topic == "ov2/front/status" and m.payload == b"online")
        await asyncio.to_thread(late.wait_for, lambda m: m.topic == "ov2/front/boundary/state" and m.payload == b"ON")
        await outbox.drained()
        record_change(writer, change("last"))
        await asyncio.to_thread(late.wait_for, lambda m: m.topic == "ov2/events" and b'"last"' in m.payload)
        late.close()

    publish(tmp_path, mosquitto.port, work)


def test_a_process_that_dies_is_told_as_offline_by_its_will(mosquitto: Mosquitto, listener: Listener) -> None:
    script = (
        "import asyncio, os\n"
        "from stream.events.address import Broker\n"
        "from stream.events.mqtt import MqttSink\n"
        "async def main():\n"
        f"    sink = MqttSink(Broker(host='127.0.0.1', port={mosquitto.port}))\n"
        "    sink.start()\n"
        "    await sink.ready()\n"
        "    os._exit(1)\n"
        "asyncio.run(main())\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 1
    listener.wait_for(lambda m: m.topic == "ov2/available" and m.payload == b"online")
    listener.wait_for(lambda m: m.topic == "ov2/available" and m.payload == b"offline")


def test_a_wrong_password_is_logged_without_the_password_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(writer: Writer, outbox: Outbox, sink: MqttSink) -> None:
        await until(lambda: "trying again" in caplog.text)

    caplog.set_level(logging.WARNING)
    with Mosquitto(tmp_path, password="right") as broker:
        publish(tmp_path, broker.port, work, username="ov2", password="wrong-secret")
    assert "wrong-secret" not in caplog.text + repr(Broker(host="h", port=1, password="wrong-secret"))


def test_tls_with_a_client_certificate_reaches_a_broker_that_asks_for_one(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)

    async def work(writer: Writer, outbox: Outbox, sink: MqttSink) -> None:
        record_change(writer, change())
        await outbox.drained()

    mine = {"cert_file": certificates / "client.pem", "key_file": certificates / "client.key"}
    with Mosquitto(tmp_path, tls=certificates) as broker:
        publish(tmp_path, broker.port, work, tls=Tls(ca_file=certificates / "ca.pem", **mine))
        publish(tmp_path, broker.port, work, tls=Tls(insecure=True, **mine))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves the socket to the collector
def test_a_broker_whose_certificate_somebody_else_signed_is_not_told_anything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificates = make_certificates(tmp_path)

    async def work(writer: Writer, outbox: Outbox, sink: MqttSink) -> None:
        await until(lambda: "CERTIFICATE_VERIFY_FAILED" in caplog.text)
        assert not sink.connected.is_set()

    with Mosquitto(tmp_path, tls=certificates) as broker:
        publish(tmp_path, broker.port, work, tls=Tls(ca_file=certificates / "other.pem"))
        caplog.clear()  # its records hold the error, which holds the socket
        gc.collect()


def test_certificates_that_cannot_be_read_name_their_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"mqtt\.ca_file: expected a PEM file"):
        Tls(ca_file=tmp_path / "none.pem").context()
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(SettingsError, match=r"mqtt\.cert_file, mqtt\.key_file: expected a PEM certificate"):
        Tls(cert_file=tmp_path / "bad.pem").context()


def test_the_embedded_broker_finds_a_free_port_and_carries_events(tmp_path: Path) -> None:
    with EmbeddedBroker() as broker:
        listener = Listener(broker.port)

        async def work(writer: Writer, outbox: Outbox, sink: MqttSink) -> None:
            sink.state("front/status", "online")
            for number in range(50):
                record_change(writer, change(f"e{number}"))
            await outbox.drained()
            await asyncio.to_thread(listener.wait_for, lambda m: m.topic == "ov2/events" and b'"e49"' in m.payload)
            await asyncio.to_thread(listener.wait_for, lambda m: m.topic == "ov2/front/status")

        publish(tmp_path, broker.port, work)
        listener.wait_for(lambda m: m.topic == "ov2/available" and m.payload == b"offline")
        listener.close()
    assert [told["after"]["id"] for told in listener.events()] == [f"e{number}" for number in range(50)]


def test_an_embedded_broker_whose_port_is_taken_says_which_setting_to_change() -> None:
    with EmbeddedBroker() as first, pytest.raises(PublishError, match=r"expected to listen on .*mqtt\.port"):
        EmbeddedBroker(port=first.port).start()


def test_an_unreachable_broker_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    async def work(writer: Writer, outbox: Outbox, sink: MqttSink) -> None:
        record_change(writer, change())

    publish(tmp_path, free_port(), work)
