"""The benchmarks of the generated world: true answers score one, constant ones chance, silence nothing."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from functools import cache
from itertools import count

import pytest
from ov2_command import ov2

from trainer.errors import ConfigError
from trainer.evaluate.benchmarks import BENCHMARKS, Answered, QuestionTurn, answer_seeds, film_of, moments_of
from trainer.evaluate.scoring import FilmScorer
from trainer.evaluate.tracking import tracks_in
from trainer.evaluate.verdict import verdict
from trainer.world import Question, forms
from trainer.world.language import AnyType
from trainer.world.placed import track_frames

SEEDS = range(900_000, 900_006)
ZERO_S = 0.4


@cache
def asked(name: str, seeds: range = SEEDS) -> tuple[Answered, ...]:
    """A benchmark's questions, each with its true answer."""
    answered = []
    for seed in seeds:
        world, spec = film_of(BENCHMARKS[name], seed)
        turn = QuestionTurn(BENCHMARKS[name], world)
        for at_s in moments_of(BENCHMARKS[name], seed, spec):
            questions = turn.questions(at_s, zero_s=ZERO_S)
            answered += [Answered(seed, question, ZERO_S, question.answer, 900) for question in questions]
    return tuple(answered)


@cache
def of_true_answers(name: str) -> dict[str, object]:
    return verdict(BENCHMARKS[name], asked(name))


def saying(name: str, answers: dict[tuple[str, str], str]) -> list[Answered]:
    """The same with other answers, by type and family."""
    return [
        Answered(one.seed, one.question, one.zero_s, answers.get((one.question.type, one.question.family), ""), one.num_tokens)
        for one in asked(name)
    ]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_true_answers_score_one_and_chance_is_far_from_it(name: str) -> None:
    told = of_true_answers(name)
    assert told["score"] == pytest.approx(1.0)
    assert told["llm_tokens"] == 900
    assert told["num_films"] == len(SEEDS)
    by_type = told["by_type"]
    assert isinstance(by_type, dict)
    assert set(by_type) == set(BENCHMARKS[name].types)
    assert all(of_type["score"] == pytest.approx(1.0) for of_type in by_type.values())
    assert isinstance(told["chance"], float)
    assert 0.0 <= told["chance"] < 0.7


@pytest.mark.parametrize("name", BENCHMARKS)
def test_silence_scores_nothing_but_seconds_at_which_nobody_was_there(name: str) -> None:
    told = verdict(BENCHMARKS[name], saying(name, {}))
    assert told["score"] == pytest.approx(empty_share() if name == "tracking" else 0.0)


def empty_share() -> float:
    shares = []
    for one in asked("tracking"):
        world, _ = film_of(BENCHMARKS["tracking"], one.seed)
        frames = track_frames(world, one.question.idents, ZERO_S, one.question.at_s, ZERO_S)
        shares.append(1 - len(tracks_in(one.answer)) / len(frames))
    return sum(shares) / len(shares)


@pytest.mark.parametrize("name", ["jumpscore", "grounding", "spatial", "captions"])
def test_a_constant_answer_scores_about_chance(name: str) -> None:
    """The commonest answer of each family about other films; chance may know a better one."""
    families: dict[tuple[str, str], Counter[str]] = {}
    for one in asked(name, range(900_100, 900_106)):
        families.setdefault((one.question.type, one.question.family), Counter())[one.question.answer] += 1
    constant = {key: several.most_common(1)[0][0] for key, several in families.items()}
    told = verdict(BENCHMARKS[name], saying(name, constant))
    assert isinstance(told["score"], float)
    assert isinstance(told["chance"], float)
    assert told["score"] == pytest.approx(told["chance"], abs=0.2)


seeds = count(900_000)


def made_up(kind: AnyType, truth: str, said: str, choices: tuple[str, ...] | None = None) -> Answered:
    question = Question(at_s=3.0, type=kind, text="What?", answer=truth, about=(3.0,), family=kind, choices=choices)
    return Answered(next(seeds), question, 0.0, said, 900)


def test_chance_does_not_know_an_answer_that_no_other_film_has() -> None:
    spatial = BENCHMARKS["spatial"]
    for truths in ("a", "abc"):
        assert verdict(spatial, [made_up("relation", truth, "") for truth in truths])["chance"] == 0.0
    assert verdict(spatial, [made_up("relation", truth, "") for truth in "aab"])["chance"] == pytest.approx(2 / 3)
    film = [dataclasses.replace(made_up("relation", "a", ""), seed=900_000) for _ in range(4)]
    assert verdict(spatial, film)["chance"] == 0.0
    pairs = [("a", "b"), ("c", "d"), ("e", "f")]
    assert verdict(spatial, [made_up("depth_order", pair[0], "", pair) for pair in pairs])["chance"] == 0.5


def test_facts_are_summed_over_captions() -> None:
    told = verdict(BENCHMARKS["captions"], [made_up("describe", "a, b, c", ""), made_up("describe", "d", "d, e")])
    assert (told["right"], told["invented"], told["missed"]) == (1, 1, 3)
    assert told["score"] == pytest.approx(2 / 6)


def test_metrics_go_by_their_published_names() -> None:
    names = {
        "jumpscore": {"ap@0.1", "ap@0.2", "ap@0.3"},
        "grounding": {"r1@0.3", "r1@0.5", "r1@0.7", "map"},
        "tracking": {"precision", "recall", "f1", "j", "f", "boxes"},
        "spatial": {"box_iou"},
        "captions": {"right", "invented", "missed"},
    }
    for name, metrics in names.items():
        told = of_true_answers(name)
        assert metrics <= set(told)
        assert {"score", "chance", "llm_tokens", "by_type", "num_films", "num_questions", "metric"} <= set(told)


def test_jumps_told_late_score_by_the_tolerance() -> None:
    one = asked("jumpscore")[0]
    scorer = FilmScorer(film_of(BENCHMARKS["jumpscore"], one.seed)[0])
    late = forms.starts(t_s + 0.15 - ZERO_S for t_s in scorer.world.jump_starts_s)
    told = scorer.metrics(one.question, late, ZERO_S)
    assert (told["ap@0.2"], told["ap@0.3"]) == pytest.approx((1.0, 1.0))
    assert told["ap@0.1"] < 0.2


def test_a_track_of_the_ground_and_one_of_somebody_else_are_wrong_and_boxes_are_nearly_right() -> None:
    for one in asked("tracking")[:4]:
        scorer = FilmScorer(film_of(BENCHMARKS["tracking"], one.seed)[0])
        true = scorer.metrics(one.question, one.answer, ZERO_S)
        assert 0.3 < true["boxes"] < 0.95
        frames = [(t_s, {0: (0.5, 0.02)}) for t_s in tracks_in(one.answer)]
        ground = scorer.metrics(one.question, forms.tracks(frames, "the sky"), ZERO_S)
        silent = scorer.metrics(one.question, "", ZERO_S)
        assert (ground["score"], ground["precision"]) == pytest.approx((silent["score"], silent["precision"]))
        shifted = [
            (t_s + 1.0, {ident: (x / 1000, y / 1000) for ident, (x, y) in points.items()})
            for t_s, points in tracks_in(one.answer).items()
        ]
        assert scorer.metrics(one.question, forms.tracks(shifted, "it"), ZERO_S)["f1"] < 1.0


def test_the_command_asks_through_the_live_path_and_closes_with_its_object() -> None:
    done = ov2("eval", "grounding", "--seeds", "900000:900001", "--workers", "1", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert 0.0 <= told["score"] <= 1.0
    assert told["llm_tokens"] > 500
    assert told["by_type"]["interval"]["num"] > 1


def test_an_unknown_benchmark_and_an_input_that_is_not_built_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"input: expected one of codec, frames, ippp, got video; set --input codec"):
        answer_seeds("jumpscore", "ov2-nano", [900_000], input_name="video")
    with pytest.raises(ConfigError, match=r"benchmark: expected one of jumpscore, .*, got jumps"):
        answer_seeds("jumps", "ov2-nano", [900_000])
