"""Questions about the generated world: one answer each, checked here against the truth by other means."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.world import Question, World, all_sentences, check, questions_at, seconds_off
from trainer.world.language import PLACES
from trainer.world.layout import COLOURS

TYPES = ("presence", "colour", "count", "last_event", "order", "when", "where", "still_there", "jumps")


def asked(seed: int, since_s: float, t_s: float, num: int = 12) -> tuple[World, list[Question]]:
    world = World(seed, duration_s=80)
    return world, questions_at(world, t_s, since_s=since_s, rng=np.random.default_rng(seed), num=num, zero_s=since_s)


moments = st.tuples(st.integers(0, 2_000_000), st.floats(0, 30), st.floats(1, 45)).map(lambda m: (m[0], m[1], m[1] + m[2]))


@given(moment=moments)
@settings(max_examples=40, deadline=None)
def test_evidence_lies_between_the_sessions_beginning_and_the_question(moment: tuple[int, float, float]) -> None:
    seed, since_s, t_s = moment
    for question in asked(seed, since_s, t_s)[1]:
        assert question.about
        assert all(since_s <= second <= t_s for second in question.about)


@given(moment=moments)
@settings(max_examples=40, deadline=None)
def test_the_answer_is_the_same_a_moment_earlier_and_later_unless_something_is_happening(
    moment: tuple[int, float, float],
) -> None:
    """No question is asked so near a change that its answer hangs on the picture shown: what is asked about the present holds
    for half a second before."""
    seed, since_s, t_s = moment
    world, questions = asked(seed, since_s, t_s)
    earlier = world.state_at(t_s - 0.5)
    for question in questions:
        if question.type == "count":
            assert question.answer == str(len(earlier.of_kind("person")))
        if question.type == "presence" and question.family in ("car", "dog"):
            assert (question.answer == "yes") == bool(earlier.of_kind("car" if question.family == "car" else "dog"))
        if question.type == "presence" and question.family == "lamp":
            assert (question.answer == "yes") == earlier.lamp_on


@given(moment=moments)
@settings(max_examples=60, deadline=None)
def test_answers_are_true(moment: tuple[int, float, float]) -> None:
    seed, since_s, t_s = moment
    world, questions = asked(seed, since_s, t_s)
    state = world.state_at(t_s)
    happened = [event for event in world.events if since_s <= event.t_s <= t_s]
    for question in questions:
        match question.type:
            case "count":
                assert int(question.answer) == len(state.of_kind("person"))
            case "colour":
                kind = "car" if question.family == "car" else "person"
                assert [question.answer] == [actor.colour for actor in state.actors if actor.kind == kind]
            case "last_event":
                assert question.answer == happened[-1].sentence
            case "jumps":
                assert question.answer == str([event.num_jumps for event in happened if event.num_jumps][-1])
            case "when":
                (second,) = question.about
                assert any(second in (event.t_s, event.start_s) for event in happened)
                assert int(question.answer.split()[0]) == int(second - since_s)
                assert 0.15 <= (second - since_s) % 1 <= 0.85
            case "where":
                assert question.answer in PLACES
            case "order":
                first_s, second_s = question.about
                assert first_s + 1.0 < second_s
            case "still_there" if question.family == "parcel":
                assert (question.answer == "yes") == state.parcel
            case "presence" if question.family == "coat":
                colour = question.text.rstrip("?").split(" in ")[1].split()[0]
                worn = {actor.colour for actor in state.actors if actor.kind == "person"}
                assert (question.answer == "yes") == (colour in worn)


def test_order_is_told_by_the_times_of_the_two_sentences() -> None:
    num = 0
    for seed in range(900_000, 900_040):
        world = World(seed, duration_s=40)
        for question in questions_at(world, 38.0, rng=np.random.default_rng(seed), num=3, types=("order",)):
            if question.family == "yes or no":
                head, clause = question.text.rstrip("?").split(" before ")
                is_before = _second_of(world, _clause(head), 38.0) < _second_of(world, clause, 38.0)
                assert question.answer == ("yes" if is_before else "no"), question
                num += 1
    assert num > 15


PAST = {"arrive": "arrived", "leave": "left", "jump rope": "jumped rope", "come": "came", "open": "opened", "close": "closed"}
PAST |= {"turn on": "turned on", "turn off": "turned off"}
SAID = {"the parcel was delivered": "a parcel was delivered", "the dog came": "a dog came", "the car arrived": "a car arrived"}


def _clause(head: str) -> str:
    """ "Did the car arrive" -> "the car arrived"; "Was the parcel taken" -> "the parcel was taken"."""
    if head.startswith("Was the parcel "):
        return "the parcel was " + head.removeprefix("Was the parcel ")
    words = head.removeprefix("Did ")
    ending = next(verb for verb in PAST if words.endswith(" " + verb))
    return words.removesuffix(ending) + PAST[ending]


def _second_of(world: World, clause: str, until_s: float) -> float:
    sentence = SAID.get(clause, clause.replace("the person", "a person"))
    (second,) = (event.t_s for event in world.events if event.t_s <= until_s and event.sentence == sentence)
    return second


def test_the_language_is_closed() -> None:
    """A tokenizer trained on `all_sentences` has seen every question and every answer there can be."""
    known = set(all_sentences())
    for seed in range(60):
        for question in asked(seed, 0.0, 20.0 + seed % 37)[1]:
            assert question.text in known, question.text
            assert question.answer in known, question.answer


def test_every_type_is_asked_and_no_single_answer_is_a_good_guess() -> None:
    answers: dict[str, collections.Counter[str]] = {kind: collections.Counter() for kind in TYPES}
    for seed in range(900_000, 900_220):
        world, rng = World(seed, duration_s=60), np.random.default_rng(seed)
        for _ in range(3):
            since_s = float(rng.uniform(0, 20))
            for question in questions_at(world, since_s + float(rng.uniform(6, 40)), since_s=since_s, rng=rng, num=4):
                answers[question.type][question.answer] += 1
    for kind, counts in answers.items():
        assert counts.total() > 60, f"{kind}: {counts.total()}"
        assert counts.most_common(1)[0][1] / counts.total() <= 0.56, f"{kind}: {counts.most_common(2)}"
    assert set(answers["colour"]) == set(COLOURS)


def test_nothing_is_asked_before_anything_was_seen() -> None:
    world = World(900_000, duration_s=20)
    assert questions_at(world, 5.0, since_s=4.6, rng=np.random.default_rng(0), num=5) == []


def test_the_same_generator_asks_the_same_questions() -> None:
    assert asked(5, 2.0, 30.0)[1] == asked(5, 2.0, 30.0)[1]


def test_questions_of_one_moment_are_about_different_things() -> None:
    for seed in range(20):
        families = [(question.type, question.family) for question in asked(seed, 0.0, 33.0)[1]]
        assert len(set(families)) == len(families)


def test_only_the_types_asked_for() -> None:
    world = World(900_000, duration_s=60)
    questions = questions_at(world, 40.0, rng=np.random.default_rng(1), num=9, types=("when", "count"))
    assert {question.type for question in questions} <= {"when", "count"}


SOME = Question(at_s=20.0, type="last_event", text="What happened last?", answer="a car arrived", about=(18.0,))
WHEN = dataclasses.replace(SOME, type="when", text="When did the car arrive?", answer="18 seconds")


@pytest.mark.parametrize(
    ("question", "answer", "right"),
    [
        (SOME, "a car arrived", True),
        (SOME, "  A car   arrived. ", True),
        (SOME, "the car arrived", False),
        (SOME, "", False),
        (WHEN, "18 seconds", True),
        (WHEN, "At 18 s.", True),
        (WHEN, "18", True),
        (WHEN, "17 seconds", False),
        (WHEN, "17 or 18 seconds", False),
        (WHEN, "later", False),
    ],
)
def test_check_looks_past_case_and_punctuation_alone(question: Question, answer: str, right: bool) -> None:
    assert check(question, answer) is right


def test_seconds_off_counts_seconds() -> None:
    assert seconds_off(WHEN, "21 seconds") == 3
    assert seconds_off(WHEN, "no idea") is None
    assert seconds_off(SOME, "18 seconds") is None


def test_a_question_that_contradicts_itself_cannot_be_made() -> None:
    with pytest.raises(AssertionError, match="not among"):
        Question(at_s=1.0, type="count", text="How many?", answer="9", about=(1.0,), choices=("0", "1"))
    with pytest.raises(AssertionError, match="evidence after"):
        Question(at_s=1.0, type="count", text="How many?", answer="1", about=(2.0,))
