"""The batches that a run learns from.

In: a source of clips, a stage, a random generator. Out: a `Batch`, all that one forward pass needs.

Shape letters: V vision tokens, W words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ov2.canvas import CanvasGroup
from ov2.text import TextTokenizer
from trainer.config import Stage
from trainer.data.clip_source import AnySource, world_of
from trainer.data.filmed_clips import FilmedClips
from trainer.data.shown_group import ShownGroup
from trainer.train.naming import named_blocks
from trainer.train.sample import Sample, draw_groups


@dataclass(frozen=True, slots=True)
class Batch:
    """What one forward pass learns from: blocks to name, and questions to answer where the stage has any.

    - `groups`: what the encoder is given, in the order of the samples' image tokens; none where `vision` is known.
    - `names`: float32 [V, W], what every block shows (trainer.train.naming).
    - `vision`: float16 [V, D], vision tokens that are known already.
    """

    groups: tuple[CanvasGroup, ...]
    names: np.ndarray
    samples: tuple[Sample, ...] = ()
    vision: np.ndarray | None = None

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Batch:
        """Of samples that are all filmed, or all of known vision tokens."""
        groups = [group for sample in samples for group in sample.groups]
        filmed = tuple(group for group in groups if isinstance(group, CanvasGroup))
        shown = [group.vision_VD for group in groups if isinstance(group, ShownGroup)]
        assert not (filmed and shown), "a batch: expected films, or known vision tokens, got both"
        names = np.concatenate([sample.names for sample in samples])
        return cls(filmed, names, tuple(samples), np.concatenate(shown) if shown else None)

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
    def num_runs(self) -> int:
        """Runs at whose ends heads are taught."""
        return sum(len(sample.dense.rows) for sample in self.samples)

    @property
    def num_labelled(self) -> int:
        """Tokens that carry a label: those of answers, and the ends of runs."""
        return sum(int((sample.labels >= 0).sum()) for sample in self.samples) + self.num_runs

    @property
    def num_tokens(self) -> int:
        """Tokens that the language model reads; blocks, where it is not asked anything."""
        return sum(len(sample.input_ids) for sample in self.samples) if self.samples else len(self.names)


def draw_batch(source: AnySource, text: TextTokenizer, stage: Stage, rng: np.random.Generator) -> Batch:
    """A batch of the stage: `samples_per_step` windows, or groups of as many clips where nothing is asked."""
    if not stage.types:
        assert isinstance(source, FilmedClips), "blocks are named by an encoder that learns: expected films"
        shown = [
            (world_of(clip.seed, clip.duration_s), group)
            for clip in (source.clip(rng) for _ in range(stage.samples_per_step))
            for group in draw_groups(clip, stage.moments, rng)
        ]
        return Batch(tuple(group for _, group in shown), np.concatenate([named_blocks(*one) for one in shown]))
    return Batch.of([source.draw(text, stage, rng) for _ in range(stage.samples_per_step)])
