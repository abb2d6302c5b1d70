"""Facts of captions: right, invented, missed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.evaluate.captions import Fact, fact_score, facts_in
from trainer.world import World, caption

TEXTS = ("a dog came", "the door opened")
facts = st.lists(
    st.builds(Fact, st.sampled_from(TEXTS), st.none() | st.integers(0, 12).map(lambda quarter: quarter / 4)), max_size=5
)


def most_pairs(told: list[Fact], true: list[Fact]) -> int:
    """Over every way to pair them."""
    short, long = sorted((told, true), key=len)
    return max(
        (sum(agrees(a, b) for a, b in zip(short, way, strict=True)) for way in itertools.permutations(long, len(short))),
        default=0,
    )


def agrees(a: Fact, b: Fact) -> bool:
    if a.at_s is None or b.at_s is None:
        return a == b
    return a.text == b.text and abs(a.at_s - b.at_s) <= 0.5


@given(told=facts, true=facts)
@settings(deadline=None)
def test_as_many_facts_are_right_as_any_pairing_makes(told: list[Fact], true: list[Fact]) -> None:
    score, right = fact_score(told, true), most_pairs(told, true)
    assert (score.right, score.invented, score.missed) == (right, len(told) - right, len(true) - right)
    if right:
        precision, recall = right / len(told), right / len(true)
        assert score.f1 == pytest.approx(2 * precision * recall / (precision + recall))
    else:
        assert score.f1 == float(not told and not true)


def test_what_is_where_it_is_not_is_half_right() -> None:
    true, told = "a person in red on the left, the lamp is on", "the lamp is on, a person in red on the right, a dog"
    score = fact_score(facts_in(told), facts_in(true))
    assert (score.right, score.invented, score.missed) == (2, 2, 1)


def test_clauses_and_their_times_are_read() -> None:
    assert facts_in("12.3 seconds: A dog came. 14 seconds: the door opened.") == [
        Fact("a dog came", 12.3),
        Fact("the door opened", 14.5),
    ]
    assert facts_in("a parcel at the door; and the  door is open") == [
        Fact("a parcel"),
        Fact("a parcel at the door"),
        Fact("the door is open"),
    ]
    assert facts_in(" . ") == []


def test_a_whole_second_is_right_for_all_of_it() -> None:
    told = facts_in("12 seconds: a dog came.")
    for t_s, right in ((11.9, 0), (12.0, 1), (12.9, 1), (13.1, 0)):
        assert fact_score(told, facts_in(f"{t_s} seconds: a dog came.")).right == right


def test_the_worlds_own_captions_are_all_right() -> None:
    for seed in range(900_000, 900_010):
        world = World(seed, duration_s=20)
        text = caption(world.state_at(15.0), world.layout.door_x)
        assert len(facts_in(text)) >= 3
        assert fact_score(facts_in(text), facts_in(text)).f1 == 1.0
