"""Scores through the live path: questions asked of a rolling session while a world camera streams into it.

In: a model and test seeds. Out: a `Scores`: exact answers per question type, beside the best constant answer of that type.

Nothing is batched or looked up: packets of a filmed world pass source, evidence, tokenizer and session in stream order, and a question is
asked at its moment, on a branch over the window and a peek at the open group, as the service does.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from ov2.canvas import CanvasGroup
from ov2.model import OV2Model
from ov2.session import Session
from ov2.weights import WeightType
from stream.sources import open_source
from stream.tokenizer.settings import settings_from
from stream.tokenizer.tokenizer import Tokenizer
from trainer.data.clips import CameraSpec, moment_times
from trainer.errors import SeedError
from trainer.world import Question, World, check, questions_at, seconds_off, split_of, write_file
from trainer.world.language import QuestionType

QUESTION_TYPES: tuple[QuestionType, ...] = get_args(QuestionType)
QUESTIONS_PER_MOMENT = 2
MAX_ANSWER_TOKENS = 24


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of the test, as it was answered. `canvases` are the pictures of the last group it could see."""

    seed: int
    question: Question
    answer: str
    correct: bool
    canvases: np.ndarray


@dataclass(frozen=True, slots=True)
class TypeScore:
    """Score of one question type. `constant_baseline`: share right for the best single answer given to every question."""

    accuracy: float
    constant_baseline: float
    num: int


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

    def as_json(self) -> dict[str, object]:
        """The closing object of `ov2 eval answers --json`."""
        types = {
            name: {"accuracy": s.accuracy, "constant_baseline": s.constant_baseline, "num": s.num}
            for name, s in self.by_type.items()
        }
        return {
            "accuracy": self.accuracy,
            "constant_baseline": self.constant_baseline,
            "mean_gain_over_constant": self.mean_gain,
            "when_within_1s": self.when_within_1s,
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
        scores[name] = TypeScore(sum(i.correct for i in items) / len(items), commonest / len(items), len(items))
    return Scores(everything, scores)


def ask_seed(model: OV2Model, seed: int, spec: CameraSpec | None = None) -> list[Asked]:
    """Stream one seed through a session, and ask about it at every moment."""
    spec = spec or CameraSpec()
    world = World(seed, duration_s=spec.duration_s)
    tokenizer = Tokenizer(settings_from(model.stream_settings.get("tokenizer", {})))
    session = Session(model)
    waiting = moment_times(seed, spec)
    turn = _TypeTurn(np.random.default_rng([seed, 13]))
    asked: list[Asked] = []
    last: CanvasGroup | None = None
    with tempfile.TemporaryDirectory(prefix="ov2-eval-") as folder:
        path = Path(folder) / "camera.mp4"
        write_file(world, path, width=spec.width, height=spec.height, fps=spec.fps, camera=spec.camera)
        with open_source(str(path)) as packets:
            for packet in packets:
                while waiting and packet.pts_s > waiting[0]:
                    peek = tokenizer.peek()
                    now = turn.questions(world, waiting.pop(0), session)
                    asked.extend(_ask(session, seed, question, peek, last) for question in now)
                for group in tokenizer.push(packet):
                    session.append(group)
                    last = group
    return asked


class _TypeTurn:
    """Chooses question types in turn, so that every type is asked about equally often."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.counts: Counter[str] = Counter()

    def questions(self, world: World, at_s: float, session: Session) -> list[Question]:
        """The next questions at a moment: the least asked types that have an answer now."""
        since_s = session.window[0] if session.window else 0.0
        order = sorted(QUESTION_TYPES, key=lambda name: (self.counts[name], self.rng.random()))
        found: list[Question] = []
        for name in order:
            if len(found) == QUESTIONS_PER_MOMENT:
                break
            drawn = questions_at(world, at_s, since_s=since_s, rng=self.rng, num=1, types=[name], zero_s=session.zero_s)
            self.counts.update(question.type for question in drawn)
            found.extend(drawn)
        return found


def _ask(session: Session, seed: int, question: Question, peek: CanvasGroup | None, last: CanvasGroup | None) -> Asked:
    answer = "".join(session.ask(question.text, peek=peek, max_tokens=MAX_ANSWER_TOKENS)).strip()
    shown = peek or last
    canvases = shown.canvases if shown is not None else np.zeros((1, 28, 28, 3), dtype=np.uint8)
    return Asked(seed, question, answer, check(question, answer), canvases)


def ask_seeds(
    model: str,
    seeds: Sequence[int],
    *,
    weights: WeightType = "model",
    workers: int = 1,
    done: Callable[[int], None] = lambda count: None,
) -> Scores:
    """Ask about many seeds, each in a session of its own, on several processes; `done(count)` is called as seeds are finished."""
    asked: dict[int, list[Asked]] = {}
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_load, initargs=(model, weights)) as pool:
        futures = {pool.submit(_ask_loaded, seed): seed for seed in seeds}
        for future in as_completed(futures):
            asked[futures[future]] = future.result()
            done(len(asked))
    return score(item for seed in sorted(asked) for item in asked[seed])


_loaded: list[OV2Model] = []
"""The model of a worker process."""


def _load(model: str, weights: WeightType) -> None:
    torch.set_num_threads(1)
    _loaded.append(OV2Model.from_pretrained(model, weights=weights))


def _ask_loaded(seed: int) -> list[Asked]:
    return ask_seed(_loaded[0], seed)


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
