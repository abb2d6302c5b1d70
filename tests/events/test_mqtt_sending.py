"""What the MQTT sink keeps for a broker, and how fast it sends; a change and its id as they are told."""

from __future__ import annotations

import asyncio
import json

import pytest
from journal_fixtures import event

from stream.events.event import Change, EventIds
from stream.events.pace import Pace
from stream.events.retained import Retained
from stream.events.topics import Message


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
