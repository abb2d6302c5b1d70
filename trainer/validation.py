"""Validation on held-out clips, shared out over the processes of a run.

In: a model, clips, a stage. Out: F1 of every word over blocks, and the share of questions whose every answer token is the model's first
choice, per type. What is asked of a clip depends on its place among the held-out ones alone.

Shape letters: V vision tokens, W words.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from ov2.encode import vision_tokens
from ov2.text import TextTokenizer
from trainer.batches import Clips
from trainer.clips import load_clip
from trainer.config import Stage
from trainer.forward import labelled_logits
from trainer.naming import f1_of_words, named_blocks, naming_scores
from trainer.objective import Objective
from trainer.sample import Sample, draw_groups

QUESTIONS_PER_CLIP = 24
GROUPS_PER_CLIP = 4
"""Questions asked about each held-out clip, about; groups whose blocks are named."""


@dataclass(frozen=True, slots=True)
class _Marks:
    """One clip: scores and truth of its blocks [V, W], and whether each answer was right, by type."""

    scores_VW: np.ndarray
    names_VW: np.ndarray
    right: list[tuple[str, bool]] = field(default_factory=list)


@torch.no_grad()
def validate(
    accelerator: Accelerator, objective: Objective, clips: Clips, text: TextTokenizer, stage: Stage
) -> dict[str, float]:
    """Marks of all held-out clips, the same in every process."""
    own = list(enumerate(clips.validation))[accelerator.process_index :: accelerator.num_processes]
    marks: list[_Marks] = gather_object([_mark_clip(objective, clips, path, text, stage, index) for index, path in own])
    if not marks:
        return {}
    right: dict[str, list[bool]] = defaultdict(list)
    for kind, is_right in (answer for one in marks for answer in one.right):
        right[kind].append(is_right)
    f1 = f1_of_words(
        torch.from_numpy(np.concatenate([one.scores_VW for one in marks])), np.concatenate([one.names_VW for one in marks])
    )
    return {f"exact/{name}": float(np.mean(values)) for name, values in sorted(right.items())} | {
        f"named/{word}": value for word, value in f1.items()
    }


def _mark_clip(objective: Objective, clips: Clips, path: Path, text: TextTokenizer, stage: Stage, index: int) -> _Marks:
    clip, rng = load_clip(path), np.random.default_rng([index, 11])
    world, groups = clips.world(clip.seed, clip.duration_s), draw_groups(clip, GROUPS_PER_CLIP, rng)
    scores_VW = naming_scores(objective.model, objective.words, vision_tokens(objective.model, groups))
    marks = _Marks(scores_VW.float().cpu().numpy(), np.concatenate([named_blocks(world, group) for group in groups]))
    rounds = max(1, QUESTIONS_PER_CLIP // (stage.moments * stage.questions)) if stage.types else 0
    for sample in filter(None, (clips.sample(clip, text, stage, rng) for _ in range(rounds))):
        marks.right.extend(_mark_sample(objective, sample))
    return marks


def _mark_sample(objective: Objective, sample: Sample) -> list[tuple[str, bool]]:
    picked = np.full(len(sample.labels), -1)
    logits = labelled_logits(objective.model, [sample], vision_tokens(objective.model, sample.groups))
    picked[sample.labels >= 0] = logits.argmax(-1).cpu().numpy()
    return [(lesson.type, bool((picked[span] == sample.labels[span]).all())) for lesson, span in sample.asked]
