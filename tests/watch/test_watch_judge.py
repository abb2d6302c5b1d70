"""The judge of watches: all of a camera in one look, and each event ends when it should."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from waiting import until

from ov2.errors import PromptError, RequestError
from stream.events.event import Change, Evidence
from stream.watch.judge import WatchJudge
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


class RunningJudge:
    """A running judge over one pair of eyes; `wait_for` waits until so many changes were told."""

    def __init__(self, eyes: Eyes) -> None:
        self.changes: list[Change] = []
        self._more = threading.Condition()
        self.judge = WatchJudge(lambda camera, zone: eyes, self._told, every_s=0.01, share=1.0)

    def _told(self, change: Change) -> None:
        with self._more:
            self.changes.append(change)
            self._more.notify_all()

    def wait_for(self, count: int) -> list[tuple[str, str | None]]:
        with self._more:
            assert self._more.wait_for(lambda: len(self.changes) >= count, WAIT_S)
            return [(change.type, change.after.watch) for change in self.changes]

    def __enter__(self) -> RunningJudge:
        self.judge.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.judge.stop()


def test_the_desk_judges_all_watches_of_a_camera_in_one_look() -> None:
    eyes = Eyes(true={"b"})
    with RunningJudge(eyes) as running:
        for name in "abc":
            running.judge.put("front", name, WatchSettings(sentence=name))
        assert running.wait_for(1) == [("new", "b")]
        eyes.true.clear()
        assert running.wait_for(2)[-1] == ("end", "b")
    assert ["a", "b", "c"] in eyes.looked


def test_one_bad_sentence_stops_no_other() -> None:
    eyes = Eyes(true={"w7"}, bad={"w3"})
    with RunningJudge(eyes) as running:
        for number in range(9):
            running.judge.put("front", f"w{number}", WatchSettings(sentence=f"w{number}"))
        assert running.wait_for(1) == [("new", "w7")]
        watches = running.judge.watches("front")
    assert "at most 100 tokens" in (watches["w3"].problem or "")
    assert all(watch.problem is None for name, watch in watches.items() if name != "w3")


def test_a_sentence_whose_judgement_raises_stops_no_other_and_is_tried_again() -> None:
    eyes = Eyes(true={"w3", "w7"}, raising={"w3"})
    with RunningJudge(eyes) as running:
        for number in range(9):
            running.judge.put("front", f"w{number}", WatchSettings(sentence=f"w{number}"))
        assert running.wait_for(1) == [("new", "w7")]
        assert running.judge.counts["failed"] > 0
        assert running.judge.watches("front")["w3"].problem is None
        eyes.raising.clear()
        assert running.wait_for(2)[-1] == ("new", "w3")


def test_a_thousand_watches_are_judged_in_parts() -> None:
    eyes = Eyes(true={"s999"})
    with RunningJudge(eyes) as running:
        for number in range(1000):
            running.judge.put("front", f"n{number}", WatchSettings(sentence=f"s{number}", confirm=1))
        assert running.wait_for(1) == [("new", "n999")]
    assert max(map(len, eyes.looked)) <= 64


def test_a_watch_that_is_taken_off_changed_or_disabled_ends_its_event() -> None:
    eyes = Eyes(true={"x", "y", "z"})
    with RunningJudge(eyes) as running:
        for name in "xyz":
            running.judge.put("front", name, WatchSettings(sentence=name))
        running.wait_for(3)
        assert running.judge.take_off("front", "x")
        assert not running.judge.take_off("front", "x")
        running.judge.put("front", "y", WatchSettings(sentence="y", enabled=False))
        running.judge.put("front", "z", WatchSettings(sentence="z", severity="detection"))
        assert sorted(running.wait_for(5)[3:]) == [("end", "x"), ("end", "y")]
        assert running.judge.watches("front")["z"].life.event is not None, "the same sentence: the same event"


def test_a_watch_whose_hours_are_over_ends_its_event() -> None:
    """Also when no other watch of the camera is armed any more."""
    eyes, now = Eyes(true={"x"}), [datetime(2026, 11, 20, 17, 59).timestamp()]
    changes: list[Change] = []
    told = threading.Event()

    def tell(change: Change) -> None:
        changes.append(change)
        told.set()

    judge = WatchJudge(lambda camera, zone: eyes, tell, every_s=0.01, share=1.0, clock=lambda: now[0])
    judge.put("front", "x", WatchSettings(sentence="x", schedule=("fri 08:00-18:00",)))
    judge.start()
    assert told.wait(WAIT_S)
    told.clear()
    now[0] += 120.0
    assert told.wait(WAIT_S)
    judge.stop()
    assert [change.type for change in changes] == ["new", "end"]


def test_events_of_before_a_restart_go_on_or_end() -> None:
    eyes = Eyes(true={"kept"})
    with RunningJudge(eyes) as running:
        running.judge.put("front", "kept", WatchSettings(sentence="kept"))
        running.judge.put("front", "gone", WatchSettings(sentence="kept"))
        running.wait_for(2)
    under_way = [change.after for change in running.changes]
    with RunningJudge(eyes) as after:
        after.judge.put("front", "kept", WatchSettings(sentence="kept"))
        after.judge.restore(under_way)
        assert after.wait_for(1) == [("end", "gone")]
        event = after.judge.watches("front")["kept"].life.event
    assert event is not None
    assert event.id == next(each.id for each in under_way if each.watch == "kept")


def test_a_hint_that_comes_during_a_judgement_makes_the_next_one_early() -> None:
    class HintedEyes(Eyes):
        def look(self, statements: Sequence[str], *, within_s: float | None = None, after_s: float = -math.inf) -> Look | None:
            if not self.looked:
                judge.hint("front")
            return super().look(statements, within_s=within_s, after_s=after_s)

    eyes = HintedEyes()
    judge = WatchJudge(lambda camera, zone: eyes, lambda change: None, every_s=1000.0, share=1.0)
    judge.put("front", "x", WatchSettings(sentence="x"))
    judge.start()
    until(lambda: len(eyes.looked) == 2)
    judge.stop()
