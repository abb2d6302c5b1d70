"""The journal over HTTP, in the SDK and in `ov2 events`, with a real service; and what the service writes to it."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from mqtt_fixtures import Listener, Mosquitto, mosquitto  # noqa: F401
from ov2_cli.events import moment
from ov2_cli.main import app
from ov2_client import AsyncClient, Client, JournalEntry, RefusedError
from redis_fixtures import RedisServer, redis_server  # noqa: F401
from service_fixtures import RunningService, Start, checkpoint, model, over, start, video  # noqa: F401
from typer.testing import CliRunner
from waiting import WAIT_S, until

# ruff: noqa: F811


@pytest.fixture
def service(start: Start, video: Path) -> RunningService:
    """Its film is over, and one question has been asked of it."""
    running = start({"front": {"url": str(video), "paced": False}})
    running.camera_when("front", over)
    assert running.ask("front", question="who is there?", max_tokens=3).status_code == 200
    return running


def put(service: RunningService, number: int, camera: str = "front") -> None:
    """An event from elsewhere in the service."""
    after = {"id": f"e{number}", "camera": camera, "label": "more", "watch": None}
    service.runner.service.delivery.writer.put("boundary", camera, f"e{number}", {"type": "new", "after": after})


def test_a_question_and_its_answer_are_in_the_journal_and_pages_put_together_are_all_of_it(service: RunningService) -> None:
    for number in range(12):
        put(service, number, "front" if number % 2 else "back")
    with Client(service.url) as client:
        (question,) = client.events(kind="question").entries
        (answer,) = client.events(kind="answer", id=question.id).entries
        assert (question.camera, question.body["question"], question.body["via"]) == ("front", "who is there?", "http")
        assert answer.body["evidence"][0]["frames"] > 0
        assert answer.position > question.position
        until(lambda: client.events(id="e11").entries)  # the last that was put
        whole = client.events().entries
        page, found = client.events(limit=5), []
        found += page.entries
        while page.next is not None:
            page = client.events(limit=5, after=page.next)
            found += page.entries
        assert tuple(found) == whole
        newest = client.events(order="newest", limit=3, camera="back").entries
        assert [entry.id for entry in newest] == ["e10", "e8", "e6"]
        middle = whole[5]
        assert client.events(since=middle.time, until=middle.time).entries[0] == middle
        with pytest.raises(RefusedError) as caught:
            client.events(limit=0)
        assert caught.value.status == 422


def test_a_follower_sees_what_comes_and_goes_on_where_it_stopped(service: RunningService) -> None:
    async def main() -> tuple[list[str], list[str]]:
        async with AsyncClient(service.url) as client:
            last = (await client.events(order="newest", limit=1)).entries[0].position
            first = client.follow(camera="front", kind="boundary", after=last)
            for number in range(4):
                put(service, number, "front" if number else "back")
            seen = [await anext(first) for _ in range(2)]
            await first.aclose()  # type: ignore[attr-defined]
            second = client.follow(kind="boundary", after=seen[-1].position)
            rest = [await anext(second)]
            await second.aclose()  # type: ignore[attr-defined]
            return [entry.id for entry in seen], [entry.id for entry in rest]

    assert asyncio.run(asyncio.wait_for(main(), WAIT_S)) == (["e1", "e2"], ["e3"])


def test_a_client_that_comes_back_says_its_last_event_id_and_misses_nothing(service: RunningService) -> None:
    put(service, 1)
    put(service, 2)
    with Client(service.url) as client:
        entries = until(lambda: client.events(kind="boundary", id="e1").entries)
    headers = {"Last-Event-ID": str(entries[0].position)}
    with httpx.stream("GET", f"{service.url}/v1/events/stream", headers=headers, timeout=WAIT_S) as response:
        lines = response.iter_lines()
        data = next(line for line in lines if line.startswith("data: "))
    assert json.loads(data.removeprefix("data: "))["id"] == "e2"


def test_a_stop_lets_followers_go(service: RunningService) -> None:
    seen: list[JournalEntry] = []
    with Client(service.url) as client:
        entries = client.follow(after=0)
        seen.append(next(entries))
        rest = threading.Thread(target=lambda: seen.extend(entries))
        rest.start()
        assert service.end() == 0
        rest.join(WAIT_S)
        assert not rest.is_alive()


def test_ov2_events_shows_lines_or_json(service: RunningService) -> None:
    shown = CliRunner().invoke(app, ["events", "--server", service.url])
    assert shown.exit_code == 0, shown.output
    assert "front        question  who is there?" in shown.stdout
    lines = CliRunner().invoke(app, ["events", "--server", service.url, "--json", "--since", "1h", "--kind", "answer"])
    (entry,) = [json.loads(line) for line in lines.stdout.splitlines()]
    assert entry["body"]["question"] == "who is there?"


def test_times_are_ago_or_a_moment_and_nonsense_says_what_was_expected() -> None:
    assert moment("1700000000.5", "--since") == 1_700_000_000.5
    assert moment("2h", "--since") - moment("1h", "--since") == pytest.approx(-3600, abs=5)
    assert moment("2026-01-31T18:00+00:00", "--since") == 1_769_882_400.0
    with pytest.raises(typer.BadParameter, match="expected 30m, 2h, 7d"):
        moment("yesterday", "--since")


def test_a_question_over_mqtt_is_answered_over_mqtt_and_is_in_the_journal(
    start: Start, video: Path, mosquitto: Mosquitto
) -> None:
    listener = Listener(mosquitto.port)
    mqtt = {"host": "127.0.0.1", "port": mosquitto.port}
    service = start({"front": {"url": str(video), "paced": False}}, mqtt=mqtt)
    service.camera_when("front", over)
    listener.wait_for(lambda m: m.topic == "ov2/available" and m.payload == b"online")

    def ask(name: str, **more: Any) -> dict[str, Any]:
        listener.send("ov2/ask", json.dumps({"id": name, "camera": "front", "question": "who?", "max_tokens": 3, **more}))
        return dict(json.loads(listener.wait_for(lambda m: m.topic == f"ov2/answer/{name}").payload))

    answer = ask("q1")
    assert answer["camera"] == "front"
    assert answer["evidence"][0]["frames"] > 0
    assert ask("q2", camera="frnt")["error"]["code"] == "unknown_camera"
    assert "extra" in ask("q3", temprature=1)["error"]["message"].lower()
    with Client(service.url) as client:
        assert [entry.body["via"] for entry in client.events(id="q1").entries] == ["mqtt", "mqtt"]
        assert client.status()["journal"]["outboxes"]["mqtt"]["delivered"] >= 2
    listener.close()


def test_a_service_on_redis_whose_redis_dies_says_so_answers_on_and_recovers(
    start: Start, video: Path, redis_server: RedisServer
) -> None:
    service = start({"front": {"url": str(video), "paced": False}}, journal={"url": redis_server.url})
    service.camera_when("front", over)
    assert service.ask("front", question="before?", max_tokens=2).status_code == 200
    redis_server.kill()
    while not (journal := service.get("/v1/status").json()["journal"])["degraded"]:
        pass
    assert "expected Redis to answer" in journal["degraded"]
    assert service.get("/v1/events").status_code == 503
    assert service.ask("front", question="meanwhile?", max_tokens=2).status_code == 200
    redis_server.start()
    while service.get("/v1/status").json()["journal"]["degraded"]:
        pass
    asked = [entry["body"]["question"] for entry in service.get("/v1/events?kind=question").json()["entries"]]
    assert asked == ["before?", "meanwhile?"]
