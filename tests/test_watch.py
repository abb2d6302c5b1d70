"""Watches: what may be set, where and when they look, and how an event lives."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ov2.canvas import CanvasGroup
from ov2.errors import PromptError
from stream.errors import SettingsError
from stream.events.event import Change, EventIds, Evidence
from stream.watch.desk import WatchDesk
from stream.watch.life import Phase, Sighting, WatchLife
from stream.watch.look import Look
from stream.watch.schedule import Schedule
from stream.watch.settings import WatchSettings
from stream.watch.store import WatchStore
from stream.watch.zone import GREY, Polygon, is_inside, only_inside

WAIT_S = 20.0
EVIDENCE = (Evidence(start=0.0, end=1.0, frames=2),)
LEFT: Polygon = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


def odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def lived(probabilities: Sequence[float], step_s: float = 0.5, **more: Any) -> tuple[WatchLife, list[tuple[float, Change]]]:
    """A life that saw a judgement each `step_s`; its changes with the time of the sighting."""
    life = WatchLife("front", "door", WatchSettings(sentence="the door is open", **more), EventIds())
    changes: list[tuple[float, Change]] = []
    for index, probability in enumerate(probabilities):
        sighting = Sighting(margin=odds(probability), time_s=1000 + index * step_s, frame_age_ms=5.0, evidence=EVIDENCE)
        changes += [(sighting.time_s, change) for change in life.see(sighting)]
    return life, changes


def told(changes: list[tuple[float, Change]]) -> list[tuple[float, str]]:
    return [(time_s - 1000, change.type) for time_s, change in changes]


def test_an_event_begins_once_confirmed_and_ends_once_confirmed_under_one_id() -> None:
    _, changes = lived([0.1, 0.9, 0.9, 0.9, 0.01, 0.01, 0.01], confirm=2)
    assert told(changes) == [(1.0, "new"), (2.5, "end")]
    new, end = (change.after for _, change in changes)
    assert new.id == end.id
    assert (new.start_time, end.start_time, end.end_time) == (1000.5, 1000.5, 1002.0)
    assert (new.kind, new.watch, new.severity, new.evidence) == ("watch", "door", "alert", EVIDENCE)


def test_one_doubtful_judgement_starts_nothing_and_ends_nothing() -> None:
    assert lived([0.1, 0.9, 0.1, 0.9, 0.1], confirm=2)[1] == []
    life, changes = lived([0.9, 0.9, 0.01, 0.9, 0.01, 0.4, 0.4], confirm=2)
    assert told(changes) == [(0.5, "new")]
    assert life.phase is Phase.ON, "between release and threshold it goes on"


def test_it_must_last_and_cool_down() -> None:
    assert told(lived([0.9] * 6, confirm=1, min_duration_s=2.0)[1]) == [(2.0, "new")]
    again = lived([0.9, 0.01, 0.9, 0.9, 0.9, 0.9, 0.9], confirm=1, cool_down_s=2.0)[1]
    assert told(again) == [(0.0, "new"), (0.5, "end"), (2.5, "new")]
    assert again[0][1].after.id != again[2][1].after.id


def test_a_score_that_rises_is_told_now_and_then() -> None:
    rising = [0.6, 0.6, *([0.7] * 3), *([0.95] * 12)]
    changes = lived(rising, confirm=2, update_every_s=3.0)[1]
    assert [kind for _, kind in told(changes)] == ["new", "update"]
    assert changes[1][1].before.top_score < changes[1][1].after.top_score


@settings(max_examples=200)
@given(st.lists(st.floats(0.001, 0.999), max_size=80), st.integers(1, 4), st.floats(0, 3), st.floats(0, 3))
def test_whatever_is_seen_events_follow_one_another_and_each_ends_once(
    probabilities: list[float], confirm: int, least_s: float, cool_s: float
) -> None:
    life, changes = lived(probabilities, confirm=confirm, min_duration_s=least_s, cool_down_s=cool_s)
    finished = [*changes, *((2000.0, change) for change in life.interrupt(2000.0))]
    open_id, last_end = None, -math.inf
    for _, change in finished:
        event = change.after
        if change.type == "new":
            assert open_id is None
            open_id = event.id
        assert event.id == open_id
        if change.type == "end":
            assert event.end_time is not None
            assert event.start_time <= event.end_time
            assert event.end_time >= last_end
            open_id, last_end = None, event.end_time
    assert open_id is None
    assert len({change.after.id for _, change in finished if change.type == "new"}) == sum(c.type == "new" for _, c in finished)


def test_an_event_under_way_survives_a_restart_under_its_id() -> None:
    before, changes = lived([0.9, 0.9], confirm=2)
    assert before.event is not None
    after = WatchLife("front", "door", before.settings, EventIds())
    after.restore(before.event)
    assert after.phase is Phase.ON
    quiet = [Sighting(margin=-9.0, time_s=1010.0 + n, frame_age_ms=1.0, evidence=EVIDENCE) for n in range(2)]
    ended = [change for sighting in quiet for change in after.see(sighting)]
    assert [(change.type, change.after.id) for change in ended] == [("end", changes[0][1].after.id)]


@pytest.mark.parametrize(
    ("line", "inside", "outside"),
    [
        ("mon-fri 08:00-18:00", "2026-11-20 08:00", "2026-11-20 18:00"),
        ("22:00-06:00", "2026-11-20 05:59", "2026-11-20 06:00"),
        ("sat,sun", "2026-11-21 12:00", "2026-11-20 23:59"),
        ("fri 22:00-06:00", "2026-11-21 03:00", "2026-11-20 03:00"),
        ("fri-mon", "2026-11-22 00:00", "2026-11-24 00:00"),
        ("00:00-24:00", "2026-11-22 23:59", ""),
    ],
)
def test_a_schedule_says_when_it_is_armed(line: str, inside: str, outside: str) -> None:
    assert Schedule([line]).holds(datetime.fromisoformat(inside))
    assert not outside or not Schedule([line]).holds(datetime.fromisoformat(outside))


@pytest.mark.parametrize("line", ["", "never", "mon-xyz", "8-18", "25:00-26:00", "08:00-08:00", "mon 08:00", "08:60-09:00"])
def test_a_schedule_that_cannot_be_read_is_refused(line: str) -> None:
    with pytest.raises(ValidationError, match="expected days, times or both"):
        WatchSettings(sentence="a dog", schedule=(line,))


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("sentence", "", "at least 1 character"),
        ("sentence", "   ", "expected some text"),
        ("sentence", "a" * 10_240, "at most 400"),
        ("sentence", "a dog\x07", "control character U+0007"),
        ("sentence", "a \u202edog", "control character U+202E"),
        ("release", 0.9, "expected at most threshold"),
        ("threshold", 1.0, "less than 1"),
        ("zone", [[[0, 0], [1, 1]]], "3 to 64 corners"),
        ("zone", [[[0, 0], [1, 1], [1, 0], [0, 1]]], "do not cross"),
        ("zone", [[[0, 0], [2, 0], [1, 1]]], "from 0 to 1"),
        ("zone", [[[0, 0], [0.5, 0.5], [1, 1]]], "at least 0.1%"),
        ("zone", [[[0, 0], [float("nan"), 0], [1, 1]]], "from 0 to 1"),
        ("colour", "red", "Extra inputs"),
    ],
)
def test_what_makes_no_watch_is_refused_by_name(setting: str, value: object, words: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)):
        WatchSettings.model_validate({"sentence": "a dog", setting: value})


def group_of(rows: int, cols: int) -> CanvasGroup:
    """Two canvases of noise; every block's source is its own place."""
    rng = np.random.default_rng(0)
    block = np.stack(np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij"), -1).reshape(-1, 2)
    patches = (2 * block[:, None] + np.array([[0, 0], [0, 1], [1, 0], [1, 1]])).reshape(-1, 2)
    positions = np.concatenate([np.column_stack([np.full(len(patches), t), patches]) for t in (0, 5)]).astype(np.int32)
    return CanvasGroup(
        canvases=rng.integers(0, 100, (2, rows * 28, cols * 28, 3), dtype=np.uint8),
        positions=positions,
        runs=((0.0, rows * cols), (0.5, rows * cols)),
        group_id=0,
        start_s=0.0,
        end_s=1.0,
        wall_s=1001.0,
        closed_by="quota",
    )


def test_blocks_outside_a_zone_do_not_count_and_those_inside_are_untouched() -> None:
    group = group_of(3, 4)
    seen = only_inside(group, [LEFT])
    assert (seen.canvases[:, :, 56:] == GREY).all()
    assert np.array_equal(seen.canvases[:, :, :56], group.canvases[:, :, :56])
    assert np.array_equal(seen.positions, group.positions)
    assert group.canvases.max() < 100, "the group itself is as it was"


@given(st.floats(0.02, 0.98), st.floats(0.02, 0.98))
def test_a_point_is_inside_a_square_when_it_is_between_its_sides(x: float, y: float) -> None:
    square: Polygon = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
    expected = 0.25 < x < 0.75 and 0.25 < y < 0.75
    on_edge = min(abs(x - 0.25), abs(x - 0.75), abs(y - 0.25), abs(y - 0.75)) < 1e-9
    assert on_edge or bool(is_inside(np.array([[x, y]]), [square])[0]) == expected


@dataclass
class Eyes:
    """A camera that sees what the test says: sentences in `true` hold, those in `bad` cannot be judged."""

    true: set[str] = field(default_factory=set)
    bad: set[str] = field(default_factory=set)
    time_s: float = 1000.0
    looked: list[list[str]] = field(default_factory=list)

    def look(self, statements: Sequence[str], *, within_s: float | None = None, after_s: float = -math.inf) -> Look | None:
        if any(statement in self.bad for statement in statements):
            raise PromptError("question: expected at most 100 tokens, got 500")
        self.time_s += 1.0
        self.looked.append(list(statements))
        return Look(tuple(9.0 if each in self.true else -9.0 for each in statements), self.time_s, 3.0, EVIDENCE)


class Desk:
    """A running desk over one pair of eyes; `wait_for` waits until so many changes were told."""

    def __init__(self, eyes: Eyes) -> None:
        self.changes: list[Change] = []
        self._more = threading.Condition()
        self.desk = WatchDesk(lambda camera, zone: eyes, self._told, every_s=0.01, share=1.0)

    def _told(self, change: Change) -> None:
        with self._more:
            self.changes.append(change)
            self._more.notify_all()

    def wait_for(self, count: int) -> list[tuple[str, str | None]]:
        with self._more:
            assert self._more.wait_for(lambda: len(self.changes) >= count, WAIT_S)
            return [(change.type, change.after.watch) for change in self.changes]

    def __enter__(self) -> Desk:
        self.desk.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.desk.stop()


def test_the_desk_judges_all_watches_of_a_camera_in_one_look() -> None:
    eyes = Eyes(true={"b"})
    with Desk(eyes) as desk:
        for name in "abc":
            desk.desk.put("front", name, WatchSettings(sentence=name))
        assert desk.wait_for(1) == [("new", "b")]
        eyes.true.clear()
        assert desk.wait_for(2)[-1] == ("end", "b")
    assert ["a", "b", "c"] in eyes.looked


def test_one_bad_sentence_stops_no_other() -> None:
    eyes = Eyes(true={"w7"}, bad={"w3"})
    with Desk(eyes) as desk:
        for number in range(9):
            desk.desk.put("front", f"w{number}", WatchSettings(sentence=f"w{number}"))
        assert desk.wait_for(1) == [("new", "w7")]
        watches = desk.desk.watches("front")
    assert "at most 100 tokens" in (watches["w3"].problem or "")
    assert all(watch.problem is None for name, watch in watches.items() if name != "w3")


def test_a_thousand_watches_are_judged_in_parts() -> None:
    eyes = Eyes(true={"s999"})
    with Desk(eyes) as desk:
        for number in range(1000):
            desk.desk.put("front", f"n{number}", WatchSettings(sentence=f"s{number}", confirm=1))
        assert desk.wait_for(1) == [("new", "n999")]
    assert max(map(len, eyes.looked)) <= 64


def test_a_watch_that_is_taken_off_changed_or_disabled_ends_its_event() -> None:
    eyes = Eyes(true={"x", "y", "z"})
    with Desk(eyes) as desk:
        for name in "xyz":
            desk.desk.put("front", name, WatchSettings(sentence=name))
        desk.wait_for(3)
        assert desk.desk.take_off("front", "x")
        assert not desk.desk.take_off("front", "x")
        desk.desk.put("front", "y", WatchSettings(sentence="y", enabled=False))
        desk.desk.put("front", "z", WatchSettings(sentence="z", severity="detection"))
        assert sorted(desk.wait_for(5)[3:]) == [("end", "x"), ("end", "y")]
        assert desk.desk.watches("front")["z"].life.event is not None, "the same sentence: the same event"


def test_a_watch_whose_hours_are_over_ends_its_event() -> None:
    """Also when no other watch of the camera is armed any more."""
    eyes, now = Eyes(true={"x"}), [datetime(2026, 11, 20, 17, 59).timestamp()]
    changes: list[Change] = []
    told = threading.Event()

    def tell(change: Change) -> None:
        changes.append(change)
        told.set()

    desk = WatchDesk(lambda camera, zone: eyes, tell, every_s=0.01, share=1.0, clock=lambda: now[0])
    desk.put("front", "x", WatchSettings(sentence="x", schedule=("fri 08:00-18:00",)))
    desk.start()
    assert told.wait(WAIT_S)
    told.clear()
    now[0] += 120.0
    assert told.wait(WAIT_S)
    desk.stop()
    assert [change.type for change in changes] == ["new", "end"]


def test_events_of_before_a_restart_go_on_or_end() -> None:
    eyes = Eyes(true={"kept"})
    with Desk(eyes) as desk:
        desk.desk.put("front", "kept", WatchSettings(sentence="kept"))
        desk.desk.put("front", "gone", WatchSettings(sentence="kept"))
        desk.wait_for(2)
    under_way = [change.after for change in desk.changes]
    with Desk(eyes) as after:
        after.desk.put("front", "kept", WatchSettings(sentence="kept"))
        after.desk.restore(under_way)
        assert after.wait_for(1) == [("end", "gone")]
        event = after.desk.watches("front")["kept"].life.event
    assert event is not None
    assert event.id == next(each.id for each in under_way if each.watch == "kept")


def test_watches_are_kept_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "data" / "watches.json"
    store = WatchStore(path)
    store.put("front", "dog", WatchSettings(sentence="a dog", zone=(LEFT,), schedule=("mon-fri",)))
    store.put("front", "cat", WatchSettings(sentence="a cat"))
    store.remove("front", "cat")
    assert WatchStore(path).all() == {"front": {"dog": store.all()["front"]["dog"]}}
    path.write_text("[1, 2")
    with pytest.raises(SettingsError, match=r"watches\.json: expected a JSON object"):
        WatchStore(path)


def test_a_watch_that_cannot_be_written_down_changes_nothing(tmp_path: Path) -> None:
    store = WatchStore(tmp_path / "watches.json")
    store.put("front", "dog", WatchSettings(sentence="a dog"))
    before = store.all()
    (tmp_path / "watches.json.part").mkdir()  # stands for a disk that takes nothing
    with pytest.raises(OSError, match=r"watches\.json\.part"):
        store.put("front", "dog", WatchSettings(sentence="a cat"))
    with pytest.raises(OSError, match=r"watches\.json\.part"):
        store.remove("front", "dog")
    assert store.all() == before == WatchStore(tmp_path / "watches.json").all()


def test_a_kept_watch_that_is_not_valid_any_more_is_told_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "watches.json"
    path.write_text('{"front": {"good": {"sentence": "a dog"}, "bad": {"sentence": ""}}}')
    assert list(WatchStore(path).all()["front"]) == ["good"]
    assert "watch bad of camera front: left out" in caplog.text
