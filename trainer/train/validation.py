"""Validation on held-out clips, shared out over the processes of a run.

In: a model, clips, a stage. Out: F1 of every word over blocks, the share of questions whose every answer token is the model's first choice, per
type, and of runs at whose end a head reads what is true. What is asked of a clip depends on its place among the held-out ones alone.

Shape letters: V vision tokens, W words.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from ov2.encode import vision_tokens
from ov2.text import TextTokenizer
from trainer.config import Stage
from trainer.data.batches import Batch
from trainer.data.clip_source import AnySource, world_of
from trainer.data.clips import Clip
from trainer.data.filmed_clips import FilmedClips
from trainer.train.forward import hidden_states, labelled_logits, run_end_states
from trainer.train.naming import f1_of_words, named_blocks, naming_scores
from trainer.train.objective import Objective
from trainer.train.sample import Sample, draw_groups

QUESTIONS_PER_CLIP = 24
GROUPS_PER_CLIP = 4
"""Questions asked about each held-out clip, about; groups whose blocks are named."""


@dataclass(frozen=True, slots=True)
class _Marks:
    """One clip: scores and truth of its blocks [V, W] where the encoder learns, whether each answer was right, by type, and how many of what
    heads read were right, of how many."""

    scores_VW: np.ndarray | None = None
    names_VW: np.ndarray | None = None
    right: list[tuple[str, bool]] = field(default_factory=list)
    read: list[dict[str, tuple[int, int]]] = field(default_factory=list)


@torch.no_grad()
def validate(
    accelerator: Accelerator, objective: Objective, source: AnySource, text: TextTokenizer, stage: Stage
) -> dict[str, float]:
    """Marks of all held-out clips, the same in every process."""
    own = range(accelerator.process_index, source.num_held_out, accelerator.num_processes)
    marks: list[_Marks] = gather_object([_mark_clip(objective, source, text, stage, index) for index in own])
    right: dict[str, list[bool]] = defaultdict(list)
    read: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for one in marks:
        for kind, is_right in one.right:
            right[kind].append(is_right)
        for name, counts in (item for counted in one.read for item in counted.items()):
            read[name].append(counts)
    shares = {name: np.sum(counts, 0) for name, counts in sorted(read.items())}
    return (
        {f"exact/{name}": float(np.mean(values)) for name, values in sorted(right.items())}
        | {f"read/{name}": float(hits / max(1, whole)) for name, (hits, whole) in shares.items()}
        | {f"named/{word}": value for word, value in _f1(marks).items()}
    )


def _f1(marks: list[_Marks]) -> dict[str, float]:
    scores = [one.scores_VW for one in marks if one.scores_VW is not None]
    names = [one.names_VW for one in marks if one.names_VW is not None]
    return f1_of_words(torch.from_numpy(np.concatenate(scores)), np.concatenate(names)) if scores else {}


def _mark_clip(objective: Objective, source: AnySource, text: TextTokenizer, stage: Stage, index: int) -> _Marks:
    rng = np.random.default_rng([index, 11])
    marks = _named(objective, source.held_out(index), rng) if isinstance(source, FilmedClips) else _Marks()
    rounds = max(1, QUESTIONS_PER_CLIP // (stage.moments * stage.questions)) if stage.types else 0
    for sample in filter(None, (source.held_out_sample(index, text, stage, rng) for _ in range(rounds))):
        _mark_sample(objective, sample, marks)
    return marks


def _named(objective: Objective, clip: Clip, rng: np.random.Generator) -> _Marks:
    world, groups = world_of(clip.seed, clip.duration_s), draw_groups(clip, GROUPS_PER_CLIP, rng)
    scores_VW = naming_scores(objective.model, objective.words, vision_tokens(objective.model, groups))
    return _Marks(scores_VW.float().cpu().numpy(), np.concatenate([named_blocks(world, group) for group in groups]))


def _mark_sample(objective: Objective, sample: Sample, marks: _Marks) -> None:
    picked = np.full(len(sample.labels), -1)
    hidden_TC = hidden_states(objective.model, [sample], objective.vision(Batch.of([sample])), objective.precision)
    picked[sample.labels >= 0] = labelled_logits(objective.model, [sample], hidden_TC).argmax(-1).cpu().numpy()
    marks.right.extend((lesson.type, bool((picked[span] == sample.labels[span]).all())) for lesson, span in sample.asked)
    if objective.heads is not None:
        marks.read.append(objective.heads.right(run_end_states([sample], hidden_TC), [sample.dense]))
