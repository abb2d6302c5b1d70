"""Scores through the live path: questions asked of a rolling session while a world camera streams into it.

In: a model and test seeds. Out: a `Scores`: exact answers per question type, beside the best constant answer of that type, and chance.

Nothing is batched or looked up: packets of a filmed world pass source, evidence, tokenizer and session in stream order, and a question is
asked at its moment, on a branch over the window and a peek at the open group, as the service does.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np

from ov2.model import OV2Model
from ov2.weights import WeightType
from trainer.data.clips import CameraSpec, moment_times
from trainer.errors import SeedError
from trainer.evaluate.inputs import check_input
from trainer.evaluate.live import TypeTurn, over_seeds, views
from trainer.world import Question, World, check, seconds_off, split_of
from trainer.world.language import QuestionType

QUESTION_TYPES: tuple[QuestionType, ...] = get_args(QuestionType)
QUESTIONS_PER_MOMENT = 2
MAX_ANSWER_TOKENS = 24


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of the test, as it was answered. `canvases` are the pictures of the last group it could see, `num_tokens` the LLM tokens
    of its film so far."""

    seed: int
    question: Question
    answer: str
    correct: bool
    canvases: np.ndarray
    num_tokens: int = 0


@dataclass(frozen=True, slots=True)
class TypeScore:
    """Score of one question type. `constant_baseline`: share right for the best single answer given to every question; `chance`: what one
    who sees no picture would get right, each family of questions by itself (`chance_of`)."""

    accuracy: float
    constant_baseline: float
    num: int
    chance: float


@dataclass(frozen=True, slots=True)
class Scores:
    """The whole test. `accuracy` is over all questions; `constant_baseline` over all, each type with its own best answer;
    `mean_gain` the mean over types of accuracy less baseline; `when_within_1s` the share of `when` answers at most a second off."""

    asked: tuple[Asked, ...]
    by_type: dict[str, TypeScore]

    @property
    def accuracy(self) -> float:
        return sum(a.correct for a in self.asked) / max(1, len(self.asked))

    @property
    def constant_baseline(self) -> float:
        return sum(s.constant_baseline * s.num for s in self.by_type.values()) / max(1, len(self.asked))

    @property
    def mean_gain(self) -> float:
        return float(np.mean([s.accuracy - s.constant_baseline for s in self.by_type.values()]))

    @property
    def when_within_1s(self) -> float:
        offs = [seconds_off(a.question, a.answer) for a in self.asked if a.question.type == "when"]
        return float(np.mean([off is not None and off <= 1 for off in offs])) if offs else 0.0

    @property
    def chance(self) -> float:
        return sum(s.chance * s.num for s in self.by_type.values()) / max(1, len(self.asked))

    @property
    def when_exact_second(self) -> float:
        """Of the `when` answers, those whose whole second is right, in tenths or not."""
        told = [(a.question.answer, a.answer) for a in self.asked if a.question.type == "when"]
        seconds = [[re.findall(r"\d+", text)[:1] for text in pair] for pair in told]
        return float(np.mean([bool(given) and given == right for right, given in seconds])) if seconds else 0.0

    @property
    def llm_tokens(self) -> float:
        """Of a film until its last question, mean over films."""
        films: dict[int, int] = {}
        for item in self.asked:
            films[item.seed] = max(item.num_tokens, films.get(item.seed, 0))
        return float(np.mean([*films.values()])) if films else 0.0

    def as_json(self) -> dict[str, object]:
        """The closing object of `ov2 eval answers --json`."""
        types = {
            name: {"accuracy": s.accuracy, "constant_baseline": s.constant_baseline, "num": s.num, "chance": s.chance}
            for name, s in self.by_type.items()
        }
        return {
            "score": self.accuracy,
            "chance": self.chance,
            "llm_tokens": self.llm_tokens,
            "accuracy": self.accuracy,
            "constant_baseline": self.constant_baseline,
            "mean_gain_over_constant": self.mean_gain,
            "when_within_1s": self.when_within_1s,
            "when_exact_second": self.when_exact_second,
            "num_questions": len(self.asked),
            "by_type": types,
        }


def score(asked: Iterable[Asked]) -> Scores:
    """Sum up answers by type."""
    by_type: dict[str, list[Asked]] = defaultdict(list)
    everything = tuple(asked)
    for item in everything:
        by_type[item.question.type].append(item)
    scores = {}
    for name in sorted(by_type):
        items = by_type[name]
        commonest = Counter(item.question.answer for item in items).most_common(1)[0][1]
        accuracy = sum(item.correct for item in items) / len(items)
        scores[name] = TypeScore(accuracy, commonest / len(items), len(items), chance_of(items))
    return Scores(everything, scores)


def chance_of(items: Sequence[Asked]) -> float:
    """Share right for somebody who knows the test but sees no picture: to each question the commonest answer to those of its family about
    other films, or a draw from the answers that it allows, whichever is better in that family. "Which came first, A or B?" is a coin,
    though no single answer is right half of the time."""
    families: dict[str, list[Asked]] = defaultdict(list)
    for item in items:
        families[item.question.family].append(item)
    right = 0.0
    for several in families.values():
        drawn = sum(1 / len(item.question.choices) for item in several if item.question.choices)
        right += max(drawn, sum(item.question.answer == _guess(item, several) for item in several))
    return right / len(items)


def _guess(item: Asked, several: Sequence[Asked]) -> str | None:
    """The commonest answer about other films."""
    others = Counter(other.question.answer for other in several if other.seed != item.seed)
    return others.most_common(1)[0][0] if others else None


def ask_seed(model: OV2Model, seed: int, spec: CameraSpec | None = None, *, input_name: str = "codec") -> list[Asked]:
    """Stream one seed through a session, and ask about it at every moment."""
    spec = spec or CameraSpec()
    world = World(seed, duration_s=spec.duration_s)
    turn = TypeTurn(QUESTION_TYPES, QUESTIONS_PER_MOMENT, np.random.default_rng([seed, 13]))
    asked: list[Asked] = []
    for view in views(model, world, spec, moment_times(seed, spec), input_name=input_name):
        since_s = view.session.window[0] if view.session.window else 0.0
        for question in turn.questions(world, view.at_s, since_s=since_s, zero_s=view.session.zero_s):
            answer = view.ask(question.text, MAX_ANSWER_TOKENS)
            canvases = view.shown.canvases if view.shown is not None else np.zeros((1, 28, 28, 3), dtype=np.uint8)
            asked.append(Asked(seed, question, answer, check(question, answer), canvases, view.num_tokens))
    return asked


def ask_seeds(
    model: str,
    seeds: Sequence[int],
    *,
    weights: WeightType = "model",
    workers: int = 1,
    input_name: str = "codec",
    done: Callable[[int], None] = lambda count: None,
) -> Scores:
    """Ask about many seeds, each in a session of its own, on several processes; `done(count)` is called as seeds are finished.

    Raises ConfigError for an unknown input."""
    check_input(input_name)
    job = partial(ask_seed, input_name=input_name)
    return score(item for asked in over_seeds(job, model, seeds, weights=weights, workers=workers, done=done) for item in asked)


def seed_range(text: str, split: Literal["train", "test"] = "test") -> range:
    """Seeds of "A:B", B left out.

    Raises:
        SeedError: not two whole numbers in order, or seeds outside the split.
    """
    first, _, last = text.partition(":")
    if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise SeedError(f"seeds: expected A:B with A below B, got {text}")
    for seed in (int(first), int(last) - 1):
        if split_of(seed) != split:
            limits = "900000 and up" if split == "test" else "below 500000"
            raise SeedError(f"seeds: expected seeds of the {split} split ({limits}), got {seed}")
    return range(int(first), int(last))
