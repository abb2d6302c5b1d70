"""What clients send over MQTT: questions are answered once, switches switch, nonsense is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from journal_fixtures import run, until
from mqtt_fixtures import Listener, Mosquitto, listener, mosquitto, publish

from stream.errors import StreamError
from stream.events.incoming import Handlers, Incoming
from stream.events.mqtt import MqttSink
from stream.events.outbox import Outbox
from stream.events.records import record_answer
from stream.journal import Writer

__all__ = ["listener", "mosquitto"]


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


def test_a_question_that_raises_is_answered_and_the_next_one_too() -> None:
    replies: list[dict[str, Any]] = []

    async def ask(name: str, camera: str, question: str, more: Mapping[str, Any]) -> None:
        raise ZeroDivisionError("a bug, at /a/path")

    async def work() -> None:
        incoming = Incoming("ov2", Handlers(ask=ask, reply=lambda topic, body: replies.append(json.loads(body))))
        for name in ("q-1", "q-2"):
            incoming.take("ov2/ask", json.dumps({"id": name, "camera": "c", "question": "?"}).encode(), False)
        await until(lambda: len(replies) == 2)
        await incoming.stop()

    run(work())
    message = "ask: expected to be asked, it failed; the service's log says more"
    assert replies == [{"id": name, "error": {"code": "internal", "message": message}} for name in ("q-1", "q-2")]


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
