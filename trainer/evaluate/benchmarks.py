"""Five benchmarks of the generated world, by the published metrics: jumpscore, grounding, tracking, spatial, captions.

In: a benchmark, a model, test seeds. Out: every question with its answer (`Answered`), for `trainer.evaluate.verdict` to score.

A film streams into a session as a camera would, and is asked about at a few moments: of a JumpScore film once, at its end. Questions are
about all of the film since the session's clock began, which is all of it where the session is not renewed; whether or not its window
still holds that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

import numpy as np

from ov2.model import OV2Model
from ov2.weights import WeightType
from trainer.data.clips import CameraSpec, moment_times
from trainer.errors import ConfigError
from trainer.evaluate.inputs import check_input
from trainer.evaluate.live import TypeTurn, over_seeds, views
from trainer.train.narration import tell
from trainer.world import Question, Scene, World, jump_film
from trainer.world.language import AnyType, ToldType

END_S = 0.3
"""No film is asked about later than so long before its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """What is asked of which films.

    - `types`: question types, asked about equally often. `scored`: those that make the score; the others are told beside it.
    - `metric`: what the score is. `every_s`: seconds between moments, 0 for the end alone; `per_moment`: questions at each.
    - `max_tokens`: of an answer.
    """

    metric: str
    types: tuple[AnyType, ...]
    scored: tuple[AnyType, ...] = ()
    scene: Scene = "yard"
    every_s: float = 0.0
    per_moment: int = 1
    max_tokens: int = 32


BENCHMARKS: dict[str, Benchmark] = {
    "jumpscore": Benchmark(metric="mean AP", types=("jump_starts",), scene="jumpscore", max_tokens=1024),
    "grounding": Benchmark(
        metric="mIoU", types=("interval", "when_tenths", "not_seen"), scored=("interval",), every_s=9.0, per_moment=3
    ),
    "tracking": Benchmark(metric="J&F", types=("tracks",), every_s=15.0, per_moment=2, max_tokens=1024),
    "spatial": Benchmark(
        metric="accuracy", types=("point", "box", "relation", "depth_order"), every_s=4.0, per_moment=2, max_tokens=32
    ),
    "captions": Benchmark(metric="F1 of facts", types=("describe", "log"), every_s=6.0, per_moment=2, max_tokens=160),
}


@dataclass(frozen=True, slots=True)
class Answered:
    """One question and what was said. `zero_s`: world second of the session's clock at zero; `num_tokens`: LLM tokens of the film so far."""

    seed: int
    question: Question
    zero_s: float
    answer: str
    num_tokens: int


def film_of(benchmark: Benchmark, seed: int) -> tuple[World, CameraSpec]:
    """The world of a seed, and how it is filmed."""
    if benchmark.scene == "jumpscore":
        film = jump_film(seed)
        spec = CameraSpec(fps=film.fps, duration_s=film.duration_s)
    else:
        spec = CameraSpec(moment_every_s=benchmark.every_s)
    return World(seed, duration_s=spec.duration_s, scene=benchmark.scene), spec


def moments_of(benchmark: Benchmark, seed: int, spec: CameraSpec) -> list[float]:
    last_s = spec.duration_s - END_S
    return [at_s for at_s in moment_times(seed, spec) if at_s < last_s] if benchmark.every_s else [last_s]


class QuestionTurn:
    """Draws a film's questions, the same for a seed and the same clock whoever answers."""

    def __init__(self, benchmark: Benchmark, world: World) -> None:
        self.world, self.rng = world, np.random.default_rng([world.seed, 19])
        self.told = [name for name in benchmark.types if name in get_args(ToldType)]
        asked = [name for name in benchmark.types if name not in self.told]
        self.turn = TypeTurn(asked, benchmark.per_moment, self.rng)

    def questions(self, at_s: float, *, zero_s: float) -> list[Question]:
        """Those of one moment, about all since the session's clock began."""
        told = [self._told(name, at_s, zero_s) for name in self.told]
        return [*told, *self.turn.questions(self.world, at_s, since_s=zero_s, zero_s=zero_s)]

    def _told(self, name: AnyType, at_s: float, zero_s: float) -> Question:
        lesson = tell(name, self.world, at_s, since_s=zero_s, zero_s=zero_s, rng=self.rng)
        return Question(at_s=at_s, type=name, text=lesson.text, answer=lesson.answer, about=(at_s,), family=name)


def answer_seed(model: OV2Model, seed: int, *, name: str, input_name: str = "codec") -> list[Answered]:
    """Stream one film of a benchmark through a session, and ask."""
    benchmark = BENCHMARKS[name]
    world, spec = film_of(benchmark, seed)
    turn = QuestionTurn(benchmark, world)
    answered = []
    for view in views(model, world, spec, moments_of(benchmark, seed, spec), input_name=input_name):
        zero_s = view.session.zero_s
        for question in turn.questions(view.at_s, zero_s=zero_s):
            answer = view.ask(question.text, benchmark.max_tokens)
            answered.append(Answered(seed, question, zero_s, answer, view.num_tokens))
    return answered


def answer_seeds(
    name: str,
    model: str,
    seeds: Sequence[int],
    *,
    weights: WeightType = "model",
    workers: int = 1,
    input_name: str = "codec",
    done: Callable[[int], None] = lambda count: None,
) -> list[Answered]:
    """All questions of a benchmark, in order of seeds; `done(count)` is called as seeds are finished.

    Raises ConfigError for an unknown benchmark or input."""
    check_input(input_name)
    if name not in BENCHMARKS:
        raise ConfigError(f"benchmark: expected one of {', '.join(BENCHMARKS)}, got {name}")
    job = partial(answer_seed, name=name, input_name=input_name)
    return [one for several in over_seeds(job, model, seeds, weights=weights, workers=workers, done=done) for one in several]
