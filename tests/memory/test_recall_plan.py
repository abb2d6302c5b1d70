"""What a question looks at: the window, or an older stretch found by time and by content; and times as people give them."""

from __future__ import annotations

from pathlib import Path

import pytest
from remembered import BEGIN, FOR_EVER, NOW, WORDS, axis_summariser, filled
from small_model import made_group

from stream.errors import RecallError
from stream.memory import Memory, phrases_of
from stream.memory.plan import plan_recall
from stream.memory.stretch import Room
from stream.memory.when import Times, said_times, times_of

ROOM = Room(num_tokens=400, span_s=60.0)


def plan(memory: Memory, question: str, **options: object) -> object:
    return plan_recall(memory, question, room=ROOM, now=NOW, window_start=BEGIN + 590.0, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("question", "phrases"),
    [
        ("When did the person in red leave before the cars?", (("person", "red"), ("car",))),
        ("Is the lamp on?", ()),
        ("Dogs? A dog!", (("dog",),)),
    ],
)
def test_a_question_names_phrases_of_known_words(question: str, phrases: tuple[tuple[str, ...], ...]) -> None:
    assert phrases_of(question, WORDS) == phrases


def test_a_question_about_the_past_finds_the_stretch_that_shows_what_it_names(tmp_path: Path) -> None:
    with filled(tmp_path, {20: (("dog",),), 21: (("dog", "red"),), 40: (("person",), ("red",))}) as memory:
        found = plan(memory, "When did the dog come?")
        assert found.stretch.start <= BEGIN + 210.0 < found.stretch.end
        assert sum(row.num_tokens for row in found.stretch.rows) <= ROOM.num_tokens
        assert found.stretch.end - found.stretch.start <= ROOM.span_s
        both = plan(memory, "When did the person in red come?")
        assert (both.not_seen, both.why) == (True, "no person in red was seen in all that is remembered")


def test_a_question_about_now_and_one_that_the_window_shows_stay_in_the_window(tmp_path: Path) -> None:
    with filled(tmp_path, {20: (("dog",),), 59: (("car",),)}) as memory:
        assert plan(memory, "Is there a dog?").stretch is None
        assert plan(memory, "When did the car come?").stretch is None
        assert plan(memory, "What happened last?").stretch is None
        assert plan(memory, "Where is the dog?", mode="memory").stretch is not None
        assert plan(memory, "When did the dog come?", mode="window").stretch is None


def test_a_time_is_read_whole_where_it_fits_and_else_the_part_that_shows_it(tmp_path: Path) -> None:
    with filled(tmp_path, {20: (("dog",),)}) as memory:
        short = plan(memory, "What happened?", times=Times(BEGIN + 100.0, BEGIN + 140.0))
        assert short.stretch.is_all
        assert (short.stretch.start, short.stretch.end) == (BEGIN + 100.0, BEGIN + 140.0)
        long = plan(memory, "Where is the dog?", times=Times(BEGIN, BEGIN + 600.0))
        assert not long.stretch.is_all
        assert long.stretch.start <= BEGIN + 200.0 < long.stretch.end
        assert "a part" in long.why


def test_what_was_not_there_at_that_time_is_not_seen_and_yes_or_no_goes_to_the_model(tmp_path: Path) -> None:
    with filled(tmp_path, {20: (("dog",),)}) as memory:
        times = Times(BEGIN + 300.0, BEGIN + 340.0)
        asked = plan(memory, "Where is the dog?", times=times)
        assert (asked.not_seen, asked.why) == (True, "no dog was seen at that time")
        assert asked.searched == (BEGIN + 300.0, BEGIN + 340.0)
        assert plan(memory, "Is there a dog?", times=times).stretch is not None


def test_what_the_open_group_shows_is_not_called_unseen(tmp_path: Path) -> None:
    with filled(tmp_path, {20: (("dog",),)}) as memory:
        asked = plan(memory, "When did the dog come?", open_shows=lambda phrases: phrases == (("dog",),))
        assert (asked.stretch, asked.not_seen) == (None, False)
        assert plan(memory, "When did the car come?").not_seen
        to_now = Times(NOW - 100.0, None)
        assert (
            plan(memory, "Where is the car?", times=Times(BEGIN + 100.0, None), open_shows=lambda _: True).stretch is not None
        )
        assert plan(memory, "Where is the car?", times=to_now, open_shows=lambda _: True).not_seen, "nothing is remembered"
        past = Times(BEGIN + 100.0, BEGIN + 200.0)
        assert plan(memory, "Where is the car?", times=past, open_shows=lambda _: True).not_seen


def test_an_empty_memory_has_not_seen_anything(tmp_path: Path) -> None:
    with filled(tmp_path, {}, count=0) as memory:
        assert plan(memory, "What happened?", times=Times(BEGIN, None)).not_seen
        assert plan(memory, "When did the dog come?").not_seen
        assert not plan(memory, "What happened?").not_seen


def test_groups_that_the_model_never_saw_are_not_called_unseen(tmp_path: Path) -> None:
    with Memory(tmp_path, FOR_EVER, summariser=axis_summariser(), clock=lambda: NOW) as memory:
        memory.put(made_group(0, 0.0), num_tokens=50)
        memory.wait()
        asked = plan(memory, "Where is the dog?", times=Times(BEGIN, BEGIN + 10.0))
        assert asked.stretch is not None


# Times as people give them.


def test_times_may_be_relative_epoch_or_iso() -> None:
    assert times_of("-10m", None, NOW) == Times(NOW - 600.0, None)
    assert times_of(NOW - 90, "-1m", NOW) == Times(NOW - 90, NOW - 60.0)
    assert times_of("2023-11-14T22:13:20+00:00", "2023-11-14T22:13:21Z", NOW) == Times(BEGIN, BEGIN + 1)
    assert times_of(None, None, NOW) is None


@pytest.mark.parametrize(
    ("since", "until", "message"),
    [
        ("soon", None, "since: expected a time like"),
        (None, "10m", "until: expected a time like"),
        ("-5m", "-10m", "expected a time after since"),
        (NOW + 5, None, "expected a time in the past"),
        ("nan", None, "since: expected a time like"),
        (None, -1e308, "until: expected a time like"),
        ("-" + "9" * 400 + "d", None, "since: expected a time like"),
    ],
)
def test_a_time_that_makes_no_sense_is_refused_and_says_which(since: object, until: object, message: str) -> None:
    with pytest.raises(RecallError, match=message):
        times_of(since, until, NOW)  # type: ignore[arg-type]


def test_a_time_said_in_the_question_is_understood_and_taken_out_of_it() -> None:
    times, rest = said_times("Where was the dog ten minutes ago?", NOW)
    assert rest == "Where was the dog?"
    assert times is not None
    assert times.since is not None
    assert times.until is not None
    assert times.since < NOW - 600.0 < times.until
    assert said_times("Is the door open?", NOW) == (None, "Is the door open?")
    day, rest = said_times("What happened yesterday?", NOW)
    assert rest == "What happened?"
    assert day is not None
    assert day.until is not None
    assert day.until <= NOW
