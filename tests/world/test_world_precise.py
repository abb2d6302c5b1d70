"""Questions with precise answers: every answer is true by other means, and has its one form."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest

from trainer.world import Question, Renderer, World, all_sentences, check, jump_film, questions_at
from trainer.world.drafts import drafts_at
from trainer.world.language import AnyType, PreciseType, QuestionType
from trainer.world.layout import COLOURS
from trainer.world.masks import masks_at
from trainer.world.moment import SETTLE_S

SINCE_S, ZERO_S = 1.3, -2.0
SEEDS = range(900_000, 900_024)


@cache
def worlds() -> tuple[World, ...]:
    yards = [World(seed, duration_s=45.0) for seed in SEEDS]
    return (*yards, *(World(seed, duration_s=jump_film(seed).duration_s, scene="jumpscore") for seed in SEEDS))


def asked(kind: AnyType) -> Iterator[tuple[World, Question]]:
    """Everything of a type that can be asked at some moments of some films."""
    for world in worlds():
        rng = np.random.default_rng(world.seed)
        for t_s in (9.7, 21.2, world.duration_s - 0.4):
            drafts = drafts_at(world, t_s, since_s=SINCE_S, zero_s=ZERO_S, rng=rng, types=[kind])
            yield from ((world, question) for question in drafts)


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


@pytest.mark.parametrize("kind", get_args(PreciseType))
def test_every_type_is_asked_and_its_own_answer_is_right(kind: PreciseType) -> None:
    questions = [question for _, question in asked(kind)]
    assert len(questions) > 20
    for question in questions:
        assert check(question, question.answer)
        assert question.type == kind
        assert all(SINCE_S <= second <= question.at_s for second in question.about)


@pytest.mark.parametrize("kind", ["point", "box", "tracks", "relation", "depth_order", "watch", "when_tenths", "interval"])
def test_questions_of_one_moment_with_one_text_have_one_answer(kind: PreciseType) -> None:
    answers: dict[tuple[World, float, str], set[str]] = defaultdict(set)
    for world, question in asked(kind):
        answers[world, question.at_s, question.text].add(question.answer)
    assert {len(several) for several in answers.values()} == {1}


def test_when_in_tenths_tells_the_events_own_second() -> None:
    for world, question in asked("when_tenths"):
        (second,) = question.about
        assert second in {event.t_s for event in world.events} | {event.start_s for event in world.events}
        assert numbers(question.answer) == [pytest.approx(second - ZERO_S, abs=0.0501)]
        assert re.fullmatch(r"\d+\.\d seconds", question.answer)


def test_intervals_are_those_in_which_it_was_so() -> None:
    """Looked at ten times a second: in view within the interval, and not outside it, by what a picture shows."""
    num = Counter[str]()
    for world, question in asked("interval"):
        start_s, end_s = (second + ZERO_S for second in numbers(question.answer))
        for t_s in np.arange(SINCE_S, question.at_s, 0.1):
            if min(abs(t_s - start_s), abs(t_s - end_s)) > 0.11:
                assert holds(world, question, float(t_s)) == (start_s < t_s < end_s), f"{question} at {t_s}"
        num[question.family] += 1
    assert set(num) == {"person", "car", "dog", "door", "lamp", "parcel", "jumping"}


def holds(world: World, question: Question, t_s: float) -> bool:
    state = world.state_at(t_s)
    colour = next((colour for colour in COLOURS if f"in {colour} " in question.text), "")
    match question.family:
        case "person":
            return any(actor.colour == colour and actor.visible > 0.5 for actor in state.of_kind("person"))
        case "car" | "dog":
            return any(actor.visible > 0.5 for actor in state.of_kind(question.family))
        case "jumping" if world.scene == "jumpscore":
            return any(event.start_s <= t_s <= event.t_s for event in world.events)
        case "jumping":
            return any(actor.colour == colour and actor.action == "jump" for actor in state.of_kind("person"))
    return {"door": state.door_open, "lamp": state.lamp_on, "parcel": state.parcel}[question.family]


def test_all_starts_are_listed_with_two_decimals() -> None:
    for world, question in asked("jump_starts"):
        told = numbers(question.answer)
        true = [t_s - ZERO_S for t_s in world.jump_starts_s if t_s <= question.at_s]
        assert told == pytest.approx(true, abs=0.00501)
        assert re.fullmatch(r"\[(\d+\.\d\d(, \d+\.\d\d)*)?\]", question.answer)
        assert world.scene == "jumpscore"


def test_points_lie_in_masks_and_boxes_around_them() -> None:
    for kind in ("point", "box"):
        for world, question in [*asked(kind)][::9]:  # type: ignore[arg-type]
            mask = masks_at(Renderer(world, width=640, height=360), question.at_s)[question.idents[0]]
            told = [int(number) for number in re.findall(r"\d+", question.answer)]
            if kind == "point":
                assert mask[round(told[1] * 0.36), round(told[0] * 0.64)]
                continue
            rows, columns = np.nonzero(mask)
            left, top, right, bottom = told
            within = (columns >= left * 0.64 - 2) & (columns <= right * 0.64 + 2)
            within &= (rows >= top * 0.36 - 2) & (rows <= bottom * 0.36 + 2)
            assert within.mean() > 0.8


def test_tracks_follow_their_masks_by_whole_seconds() -> None:
    num = 0
    for world, question in [*asked("tracks")][::11]:
        renderer = Renderer(world, width=320, height=180)
        form = re.fullmatch(r'<tracks coords="([^"]*)">(.*)</tracks>', question.answer)
        assert form is not None
        assert question.text == f"Track {form[2]}."
        for frame in form[1].split("; "):
            second, *points = frame.split(" ")
            assert float(second).is_integer()
            masks = masks_at(renderer, float(second) + ZERO_S)
            for number, x, y in zip(*[iter(map(int, points))] * 3, strict=True):
                assert masks[question.idents[number]][round(y * 0.18), round(x * 0.32)]
                num += 1
    assert num > 150


def test_left_is_left_and_front_is_front() -> None:
    """By the columns of masks, and by who hides whom where they meet."""
    num = Counter[str]()
    for world, question in [*asked("relation")][::13]:
        state = world.state_at(question.at_s)
        one, other = (
            next(a for a in state.actors if name in (f"the {a.kind}", f"the person in {a.colour}"))
            for name in re.findall(r"the (?:person in \w+|car|dog)", question.text)
        )
        assert ("left of" in question.text) == (question.family == "left")
        if question.family == "left":
            masks = masks_at(Renderer(world, width=160, height=90), question.at_s)
            columns = [np.nonzero(masks[actor.ident])[1].mean() for actor in (one, other)]
            assert (question.answer == "yes") == (columns[0] < columns[1])
        else:
            order = [actor.ident for actor in Renderer(world, width=32, height=32).things(state) if actor]
            assert (question.answer == "yes") == (order.index(one.ident) > order.index(other.ident))
        num[question.family, question.answer] += 1
    assert len(num) == 4


def test_the_nearest_comes_first() -> None:
    for world, question in asked("depth_order"):
        named = re.findall(r"person in (\w+)", question.answer)
        height = {actor.colour: actor.y for actor in world.state_at(question.at_s).of_kind("person")}
        asked_for = re.findall(r"person in (\w+)", question.text)
        feet = [height[colour] for colour in (named if len(named) == 3 else [named[0], *({*asked_for} - {*named})])]
        assert all(nearer > farther for nearer, farther in pairwise(feet))
    assert {question.family for _, question in asked("depth_order")} == {"nearer", "order"}


def test_what_was_not_seen_was_in_no_picture() -> None:
    for world, question in [*asked("not_seen")][::41]:
        told = [event for event in world.events if SINCE_S <= event.t_s <= question.at_s]
        assert question.answer == "not seen"
        thing = re.search(r"the (person in (\w+)|car|dog|door|lamp|parcel)", question.text)
        assert thing is not None, question
        if thing[1] in ("door", "lamp", "parcel"):
            verb = re.search(r"(open|close|turn on|turn off|delivered|taken)", question.text)
            assert verb is not None
            stem = verb[1].replace("turn", "turned")
            assert not any(thing[1] in event.sentence and stem in event.sentence for event in told)
            continue
        for t_s in np.arange(SINCE_S, question.at_s, 0.1):
            for actor in world.state_at(float(t_s)).actors:
                assert thing[1] != (f"person in {actor.colour}" if actor.kind == "person" else actor.kind), question


def test_statements_are_true_or_not_and_neither_is_a_good_guess() -> None:
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for world in worlds():
        rng = np.random.default_rng(world.seed)
        for t_s in np.arange(4.0, 29.0, 1.7):
            for question in questions_at(world, float(t_s), rng=rng, num=3, types=["watch"]):
                assert question.text.endswith(".")
                answers[question.family][question.answer] += 1
                state = world.state_at(float(t_s))
                if question.family == "coat":
                    worn = {actor.colour for actor in state.of_kind("person")}
                    assert (question.answer == "yes") == any(f"in {colour} " in question.text for colour in worn)
                elif question.family == "jumping":
                    assert (question.answer == "yes") == any(actor.action == "jump" for actor in state.actors)
    everything = sum(answers.values(), Counter[str]())
    assert max(everything.values()) / everything.total() < 0.6


def test_precise_types_are_asked_only_by_name_and_leave_the_others_as_they_are() -> None:
    world, basic = worlds()[3], get_args(QuestionType)
    for t_s in (10.0, 20.0, 30.0):
        alone, among = (
            questions_at(world, t_s, rng=np.random.default_rng(5), num=9, types=types) for types in (None, list(basic))
        )
        assert alone == among
        assert {question.type for question in alone} <= set(basic)
    assert questions_at(world, SETTLE_S / 2, rng=np.random.default_rng(0), num=3, types=["watch"]) == []


def test_every_word_of_precise_questions_is_in_the_language() -> None:
    """Digits are tokens of their own."""
    known = set(re.findall(r" ?[A-Za-z]+| ?[^\sA-Za-z0-9]+", "\n".join(all_sentences())))
    for kind in get_args(PreciseType):
        for _, question in asked(kind):
            used = set(re.findall(r" ?[A-Za-z]+| ?[^\sA-Za-z0-9]+", f"{question.text}\n{question.answer}"))
            assert used <= known, used - known


WHEN = Question(at_s=20.0, type="when", text="When did the car arrive?", answer="18 seconds", about=(18.4,), exact_s=18.4)


@pytest.mark.parametrize(
    ("kind", "answer", "right"),
    [
        ("when", "18 seconds", True),
        ("when", "19 seconds", False),
        ("when", "18.9 seconds", True),
        ("when", "19.0 seconds", False),
        ("when", "17.9 seconds", True),
        ("when_tenths", "18.9 seconds", True),
        ("when_tenths", "18 seconds", True),
        ("when_tenths", "19 seconds", False),
        ("when_tenths", "18.1 or 18.4", False),
    ],
)
def test_an_answer_in_tenths_is_right_within_half_a_second(kind: AnyType, answer: str, right: bool) -> None:
    question = Question(at_s=20.0, type=kind, text=WHEN.text, answer=WHEN.answer, about=WHEN.about, exact_s=WHEN.exact_s)
    assert check(question, answer) is right
