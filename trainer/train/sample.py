"""A training sample: one window of a clip, packed as the tree that a live session makes of it.

In: a `Clip`, a stage, a random generator. Out: a `Sample`: token ids, positions, labels, and the tree of segments.

The trunk is [system][group][group]...; every moment is a branch off the trunk at the groups that were closed by then, and holds
its peek; every question is a branch off its moment. A token sees what it would see in the service: no more, no less. All
questions of a window share one encoding of its pictures.

Shape letters: T tokens of the sample, S segments, V vision tokens, W words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ov2 import prompt
from ov2.canvas import CanvasGroup
from ov2.text import TextTokenizer
from trainer.config import Stage
from trainer.data.clips import AnyClip, AnyMoment, Clip
from trainer.data.shown_group import ShownGroup
from trainer.train.dense_targets import DenseTargets, RunEnd, dense_targets
from trainer.train.naming import WORDS, named_blocks
from trainer.train.narration import Lesson, tell
from trainer.world import Question, World
from trainer.world.drafts import drafts_at
from trainer.world.questions import one_of

IGNORE = -100
"""Label of a token that carries no loss (PyTorch's `ignore_index`)."""
MAX_CLOCK_START_S = 40
MAX_DROPPED_TOKENS = 2500
"""Positions that groups which left the window may have used up between the system text and the oldest group that is left."""
TOLD_TYPES = ("describe", "log")
"""Types that are told from the truth to teach perception and time; they are not among the world's checkable questions."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One moment: rows [start, end) of the sample, its peek and its questions, and the trunk rows [0, seen) before it."""

    start: int
    end: int
    seen: int


@dataclass(frozen=True, slots=True)
class Tree:
    """How the rows of a sample lie: the trunk's [0, trunk_end), then one branch after another."""

    trunk_end: int
    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One packed window.

    - `groups`: what the encoder is given, in the order of their image tokens.
    - `input_ids`, `positions`, `labels`, `segments`: int64 [T]; `labels[i]` is the token that i must predict, or -100.
    - `parents`: int64 [S]: the segment that a segment continues (-1 for the first).
    - `tree`: the same by rows, trunk and branches apart.
    - `asked`: (lesson, slice of its label positions).
    - `names`: float32 [V, W], what every block shows (trainer.train.naming), in the order of the image tokens; V is 0 where vision tokens
      are known already.
    - `dense`: what is true at the end of every run.
    """

    groups: tuple[CanvasGroup | ShownGroup, ...]
    input_ids: np.ndarray
    positions: np.ndarray
    labels: np.ndarray
    segments: np.ndarray
    parents: np.ndarray
    tree: Tree
    asked: tuple[tuple[Lesson, slice], ...]
    names: np.ndarray
    dense: DenseTargets


class _Packer:
    """Grows the arrays of a sample segment by segment."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.labels: list[int] = []
        self.segments: list[int] = []
        self.parents: list[int] = []
        self.ends: list[int] = []
        self.row_ends: list[int] = []
        """Of every segment, the position after it (which its children begin at), and the row after it."""
        self.run_ends: list[RunEnd] = []

    def add(self, ids: Sequence[int], parent: int, num_answer: int = 0) -> int:
        """Append a segment after `parent`; its last `num_answer` tokens are the answer, and carry the loss."""
        start = self.ends[parent] if parent >= 0 else 0
        segment = len(self.parents)
        self.ids.extend(ids)
        self.positions.extend(range(start, start + len(ids)))
        self.segments.extend([segment] * len(ids))
        labels = [IGNORE] * len(ids)
        if num_answer:
            labels[-num_answer - 1 : -1] = ids[-num_answer:]
        self.labels.extend(labels)
        self.parents.append(parent)
        self.ends.append(start + len(ids))
        self.row_ends.append(len(self.ids))
        return segment

    def add_group(
        self, text: TextTokenizer, group: CanvasGroup | ShownGroup, parent: int, *, zero_s: float, before_s: float
    ) -> int:
        """Append a group's runs. `before_s`: the time of the run before them on their path."""
        first = len(self.ids)
        segment = self.add(prompt.run_tokens(text, group.runs, zero_s=zero_s), parent)
        rows = [row for row in range(first, len(self.ids)) if self.ids[row] == text.vision_end]
        for row, (at_s, _) in zip(rows, group.runs, strict=True):
            self.run_ends.append(RunEnd(row, at_s, before_s))
            before_s = max(before_s, at_s)
        return segment


def draw_lessons(
    world: World, at_s: float, since_s: float, zero_s: float, stage: Stage, rng: np.random.Generator
) -> list[Lesson]:
    """Lessons for one moment, types drawn by the stage's weights; fewer where the moment has not as many."""
    names = list(stage.types)
    weights = np.array([stage.types[name] for name in names], dtype=np.float64)
    drawn = rng.choice(len(names), size=stage.questions, p=weights / weights.sum())
    drafts: dict[str, list[Question]] = defaultdict(list)
    asked = [name for name in names if name not in TOLD_TYPES]
    for draft in drafts_at(world, at_s, since_s=since_s, zero_s=zero_s, rng=rng, types=asked):
        drafts[draft.type].append(draft)
    lessons: dict[str, Lesson] = {}
    for name in (names[i] for i in drawn):
        if name in TOLD_TYPES:
            lesson = tell(name, world, at_s, since_s=since_s, zero_s=zero_s, rng=rng)
        elif drafts[name]:
            question = one_of(drafts[name], rng)
            drafts[name].remove(question)
            lesson = Lesson(question.type, question.text, question.answer)
        else:
            continue
        lessons[lesson.text] = lesson
    return list(lessons.values())


def pack(
    clip: AnyClip,
    world: World,
    text: TextTokenizer,
    asked: Sequence[tuple[AnyMoment, Sequence[Lesson]]],
    *,
    first_group: int = 0,
    zero_s: float = 0.0,
    num_dropped: int = 0,
) -> Sample:
    """Pack groups from `first_group` on, and the lessons of each moment, into one sample. `num_dropped` positions are left out after
    the system text, as in a session whose oldest groups have left the window."""
    packer = _Packer()
    last_closed = max(moment.num_closed for moment, _ in asked)
    trunk = [packer.add(prompt.system_tokens(text), -1)]
    packer.ends[0] += num_dropped
    groups: list[CanvasGroup | ShownGroup] = [*clip.groups[first_group:last_closed]]
    open_ones: list[CanvasGroup | ShownGroup] = [moment.peek for moment, _ in asked if moment.peek is not None]
    since_s = (groups or open_ones)[0].start_s
    newest_s = [since_s]
    for group in groups:
        trunk.append(packer.add_group(text, group, trunk[-1], zero_s=zero_s, before_s=newest_s[-1]))
        newest_s.append(max(newest_s[-1], group.runs[-1][0]))
    trunk_end = len(packer.ids)
    branches: list[Branch] = []
    spans: list[tuple[Lesson, slice]] = []
    for moment, lessons in asked:
        num_seen = moment.num_closed - first_group
        parent = trunk[num_seen]
        start, seen = len(packer.ids), packer.row_ends[parent]
        if moment.peek is not None:
            parent = packer.add_group(text, moment.peek, parent, zero_s=zero_s, before_s=newest_s[num_seen])
            groups.append(moment.peek)
        for lesson in lessons:
            answer = prompt.answer_tokens(text, lesson.answer)
            ids = [*prompt.question_tokens(text, lesson.text), *answer]
            packer.add(ids, parent, len(answer))
            spans.append((lesson, slice(len(packer.ids) - len(answer) - 1, len(packer.ids) - 1)))
        branches.append(Branch(start, len(packer.ids), seen))
    return Sample(
        groups=tuple(groups),
        input_ids=np.array(packer.ids),
        positions=np.array(packer.positions),
        labels=np.array(packer.labels),
        segments=np.array(packer.segments),
        parents=np.array(packer.parents),
        tree=Tree(trunk_end, tuple(branches)),
        asked=tuple(spans),
        names=_names(world, groups),
        dense=dense_targets(world, packer.run_ends, since_s=since_s, zero_s=zero_s),
    )


def _names(world: World, groups: Sequence[CanvasGroup | ShownGroup]) -> np.ndarray:
    """What every block shows, where there is an encoder to learn it."""
    named = [named_blocks(world, group) for group in groups if isinstance(group, CanvasGroup)]
    return np.concatenate(named) if named else np.zeros((0, len(WORDS)), np.float32)


def draw_sample(clip: AnyClip, world: World, text: TextTokenizer, stage: Stage, rng: np.random.Generator) -> Sample | None:
    """Draw a window, its moments and their lessons; None when the window holds nothing to ask.

    A stage with `window_s` 0 shows one open group alone. Half of the samples keep the clip's clock; in the others the session clock
    started anywhere up to `MAX_CLOCK_START_S` before the window, as in a session that has been running, or was renewed.
    """
    first, since_s, usable = _draw_window(clip, stage.window_s, rng)
    if not usable:
        return None
    chosen = sorted(rng.choice(len(usable), size=min(stage.moments, len(usable)), replace=False))
    zero_s = 0 if rng.random() < 0.5 else int(since_s) - int(rng.integers(0, MAX_CLOCK_START_S))
    asked = []
    for moment in (usable[i] for i in chosen):
        lessons = draw_lessons(world, moment.at_s, since_s, zero_s, stage, rng)
        if lessons:
            asked.append((moment, lessons))
    num_dropped = int(rng.integers(0, MAX_DROPPED_TOKENS)) if rng.random() < 0.3 else 0
    return pack(clip, world, text, asked, first_group=first, zero_s=zero_s, num_dropped=num_dropped) if asked else None


def _draw_window(clip: AnyClip, window_s: float, rng: np.random.Generator) -> tuple[int, float, list[AnyMoment]]:
    """First group of a window, its start in media seconds, and the moments in it that see something."""
    if not window_s:
        open_ones = [moment for moment in clip.moments if moment.peek is not None]
        if not open_ones:
            return 0, 0.0, []
        moment = open_ones[int(rng.integers(len(open_ones)))]
        assert moment.peek is not None
        return moment.num_closed, moment.peek.start_s, [moment]
    begin_s, end_s = clip.groups[0].start_s, clip.groups[-1].end_s
    from_s = float(rng.uniform(begin_s, max(begin_s + 1e-9, end_s - window_s)))
    groups: Sequence[CanvasGroup | ShownGroup] = clip.groups
    first = next(i for i, group in enumerate(groups) if group.end_s > from_s)
    since_s = groups[first].start_s
    inside = [m for m in clip.moments if since_s < m.at_s <= since_s + window_s + 0.5 and m.num_closed >= first]
    return first, since_s, [m for m in inside if m.peek is not None or m.num_closed > first]


def draw_groups(clip: Clip, num: int, rng: np.random.Generator) -> list[CanvasGroup]:
    """Groups of a clip, closed and open ones alike."""
    groups = clip.every_group()
    return [groups[int(i)] for i in rng.choice(len(groups), size=min(num, len(groups)), replace=False)]
