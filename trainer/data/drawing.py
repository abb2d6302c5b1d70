"""The batches of a run, step by step, drawn ahead by a process of their own while the last step is learned.

In: clips, a run's settings, which of its processes this is. Out: lists of `Batch`es. Which are drawn depends on the run's seed, the step and
the batch's number within the step alone, so it does not matter who draws them, or when.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import DataLoader, Dataset

from ov2.text import TextTokenizer
from trainer.config import TrainConfig
from trainer.data.batches import Batch, draw_batch
from trainer.data.clip_source import AnySource

AHEAD = 2
"""Steps that each loader draws ahead."""


class StepBatches(Dataset[list[Batch]]):
    """Of one process, `process` = (its number, of how many), by step."""

    def __init__(self, source: AnySource, text: TextTokenizer, config: TrainConfig, process: tuple[int, int]) -> None:
        self._source, self._text, self._config, self._process = source, text, config, process

    def __getitem__(self, step: int) -> list[Batch]:
        stage, _ = self._config.stage_at(step)
        own, num_processes = self._process
        numbers = range(own, num_processes * self._config.gradient_accumulation_steps, num_processes)
        rngs = (np.random.default_rng([self._config.seed, step, number]) for number in numbers)
        return [draw_batch(self._source, self._text, stage, rng) for rng in rngs]


def batches_of(
    source: AnySource, text: TextTokenizer, config: TrainConfig, *, steps: range, process: tuple[int, int] = (0, 1)
) -> Iterator[list[Batch]]:
    """Batches of some steps of one stage. Raises what drawing raises."""
    batches = StepBatches(source, text, config, process)
    if not config.loaders:
        return (batches[step] for step in steps)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one thread in each loader: the others belong to the step
    loader: DataLoader[list[Batch]] = DataLoader(
        batches,
        batch_size=None,
        sampler=steps,
        num_workers=config.loaders,
        prefetch_factor=AHEAD,
        multiprocessing_context="spawn",
        collate_fn=_as_it_is,
    )
    return iter(loader)


def _as_it_is(batches: Sequence[Batch]) -> Sequence[Batch]:
    return batches
