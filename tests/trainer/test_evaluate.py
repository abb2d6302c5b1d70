"""Scores of a checkpoint: which seeds may be asked about, and what an answer is compared with."""

from __future__ import annotations

import dataclasses
from itertools import count

import numpy as np
import pytest

from trainer.errors import ConfigError
from trainer.evaluate.answers import Asked, Scores, ask_seeds, chance_of, score, seed_range
from trainer.world import Question, World, check, questions_at


@pytest.mark.parametrize("seeds", ["12", "5:3", "a:b", "100:110", "899999:900001"])
def test_seeds_outside_the_test_split_are_refused(seeds: str) -> None:
    with pytest.raises(Exception, match="seed"):
        seed_range(seeds)


seeds = count(900_000)


def asked(
    answer: str,
    said: str,
    *,
    kind: str = "count",
    family: str = "",
    choices: tuple[str, ...] | None = None,
    exact_s: float | None = None,
) -> Asked:
    question = Question(
        at_s=5.0, type=kind, text="What?", answer=answer, about=(5.0,), family=family, choices=choices, exact_s=exact_s
    )
    return Asked(next(seeds), question, said, check(question, said), np.zeros((1, 28, 28, 3), np.uint8), num_tokens=70)


def test_scores_compare_with_the_best_constant_answer() -> None:
    scores = score([asked("1", "1"), asked("1", "1"), asked("2", "2"), asked("3", "1")])
    assert scores.accuracy == 0.75
    assert scores.by_type["count"].constant_baseline == 0.5
    assert scores.mean_gain == 0.25
    assert scores.llm_tokens == 70


def chance(*items: Asked) -> float:
    return score(items).by_type["order"].chance


def order(answer: str, family: str, *choices: str) -> Asked:
    return asked(answer, "", kind="order", family=family, choices=choices)


def test_which_of_two_is_a_coin_though_no_single_answer_is_right_half_of_the_time() -> None:
    which = [order(pair[k % 2], "which", *pair) for k, pair in enumerate([("car", "dog"), ("red", "blue"), ("dog", "red")])]
    assert score(which).by_type["order"].constant_baseline < 0.5
    assert chance(*which) == 0.5
    assert chance(*which, *(order("yes", "yes or no", "yes", "no") for _ in range(3))) == 0.75
    assert chance(*(order(answer, "", "yes", "no") for answer in ("yes", "yes", "yes", "no"))) == 0.75


def test_chance_knows_the_other_answers_but_not_its_own() -> None:
    assert chance_of([asked(str(k), "") for k in range(5)]) == 0.0
    several = [asked(answer, "") for answer in ("2", "2", "2", "5")]
    assert chance_of(several) == 0.75
    assert chance_of([dataclasses.replace(item, seed=900_000) for item in several]) == 0.0  # of one film, that nobody has seen


def test_chance_of_the_worlds_own_questions_is_at_least_that_of_its_choices() -> None:
    items = []
    for seed in range(900_000, 900_030):
        rng = np.random.default_rng(seed)
        questions = questions_at(World(seed, duration_s=40.0), 35.0, rng=rng, num=3, types=["order"])
        items += [Asked(seed, question, "", False, np.zeros((1, 28, 28, 3), np.uint8)) for question in questions]
    assert len(items) > 40
    assert 0.5 <= chance_of(items) < 0.62


def test_when_in_tenths_is_right_within_half_a_second_and_the_whole_second_is_told_beside_it() -> None:
    said = ("12.9 seconds", "12.2 seconds", "13.1 seconds", "12 seconds", "13 seconds", "later")
    scores: Scores = score([asked("12 seconds", answer, kind="when", exact_s=12.7) for answer in said])
    assert [item.correct for item in scores.asked] == [True, True, True, True, False, False]
    assert scores.when_exact_second == 0.5
    assert scores.as_json()["when_exact_second"] == 0.5
    assert scores.as_json()["score"] == scores.accuracy


def test_an_input_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"input: expected one of codec, frames, ippp, got video; set --input codec"):
        ask_seeds("ov2-nano", [900_000], input_name="video")
