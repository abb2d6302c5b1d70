"""How an event of a watch lives: it begins once confirmed, lasts, ends once, and survives a restart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stream.events.event import Change, EventIds, Evidence
from stream.watch.life import Phase, Sighting, WatchLife
from stream.watch.settings import WatchSettings

EVIDENCE = (Evidence(start=0.0, end=1.0, frames=2),)


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
