"""Watches of a running service: made, told with a picture and a clip, described in words, kept over a restart."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from mqtt_fixtures import Listener, Mosquitto, mosquitto  # noqa: F401
from ov2_client import Client, RefusedError
from PIL import Image
from service_fixtures import RunningService, Start, checkpoint, model, start, video  # noqa: F401

from stream.events.event import Change, Event, Evidence
from stream.events.journal_entries import record_change
from stream.journal import Writer
from stream.journal.sqlite import SqliteJournal

# ruff: noqa: F811

SURE: dict[str, Any] = {"sentence": "Is there a square?", "threshold": 1e-6, "release": 1e-9, "confirm": 1}
"""Holds whatever a checkpoint with random weights says."""
NEVER: dict[str, Any] = {"sentence": "Is there a circle?", "threshold": 1 - 1e-9, "release": 1e-9}


def looped(video: Path, **more: Any) -> dict[str, Any]:
    return {"front": {"url": str(video), "loop": True, **more}}


def told(service: RunningService, kind: str = "watch") -> list[dict[str, Any]]:
    with Client(service.url) as client:
        return [dict(entry.body) for entry in client.events(kind=kind).entries]


def when_told(service: RunningService, *types: str) -> list[dict[str, Any]]:
    """Until there is a change of each type; asking is the wait."""
    changes = told(service)
    while not set(types) <= {each["type"] for each in changes}:
        service.camera("front")
        changes = told(service)
    return changes


def test_a_watch_of_the_file_is_told_with_a_picture_a_clip_and_words(
    start: Start, video: Path, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    listener = Listener(mosquitto.port)
    service = start(
        looped(video, watches={"square": SURE, "circle": NEVER}, record={"folder": str(tmp_path / "log")}),
        mqtt={"host": "127.0.0.1", "port": mosquitto.port},
    )
    new, update, *_ = when_told(service, "new", "update")
    event = new["after"]
    assert (new["type"], event["watch"], event["severity"], event["caption"]) == ("new", "square", "alert", None)
    assert (event["has_snapshot"], event["has_clip"]) == (True, True)
    assert event["evidence"][0]["frames"] >= 1
    assert event["frame_age_ms"] < 10_000
    assert (update["type"], update["after"]["id"]) == ("update", event["id"])
    assert update["after"]["caption"], "the words follow, and held up nothing"
    picture = service.get(f"/v1/events/{event['id']}/snapshot.jpg")
    assert Image.open(io.BytesIO(picture.content)).size == (160, 96)
    assert listener.wait_for(lambda m: m.topic == "ov2/front/snapshot").payload == picture.content
    assert listener.wait_for(lambda m: m.topic == "ov2/front/square/state" and m.payload == b"ON")
    assert json.loads(listener.wait_for(lambda m: m.topic == "ov2/front/square/event").payload)["event_type"] == "new"
    service.camera_when("front", lambda status: status["groups"] >= 2)
    clip = httpx.get(f"{service.url}/v1/events/{event['id']}/clip.mp4", timeout=60)
    assert clip.status_code == 200, clip.text
    assert float(clip.headers["X-Clip-Start"]) <= event["start_time"]
    with av.open(io.BytesIO(clip.content)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 1
    assert [each for each in told(service) if each["after"]["watch"] == "circle"] == []
    listener.close()


def test_watches_are_made_changed_and_removed_over_http_and_kept_over_a_restart(
    start: Start, video: Path, tmp_path: Path
) -> None:
    data = str(tmp_path / "kept")
    service = start(looped(video), data=data)
    with Client(service.url) as client:
        made = client.put_watch("front", "square", **SURE)
        assert (made.settings["sentence"], made.state) == (SURE["sentence"], "off")
        client.put_watch("front", "gone", sentence="Is there a line?")
        client.remove_watch("front", "gone")
        with pytest.raises(RefusedError, match="expected one of its watches"):
            client.remove_watch("front", "gone")
        before = when_told(service, "new")[0]["after"]["id"]
        assert service.end() == 0
    again = start(looped(video), data=data)
    with Client(again.url) as client:
        [kept] = client.watches("front")
    assert (kept.name, kept.event) == ("square", before), "what was under way is still the same event"
    with Client(again.url) as client:
        client.put_watch("front", "square", **{**SURE, "enabled": False})
    ended = when_told(again, "end")[-1]
    assert ended["after"]["id"] == before
    assert [each["after"]["id"] for each in told(again) if each["type"] == "new"] == [before], "it never began twice"


def test_what_a_killed_service_had_begun_goes_on_where_it_is_a_watch_and_ends_where_it_is_a_boundary(
    start: Start, video: Path, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    def begun(kind: str, watch: str | None) -> Change:
        event = Event(
            id=f"1700000000.00000{len(kind)}-abcdef", camera="front", kind=kind, watch=watch, label="more",  # type: ignore[arg-type]
            start_time=1.7e9, score=6.0, top_score=6.0, frame_time=1.7e9 + 1, frame_age_ms=20.0, has_snapshot=True,
            evidence=(Evidence(start=1.7e9, end=1.7e9 + 1, frames=5),),
        )  # fmt: skip
        return Change("new", event, event)

    before = Writer(SqliteJournal(tmp_path / "journal.sqlite"))
    before.start()
    kept = {kind: record_change(before, begun(kind, watch)).id for kind, watch in (("boundary", None), ("watch", "square"))}
    before.stop()
    listener = Listener(mosquitto.port)
    broker = {"host": "127.0.0.1", "port": mosquitto.port}
    service = start(looped(video, watches={"square": SURE}), data=str(tmp_path), mqtt=broker)
    listener.wait_for(lambda m: m.topic == "ov2/front/boundary/state" and m.payload == b"OFF")
    ended = next(each for each in told(service, "boundary") if each["type"] == "end")["after"]
    assert (ended["id"], ended["end_time"], ended["has_snapshot"]) == (kept["boundary"], 1.7e9 + 1, True)
    service.camera_when("front", lambda status: status["groups"] >= 2)
    with Client(service.url) as client:
        [watch] = client.watches("front")
        assert (watch.state, watch.event) == ("on", kept["watch"])
        client.put_watch("front", "square", **{**SURE, "enabled": False})
    assert [each["after"]["id"] for each in told(service) if each["type"] == "new"] == [kept["watch"]]
    end = when_told(service, "end")[-1]["after"]
    assert (end["id"], end["has_snapshot"]) == (kept["watch"], True)
    listener.close()


def test_a_full_disk_refuses_a_watch_and_changes_nothing(start: Start, video: Path, tmp_path: Path) -> None:
    service = start(looped(video), data=str(tmp_path))
    with Client(service.url) as client:
        client.put_watch("front", "square", **SURE)
        (tmp_path / "watches.json.part").mkdir()  # stands for a disk that takes nothing
        with pytest.raises(RefusedError, match="expected to write down watch square"):
            client.put_watch("front", "square", **{**SURE, "enabled": False})
        with pytest.raises(RefusedError, match="make room in the data folder"):
            client.remove_watch("front", "square")
        [kept] = client.watches("front")
        assert kept.settings["enabled"], "it goes on"
        (tmp_path / "watches.json.part").rmdir()
        client.remove_watch("front", "square")
        assert client.watches("front") == []
    assert service.get("/v1/status").is_success


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("front/watches/dog", {"sentence": "a dog", "treshold": 0.5}, 422, "treshold"),
        ("front/watches/dog", {"sentence": "x" * 10_240}, 422, "at most 400"),
        ("front/watches/dog", {"sentence": "a \u0007 dog"}, 422, "control character"),
        ("front/watches/boundary", {"sentence": "a dog"}, 422, "expected a name that no topic has"),
        ("front/watches/Bad Name", {"sentence": "a dog"}, 422, "pattern"),
        ("front/watches/dog", {"sentence": "a dog", "zone": [[[0, 0], [1, 1], [1, 0], [0, 1]]]}, 422, "do not cross"),
        ("nowhere/watches/dog", {"sentence": "a dog"}, 404, "expected one of front"),
    ],
)
def test_a_watch_that_cannot_be_is_refused_by_name(
    start: Start, video: Path, path: str, body: dict[str, Any], status: int, words: str
) -> None:
    service = start({"front": {"url": str(video)}})
    answer = httpx.put(f"{service.url}/v1/cameras/{path}", json=body, timeout=60)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]


def test_more_zones_and_watches_than_stated_are_refused_and_the_rest_goes_on(start: Start, video: Path) -> None:
    service = start(looped(video), watches={"max_zones": 1})
    with Client(service.url) as client:
        corners = [[0.0, 0.0], [1.0, 0.0], [1.0, 0.5]]
        client.put_watch("front", "top", **{**SURE, "zone": [corners]})
        with pytest.raises(RefusedError, match="at most 1 zones of all cameras"):
            client.put_watch("front", "other", **{**SURE, "zone": [[[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]]]})
        for number in range(199):
            client.put_watch("front", f"w{number}", sentence=f"Is there a number {number}?")
        with pytest.raises(RefusedError, match="at most 200 watches"):
            client.put_watch("front", "one-more", sentence="Is there more?")
        assert len(client.watches()) == 200
    assert when_told(service, "new")[0]["after"]["watch"] == "top"


def test_a_zone_can_be_made_after_an_older_one_is_gone(start: Start, video: Path) -> None:
    service = start(looped(video), watches={"max_zones": 2})
    zones = [[[[0.0, 0.0], [1.0, 0.0], [1.0, height]]] for height in (0.4, 0.6, 0.8)]
    with Client(service.url) as client:
        client.put_watch("front", "first", **{**SURE, "zone": zones[0]})
        client.put_watch("front", "second", **{**SURE, "zone": zones[1]})
        client.remove_watch("front", "first")
        client.put_watch("front", "third", **{**SURE, "zone": zones[2]})
        assert {watch.name for watch in client.watches()} == {"second", "third"}
    begun: set[str] = set()
    while not begun >= {"second", "third"}:
        begun = {each["after"]["watch"] for each in when_told(service, "new") if each["type"] == "new"}


def test_watches_and_switches_over_mqtt(start: Start, video: Path, mosquitto: Mosquitto) -> None:
    listener = Listener(mosquitto.port)
    service = start(looped(video), mqtt={"host": "127.0.0.1", "port": mosquitto.port})
    listener.wait_for(lambda m: m.topic == "ov2/front/session/state" and m.payload == b"ON")
    listener.send("ov2/front/square/config", json.dumps(SURE))
    assert when_told(service, "new")[0]["after"]["watch"] == "square"
    described = listener.wait_for(lambda m: m.topic.endswith("/config") and b"watch_square" in m.payload)
    assert json.loads(described.payload)["cmps"]["watch_square"]["name"] == SURE["sentence"]
    listener.send("ov2/front/square/set", "OFF")
    assert when_told(service, "end")[-1]["after"]["watch"] == "square"
    listener.send("ov2/front/square/config", b"")
    with Client(service.url) as client:
        while client.watches("front"):
            pass
    listener.send("ov2/front/session/set", "OFF")
    listener.wait_for(lambda m: m.topic == "ov2/front/session/state" and m.payload == b"OFF")
    at_rest = service.camera("front")
    later = service.camera_when("front", lambda status: status["frames"] >= at_rest["frames"] + 40)
    assert later["groups"] - at_rest["groups"] <= 1, "the model sees nothing more"
    listener.close()


def test_a_picture_or_clip_that_is_not_there_is_a_404(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video)}})
    service.camera_when("front", lambda status: status["frames"] > 0)
    assert Image.open(io.BytesIO(service.get("/v1/cameras/front/snapshot.jpg").content)).format == "JPEG"
    for path, words in {
        "/v1/events/1.000000-abcdef/snapshot.jpg": "none is kept",
        "/v1/events/..%2F..%2Fetc%2Fpasswd/snapshot.jpg": "",
        "/v1/events/1.000000-abcdef/clip.mp4": "expected an event of the journal",
        "/v1/cameras/front/clip.mp4?start=-5&end=-1": "expected a recorded camera",
    }.items():
        answer = service.get(path)
        assert answer.status_code == 404
        assert words in answer.json()["error"]["message"]
