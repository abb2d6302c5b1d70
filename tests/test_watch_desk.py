"""The desk that judges watches: all of a camera in one look, and each event ends when it should."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ov2.errors import PromptError, RequestError
from stream.events.event import Change, Evidence
from stream.watch.desk import WatchDesk
from stream.watch.look import Look
from stream.watch.settings import WatchSettings

WAIT_S = 60.0
EVIDENCE = (Evidence(start=0.0, end=1.0, frames=2),)


@dataclass
class Eyes:
    """A camera that sees what the test says: sentences in `true` hold, those in `bad` cannot be judged, those in `raising` raise."""

    true: set[str] = field(default_factory=set)
    bad: set[str] = field(default_factory=set)
    raising: set[str] = field(default_factory=set)
    time_s: float = 1000.0
    looked: list[list[str]] = field(default_factory=list)

    def look(self, statements: Sequence[str], *, within_s: float | None = None, after_s: float = -math.inf) -> Look | None:
        if any(statement in self.bad for statement in statements):
            raise PromptError("question: expected at most 100 tokens, got 500")
        if any(statement in self.raising for statement in statements):
            raise RequestError("statement: expected it to be computed, got ValueError")
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


def test_a_sentence_whose_judgement_raises_stops_no_other_and_is_tried_again() -> None:
    eyes = Eyes(true={"w3", "w7"}, raising={"w3"})
    with Desk(eyes) as desk:
        for number in range(9):
            desk.desk.put("front", f"w{number}", WatchSettings(sentence=f"w{number}"))
        assert desk.wait_for(1) == [("new", "w7")]
        assert desk.desk.counts["failed"] > 0
        assert desk.desk.watches("front")["w3"].problem is None
        eyes.raising.clear()
        assert desk.wait_for(2)[-1] == ("new", "w3")


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
