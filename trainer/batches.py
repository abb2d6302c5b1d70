"""What a run learns from: its clips on disk, and the batches drawn from them.

In: a folder of clips, a stage, a random generator. Out: a `Batch`, all that one forward pass needs. Which batch is drawn depends on the run's
seed, the step and the batch's number within the step alone, so it does not matter which process draws it, or when.

Shape letters: V vision tokens, W words.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ov2.canvas import CanvasGroup
from ov2.text import TextTokenizer
from trainer.clips import Clip, load_clip
from trainer.config import Stage
from trainer.errors import DataError
from trainer.naming import named_blocks
from trainer.sample import Sample, draw_groups, draw_sample
from trainer.world import World

MAX_DRAWS = 1000
"""Windows that are looked at for one that something can be asked about."""


class Clips:
    """The clips of a run on disk, those of the lowest seeds held out. Clips that are made meanwhile join in as they come; a resumed run
    repeats the same samples when the folder holds the same clips."""

    def __init__(self, folder: Path, num_validation: int) -> None:
        self.folder, self.num_validation = folder, num_validation
        self.changed_ns = 0
        self.paths: list[Path] = []
        if not self.training:
            raise DataError(
                f"{folder}: expected more than {num_validation} clips, got {len(self.paths)}; make them: ov2 train --make-data"
            )

    def refresh(self) -> list[Path]:
        """All clips, in order of their seeds."""
        if self.folder.is_dir() and (changed_ns := self.folder.stat().st_mtime_ns) != self.changed_ns:
            self.changed_ns, self.paths = changed_ns, sorted(self.folder.glob("clip_*.npz"))
        return self.paths

    @property
    def validation(self) -> list[Path]:
        """Held out: never drawn for training."""
        return self.refresh()[: self.num_validation]

    @property
    def training(self) -> list[Path]:
        """All but those held out."""
        return self.refresh()[self.num_validation :]

    @staticmethod
    @lru_cache(maxsize=64)
    def world(seed: int, duration_s: float) -> World:
        """The script behind a clip."""
        return World(seed, duration_s=duration_s)

    def clip(self, rng: np.random.Generator) -> Clip:
        """One training clip."""
        paths = self.training
        return load_clip(paths[int(rng.integers(len(paths)))])

    def sample(self, clip: Clip, text: TextTokenizer, stage: Stage, rng: np.random.Generator) -> Sample | None:
        """One sample of a given clip."""
        return draw_sample(clip, self.world(clip.seed, clip.duration_s), text, stage, rng)

    def draw(self, text: TextTokenizer, stage: Stage, rng: np.random.Generator) -> Sample:
        """One training sample.

        Raises:
            DataError: nothing can be asked about any window.
        """
        for _ in range(MAX_DRAWS):
            sample = self.sample(self.clip(rng), text, stage, rng)
            if sample is not None:
                return sample
        raise DataError(
            f"stage {stage.name}: expected something to ask in {self.folder}, got nothing in {MAX_DRAWS} windows; "
            "set data.duration_s higher, or other types"
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """What one forward pass learns from: blocks to name, and questions to answer where the stage has any.

    - `groups`: what the encoder is given, in the order of the samples' image tokens.
    - `names`: float32 [V, W], what every block shows (trainer.naming).
    """

    groups: tuple[CanvasGroup, ...]
    names: np.ndarray
    samples: tuple[Sample, ...] = ()

    @property
    def answers(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels of all answer tokens in order, and their weights: a whole answer counts like the square root of its length."""
        labels = [sample.labels[sample.labels >= 0] for sample in self.samples]
        lengths = np.array([span.stop - span.start for sample in self.samples for _, span in sample.asked])
        return np.concatenate(labels), np.repeat(lengths**-0.5, lengths)

    @property
    def answer_weight(self) -> float:
        """Sum of the weights of its answer tokens."""
        return float(self.answers[1].sum()) if self.samples else 0.0

    @property
    def num_tokens(self) -> int:
        """Tokens that the language model reads; blocks, where it is not asked anything."""
        return sum(len(sample.input_ids) for sample in self.samples) if self.samples else len(self.names)


def draw_batch(clips: Clips, text: TextTokenizer, stage: Stage, rng: np.random.Generator) -> Batch:
    """A batch of the stage: `samples_per_step` windows, or groups of as many clips where nothing is asked."""
    if not stage.types:
        shown = [
            (clips.world(clip.seed, clip.duration_s), group)
            for clip in (clips.clip(rng) for _ in range(stage.samples_per_step))
            for group in draw_groups(clip, stage.moments, rng)
        ]
        return Batch(tuple(group for _, group in shown), np.concatenate([named_blocks(*one) for one in shown]))
    samples = tuple(clips.draw(text, stage, rng) for _ in range(stage.samples_per_step))
    groups = tuple(group for sample in samples for group in sample.groups)
    return Batch(groups, np.concatenate([sample.names for sample in samples]), samples)
