"""Where the clips of a stage come from: films, films whose vision tokens are known, scripts. What is common to them.

In: a stage, a random generator. Out: clips, and `Sample`s drawn from them. Which are drawn depends on the generator alone, so it does not
matter which process draws them, or when.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Generic

import numpy as np

from ov2.canvas import CanvasGroup
from ov2.text import TextTokenizer
from trainer.config import Stage
from trainer.data.clips import AnyClip, ClipOf, G
from trainer.data.shown_group import ShownGroup
from trainer.errors import DataError
from trainer.train.sample import Sample, draw_sample
from trainer.world import World

MAX_DRAWS = 1000
"""Windows that are looked at for one that something can be asked about."""


class ClipSource(ABC, Generic[G]):
    """Clips to learn from, and some that are held out. `where` is told in errors."""

    where: str

    @abstractmethod
    def clip(self, rng: np.random.Generator) -> ClipOf[G]:
        """One training clip."""

    @property
    @abstractmethod
    def num_held_out(self) -> int:
        """Clips that are never drawn for training."""

    @abstractmethod
    def held_out(self, index: int) -> ClipOf[G]:
        """One of them."""

    def held_out_sample(self, index: int, text: TextTokenizer, stage: Stage, rng: np.random.Generator) -> Sample | None:
        """A sample of one that is held out; None where nothing can be asked about the window."""
        return _sample(self.held_out(index), text, stage, rng)

    def draw(self, text: TextTokenizer, stage: Stage, rng: np.random.Generator) -> Sample:
        """One training sample.

        Raises:
            DataError: nothing can be asked about any window.
        """
        for _ in range(MAX_DRAWS):
            sample = _sample(self.clip(rng), text, stage, rng)
            if sample is not None:
                return sample
        raise DataError(
            f"stage {stage.name}: expected something to ask in {self.where}, got nothing in {MAX_DRAWS} windows; "
            "set data.duration_s higher, or other types"
        )


AnySource = ClipSource[CanvasGroup] | ClipSource[ShownGroup]


@lru_cache(maxsize=64)
def world_of(seed: int, duration_s: float) -> World:
    """The script behind a clip."""
    return World(seed, duration_s=duration_s)


def _sample(clip: AnyClip, text: TextTokenizer, stage: Stage, rng: np.random.Generator) -> Sample | None:
    return draw_sample(clip, world_of(clip.seed, clip.duration_s), text, stage, rng)
