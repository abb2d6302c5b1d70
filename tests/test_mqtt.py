"""Events reach a real broker: topics, retention, the last will, outages, passwords, TLS; and what clients send us."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from journal_fixtures import change, delivering, event, run, until
from mqtt_fixtures import Listener, Mosquitto, free_port, listener, make_certificates, mosquitto  # noqa: F401

from stream.errors import PublishError, SettingsError, StreamError
from stream.events.address import Broker, Tls
from stream.events.broker import EmbeddedBroker
from stream.events.event import Change, EventIds
from stream.events.incoming import Handlers, Incoming
from stream.events.mqtt import MqttSink
from stream.events.outbox import Outbox
from stream.events.pace import Pace
from stream.events.records import record_answer, record_change
from stream.events.retained import Retained
from stream.events.topics import Message
from stream.journal import Writer

# ruff: noqa: F811

Work = Callable[[Writer, Outbox, MqttSink], Awaitable[None]]


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
    assert subprocess.run([sys.executable, "-c", script], timeout=30).returncode == 1
    listener.wait_for(lambda m: m.topic == "ov2/available" and m.payload == b"online")
    listener.wait_for(lambda m: m.topic == "ov2/available" and m.payload == b"offline")


def test_a_wrong_password_is_logged_without_the_password_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Mosquitto(tmp_path, password="right")
    broker.start()

    async def work(writer: Writer, outbox: Outbox, sink: MqttSink) -> None:
        await until(lambda: "trying again" in caplog.text)

    caplog.set_level(logging.WARNING)
    publish(tmp_path, broker.port, work, username="ov2", password="wrong-secret")
    broker.stop()
    assert "wrong-secret" not in caplog.text + repr(Broker(host="h", port=1, password="wrong-secret"))


def test_tls_with_a_client_certificate_reaches_a_broker_that_asks_for_one(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    broker = Mosquitto(tmp_path, tls=certificates)
    broker.start()

    async def work(writer: Writer, outbox: Outbox, sink: MqttSink) -> None:
        record_change(writer, change())
        await outbox.drained()

    mine = {"cert_file": certificates / "client.pem", "key_file": certificates / "client.key"}
    publish(tmp_path, broker.port, work, tls=Tls(ca_file=certificates / "ca.pem", **mine))
    publish(tmp_path, broker.port, work, tls=Tls(insecure=True, **mine))
    broker.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves the socket to the collector
def test_a_broker_whose_certificate_somebody_else_signed_is_not_told_anything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificates = make_certificates(tmp_path)
    broker = Mosquitto(tmp_path, tls=certificates)
    broker.start()

    async def work(writer: Writer, outbox: Outbox, sink: MqttSink) -> None:
        await until(lambda: "CERTIFICATE_VERIFY_FAILED" in caplog.text)
        assert not sink.connected.is_set()

    publish(tmp_path, broker.port, work, tls=Tls(ca_file=certificates / "other.pem"))
    caplog.clear()  # its records hold the error, which holds the socket
    gc.collect()
    broker.stop()


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


def test_a_topic_keeps_only_its_latest_value_until_the_broker_has_that() -> None:
    retained = Retained()
    old, new = (Message(topic="ov2/front/state", payload=value, retain=True) for value in (b"1", b"2"))
    retained.set(old)
    retained.set(new)
    retained.done(old)
    assert retained.first() is new
    retained.done(new)
    assert retained.first() is None
    retained.renew()
    assert retained.first() is new


def test_a_topic_that_was_removed_is_removed_at_the_broker_and_then_forgotten() -> None:
    retained = Retained()
    retained.set(Message(topic="homeassistant/device/x/config", payload=b"{}", retain=True))
    empty = Message(topic="homeassistant/device/x/config", payload=b"", retain=True)
    retained.set(empty)
    assert retained.first() is empty
    retained.done(empty)
    retained.renew()
    assert retained.first() is None


def test_a_pace_lets_a_burst_through_and_then_so_many_a_second() -> None:
    now = [0.0]

    async def pause(seconds: float) -> None:
        now[0] += seconds

    async def work() -> list[float]:
        pace, times = Pace(10.0, 5, clock=lambda: now[0], pause=pause), []
        for _ in range(25):
            await pace.wait()
            times.append(now[0])
        return times

    times = asyncio.run(work())
    assert times[:5] == [0.0] * 5
    assert times[-1] == pytest.approx(2.0)
    assert max(sum(1 for t in times if start <= t < start + 1.0) for start in times) <= 15


def test_a_question_over_mqtt_is_answered_once_however_often_it_is_delivered(
    tmp_path: Path, mosquitto: Mosquitto, listener: Listener
) -> None:
    asked: list[tuple[str, str, str, Mapping[str, Any]]] = []

    async def work(writer: Writer, outbox: Outbox, sink: MqttSink) -> None:
        async def ask(*question: Any) -> None:
            asked.append(question)
            record_answer(writer, question[1], question[0], {"answer": "nobody"}, "mqtt")

        box.append(ask)
        await sink.ready()
        question = json.dumps({"id": "q-1", "camera": "front", "question": "who?", "max_tokens": 5})
        await asyncio.to_thread(listener.send, "ov2/ask", question)
        await asyncio.to_thread(listener.send, "ov2/ask", question)
        answer = await asyncio.to_thread(listener.wait_for, lambda m: m.topic == "ov2/answer/q-1")
        assert json.loads(answer.payload) == {"answer": "nobody", "id": "q-1", "via": "mqtt"}
        assert not answer.retain

    box: list[Any] = []

    async def ask_later(*question: Any) -> None:
        await box[0](*question)

    publish(tmp_path, mosquitto.port, work, lambda sink: Incoming("ov2", Handlers(ask=ask_later, reply=sink.reply)))
    assert asked == [("q-1", "front", "who?", {"max_tokens": 5})]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"who?", 'expected {"id", "camera", "question"}, got no JSON object'),
        (b"[" * 5000, "got no JSON object"),
        (b'{"id": "a/b", "camera": "front", "question": "who?"}', "ask.id: expected 1 to 64 of"),
        (b'{"camera": "front", "question": "  "}', "ask.question: expected some text"),
        (b'{"camera": ["front"], "question": "who?"}', "ask.camera: expected some text"),
        (b'{"camera": "nowhere", "question": "who?"}', "expected front, got nowhere"),
    ],
)
def test_a_question_that_makes_no_sense_is_answered_with_what_was_expected(payload: bytes, expected: str) -> None:
    replies: list[tuple[str, dict[str, Any]]] = []

    async def ask(name: str, camera: str, question: str, more: Mapping[str, Any]) -> None:
        raise StreamError(f"camera: expected front, got {camera}")

    async def work() -> None:
        handlers = Handlers(ask=ask, reply=lambda topic, body: replies.append((topic, json.loads(body))))
        incoming = Incoming("ov2", handlers)
        incoming.take("ov2/ask", payload, False)
        await until(lambda: bool(replies))
        await incoming.stop()

    run(work())
    ((topic, body),) = replies
    assert topic == f"ov2/answer/{body['id']}".removeprefix("ov2/")
    assert expected in body["error"]["message"]


def test_more_questions_than_allowed_are_refused_at_once() -> None:
    replies: list[bytes] = []
    running: list[str] = []

    async def work() -> None:
        done = asyncio.Event()

        async def ask(name: str, camera: str, question: str, more: Mapping[str, Any]) -> None:
            running.append(name)
            await done.wait()

        incoming = Incoming(
            "ov2", Handlers(ask=ask, reply=lambda topic, body: replies.append(body)), max_running=2, max_waiting=3
        )
        for number in range(8):
            incoming.take("ov2/ask", json.dumps({"id": f"q{number}", "camera": "c", "question": "?"}).encode(), False)
        await until(lambda: len(running) == 2)
        assert len(replies) == 3
        assert all(b"at_capacity" in reply for reply in replies)
        done.set()
        await until(lambda: len(running) == 5)
        await incoming.stop()

    run(work())


def test_switches_call_what_was_injected_and_nonsense_does_nothing() -> None:
    switched: list[tuple[str, str, bool]] = []

    async def set_feature(camera: str, feature: str, on: bool) -> None:
        if feature == "nothing":
            raise StreamError("nothing: expected watching")
        switched.append((camera, feature, on))

    async def work() -> None:
        incoming = Incoming("ov2", Handlers(set_feature=set_feature))
        incoming.take("ov2/front/watching/set", b"OFF", False)
        incoming.take("ov2/front/watching/set", b"maybe", False)
        incoming.take("ov2/front/nothing/set", b"ON", False)
        incoming.take("ov2/front/session/set", b"ON", True)  # retained: an old wish
        incoming.take("ov2/front/session/set", b"O" * 100_000, False)
        await until(lambda: incoming.num_refused == 4)
        await incoming.stop()

    run(work())
    assert switched == [("front", "watching", False)]


def test_event_ids_have_the_format_of_the_convention_and_never_repeat() -> None:
    ids = EventIds()
    made = [ids.next(1_700_000_000.25) for _ in range(100)]
    assert len({name[:17] for name in made}) == 100
    for name in made:
        seconds, _, rest = name.partition(".")
        micros, _, tail = rest.partition("-")
        assert (seconds, len(micros), len(tail)) == ("1700000000", 6, 6)
        assert micros.isdigit()
        assert tail.isalnum()


def test_event_ids_keep_their_order_when_the_clock_is_moved_back() -> None:
    ids = EventIds()
    made = [ids.next(time_s) for time_s in (1_700_000_000.0, 1_699_996_400.0, 1_700_000_000.0)]
    assert made == sorted(made)
    assert len({name[:17] for name in made}) == 3


def test_a_change_is_json_with_before_and_after() -> None:
    told = json.loads(json.dumps(Change("end", event(), event()).body()))
    assert told["type"] == "end"
    assert told["before"]["id"] == told["after"]["id"]
