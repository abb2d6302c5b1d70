"""The one way in which evaluations ask: a rolling session while a filmed world streams into it, questions on branches, as the service does.

In: a model, a world and how it is filmed, moments. Out: a `View` at each moment, to ask about. Also: one job for each of many seeds, on
several processes.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch

from ov2.canvas import CanvasGroup
from ov2.model import OV2Model
from ov2.session import Session
from ov2.weights import WeightType
from stream.tokenizer.budget import num_llm_tokens
from stream.tokenizer.settings import settings_from
from trainer.data.clips import CameraSpec
from trainer.evaluate.inputs import film_steps, read_by
from trainer.world import Question, World, questions_at, write_file
from trainer.world.language import AnyType

T = TypeVar("T")
Name = TypeVar("Name", bound=AnyType)


@dataclass(frozen=True, slots=True)
class View:
    """What a session knows at `at_s`: its window, and the open group `peek`. `shown` is the latest group; `num_tokens` are the LLM tokens
    of all groups until now, timestamps counted."""

    at_s: float
    session: Session
    peek: CanvasGroup | None
    shown: CanvasGroup | None
    num_tokens: int

    def ask(self, question: str, max_tokens: int) -> str:
        return "".join(self.session.ask(question, peek=self.peek, max_tokens=max_tokens)).strip()


def views(
    model: OV2Model, world: World, spec: CameraSpec, times_s: Sequence[float], *, input_name: str = "codec"
) -> Iterator[View]:
    """Film the world, stream it into a session, and stop at each moment. Raises ConfigError for an unknown input."""
    settings = read_by(input_name, settings_from(model.stream_settings.get("tokenizer", {})))
    num_tokens, last = 0, None
    with Session(model) as session, tempfile.TemporaryDirectory(prefix="ov2-eval-") as folder:
        path = Path(folder) / "camera.mp4"
        write_file(world, path, width=spec.width, height=spec.height, fps=spec.fps, camera=spec.camera)
        for step in film_steps(path, settings, times_s):
            for group in step.groups:
                session.append(group)
                last = group
                num_tokens += num_llm_tokens(group)
            open_tokens = num_llm_tokens(step.peek) if step.peek else 0
            yield View(step.at_s, session, step.peek, step.peek or last, num_tokens + open_tokens)


class TypeTurn(Generic[Name]):
    """Chooses question types in turn, so that every type is asked about equally often; `per_moment` questions at a time."""

    def __init__(self, types: Sequence[Name], per_moment: int, rng: np.random.Generator) -> None:
        self.types, self.per_moment, self.rng = types, per_moment, rng
        self.counts: Counter[str] = Counter()

    def questions(self, world: World, at_s: float, *, since_s: float, zero_s: float) -> list[Question]:
        """The next questions at a moment: the least asked types that have an answer now."""
        order = sorted(self.types, key=lambda name: (self.counts[name], self.rng.random()))
        found: list[Question] = []
        for name in order:
            if len(found) == self.per_moment:
                break
            drawn = questions_at(world, at_s, since_s=since_s, rng=self.rng, num=1, types=[name], zero_s=zero_s)
            self.counts.update(question.type for question in drawn)
            found.extend(drawn)
        return found


def over_seeds(
    job: Callable[[OV2Model, int], T],
    model: str,
    seeds: Sequence[int],
    *,
    weights: WeightType = "model",
    workers: int = 1,
    done: Callable[[int], None] = lambda count: None,
) -> list[T]:
    """What `job` makes of each seed, in order of seeds, on several processes; `done(count)` is called as seeds are finished."""
    results: dict[int, T] = {}
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_load, initargs=(model, weights)) as pool:
        futures = {pool.submit(_run_loaded, job, seed): seed for seed in seeds}
        for future in as_completed(futures):
            results[futures[future]] = future.result()
            done(len(results))
    return [results[seed] for seed in sorted(results)]


_loaded: list[OV2Model] = []
"""The model of a worker process."""


def _load(model: str, weights: WeightType) -> None:
    torch.set_num_threads(1)
    _loaded.append(OV2Model.from_pretrained(model, weights=weights))


def _run_loaded(job: Callable[[OV2Model, int], T], seed: int) -> T:
    return job(_loaded[0], seed)
