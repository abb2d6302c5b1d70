"""Questions about the past, asked of a running service: what is read, what is said of it, what is refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ov2_client import Answer, Client
from ports import free_port
from service_fixtures import Start, checkpoint, model, over, start, video  # noqa: F401
from waiting import until

from stream.errors import RecallError
from stream.memory import Memory

# ruff: noqa: F811
SHORT: dict[str, Any] = {"window_s": 1.5}
"""A window that has left most of a film of four seconds."""


def remembered(data: Path, name: str = "front") -> None:
    """Wait until the memory's file is there: groups are written behind the model's back."""
    until(lambda: list((data / "memory" / name).glob("*.groups")))


def test_a_time_before_the_window_is_read_from_memory_and_named(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}}, session=SHORT)
    service.camera_when("front", over)
    now = service.ask("front", question="who?", max_tokens=4).json()
    past = service.ask("front", question="who?", max_tokens=4, since="-1h").json()
    assert now["recall"] is None
    assert now["evidence"][0]["end"] - now["evidence"][0]["start"] < 3.0
    (span,) = past["evidence"]
    assert span["end"] - span["start"] == pytest.approx(4.0, abs=0.6)
    assert past["recall"]["since"] == pytest.approx(span["start"], abs=0.01)
    assert past["recall"]["why"] == "all of that time"
    assert past["time_zero_s"] == pytest.approx(span["start"], abs=0.01)
    assert service.ask("front", question="who?", max_tokens=4).json()["answer"] == now["answer"]


def test_since_and_until_inside_the_window_leave_the_rest_of_it_out(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video)}})
    service.camera_when("front", over)
    (whole,) = service.ask("front", question="who?", max_tokens=4).json()["evidence"]
    since = whole["start"] + 2.0
    answer = service.ask("front", question="who?", max_tokens=4, since=since).json()
    assert answer["recall"] is None
    assert answer["evidence"][0]["frames"] < whole["frames"]
    assert answer["evidence"][-1]["end"] > since


def test_a_time_in_the_words_of_the_question_is_looked_up(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}})
    service.camera_when("front", over)
    answer = service.ask("front", question="who was there two hours ago?", max_tokens=4).json()
    assert (answer["answer"], answer["finish_reason"], answer["evidence"]) == ("not seen", "not_seen", [])
    assert answer["recall"]["why"] == "nothing is remembered of that time"
    assert answer["recall"]["until"] < time.time() - 3600


def test_memory_outlives_the_service_and_answers_while_the_camera_is_away(start: Start, video: Path, tmp_path: Path) -> None:
    data = tmp_path / "kept"
    first = start({"front": {"url": str(video), "paced": False}}, data=str(data))
    first.camera_when("front", over)
    remembered(data)
    first.end()
    second = start({"front": {"url": f"rtsp://127.0.0.1:{free_port()}/away"}}, data=str(data))
    assert second.ask("front", question="who?", max_tokens=4).status_code == 503
    answer = second.ask("front", question="who?", max_tokens=4, since="-1h").json()
    assert answer["evidence"][0]["end"] - answer["evidence"][0]["start"] == pytest.approx(4.0, abs=0.6)
    assert answer["answer"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"since": "soon"}, "since: expected a time like"),
        ({"since": "-5m", "until": "-10m"}, "expected a time after since"),
        ({"since": 4e9}, "expected a time in the past"),
        ({"recall": "always"}, "recall"),
    ],
)
def test_a_bad_time_is_refused_and_says_what_was_expected(
    start: Start, video: Path, body: dict[str, Any], message: str
) -> None:
    service = start({"front": {"url": str(video), "paced": False}})
    response = service.ask("front", question="who?", **body)
    assert response.status_code == 422
    assert message in response.json()["error"]["message"]


def test_without_a_memory_the_past_is_refused_and_the_present_is_not(start: Start, video: Path, tmp_path: Path) -> None:
    data = tmp_path / "none"
    service = start({"front": {"url": str(video), "paced": False}}, memory={"enabled": False}, session=SHORT, data=str(data))
    service.camera_when("front", over)
    refused = service.ask("front", question="who?", since="-1h")
    assert refused.status_code == 422
    assert refused.json()["error"]["setting"] == "memory.enabled"
    assert service.ask("front", question="who?", max_tokens=4).status_code == 200
    assert not (data / "memory").exists()


def test_a_memory_in_use_stops_the_start_with_its_folder_and_setting(start: Start, video: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    with Memory(folder / "front"), pytest.raises(RecallError, match=r"front.*memory\.folder"):
        start({"front": {"url": str(video)}}, memory={"folder": str(folder)})


def test_the_client_passes_times_on_and_reads_where_the_answer_looked(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}}, session=SHORT)
    service.camera_when("front", over)
    with Client(service.url) as client:
        answer = client.ask("front", "who?", max_tokens=4, since="-1h").answer()
    assert isinstance(answer, Answer)
    assert answer.recall is not None
    assert answer.recall.why == "all of that time"
