"""Frames of the open group that may be shown: the first of each bin, and the costliest of each slot.

In: frames in display order, with their bin and cost. Out: `OpenBin`s, each with its anchor and measured candidates.
A slot is 1 / analysis_fps seconds, counted from the start of its bin, so that a cut between bins never divides one. A frame is
measured only once its slot has passed without a costlier one, several together. Memory is bounded: few pictures at full size, older
ones at canvas size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from stream.codec.effort import SteadyEffort
from stream.codec.frame import Frame
from stream.codec.pixels import Pixels
from stream.tokenizer.evidence import BlockEvidence, Scorer
from stream.units import FrameEvidence

Measure = Callable[[Frame, Frame | None], FrameEvidence | SteadyEffort | None]


JUDGED_AT_ONCE = 4
"""Frames that wait to be measured until there are so many, or a group or a peek needs them. In turn with decoding, every one of them
would be measured from cold caches."""


class HeldFrame:
    """A frame whose pixels may be wanted later, until it is let go."""

    __slots__ = ("_pixels", "frame_id", "media_s")

    def __init__(self, frame: Frame) -> None:
        self.frame_id = frame.frame_id
        self.media_s = frame.media_s
        self._pixels: Pixels | None = frame.hold()

    @property
    def is_full_size(self) -> bool:
        return self._pixels is not None and self._pixels.is_full_size

    def shrink(self, canvas_wh: tuple[int, int]) -> None:
        """Let the decoded picture go, but for the canvas."""
        if self._pixels is not None:
            self._pixels.shrink(canvas_wh)

    def let_go(self) -> None:
        """It is not painted any more."""
        self._pixels = None

    def paint(self, canvas_wh: tuple[int, int], rows_cols: np.ndarray, canvases: np.ndarray, first_tile: int) -> None:
        """Put blocks (row, col) [n, 2] of the frame at canvas size on `canvases`, as tiles `first_tile` and following."""
        assert self._pixels is not None, "expected a frame that was not let go"
        self._pixels.paint(canvas_wh, rows_cols, canvases, first_tile)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A measured frame."""

    held: HeldFrame
    evidence: BlockEvidence


@dataclass(slots=True)
class OpenBin:
    """A bin with at least one frame. `anchor`: its first, None once it cannot start a group any more. `key`: its first keyframe, where
    keyframes are wanted."""

    index: int
    anchor: HeldFrame | None
    key: HeldFrame | None = None
    num_frames: int = 0
    last_s: float = 0.0
    last_wall_s: float = 0.0
    candidates: list[Candidate] = field(default_factory=list)

    def held(self) -> Iterator[HeldFrame]:
        """Frames kept, the oldest first."""
        if self.anchor is not None:
            yield self.anchor
        if self.key is not None and self.key is not self.anchor:
            yield self.key
        yield from (candidate.held for candidate in self.candidates)


@dataclass(frozen=True, slots=True)
class _Best:
    """The costliest frame of the slot that is still open, and what came before it."""

    slot: tuple[int, int]
    cost: float
    frame: Frame
    previous: Frame | None


class OpenFrames:
    """Bins of the open group and those after it. `scorer` must be for the frames' size."""

    def __init__(
        self,
        scorer: Scorer,
        measure: Measure,
        *,
        bin_s: float,
        analysis_fps: float,
        held_frames: int,
        with_keys: bool = False,
    ) -> None:
        self._with_keys = with_keys
        self.bins: deque[OpenBin] = deque()
        self._scorer = scorer
        self._measure = measure
        self._bin_s = bin_s
        self._analysis_fps = analysis_fps
        self._held_frames = held_frames
        self._at_most_held = 0
        self._best: _Best | None = None
        self._passed: list[_Best] = []
        self._previous: Frame | None = None

    def add(self, frame: Frame, bin_: int, cost: float) -> bool:
        """Take the next frame in display order; True when it is the first of its bin."""
        media_s = frame.media_s
        slot = (bin_, int((media_s - bin_ * self._bin_s) * self._analysis_fps))
        if self._best is None or slot != self._best.slot:
            self._decide()
            self._best = _Best(slot, cost, frame, self._previous)
            if len(self._passed) >= JUDGED_AT_ONCE:
                self._judge_passed()
        elif cost > self._best.cost:
            self._best = _Best(slot, cost, frame, self._previous)
        opens_bin = not self.bins or self.bins[-1].index != bin_
        if opens_bin:
            self.bins.append(OpenBin(bin_, self._hold(frame)))
        newest = self.bins[-1]
        newest.num_frames += 1
        if self._with_keys and frame.is_key and newest.key is None:
            newest.key = self._held_in(newest, frame)
        newest.last_s, newest.last_wall_s = media_s, frame.wall_s
        self._previous = frame
        return opens_bin

    def take(self, end: int) -> list[OpenBin]:
        """Remove and return the bins up to `end`, inclusive."""
        taken = []
        if self._best is not None and self._best.slot[0] <= end:
            self._decide()
        self._judge_passed()
        while self.bins and self.bins[0].index <= end:
            taken.append(self.bins.popleft())
        return taken

    def with_open_slot(self) -> list[OpenBin]:
        """All bins, with the open slot judged as it is; changes nothing."""
        self._judge_passed()
        bins = list(self.bins)
        if self._best is not None:
            best = self._best
            evidence = self._scorer.judge(self._measure(best.frame, best.previous))
            if evidence is not None:
                shown = [*bins[-1].candidates, Candidate(HeldFrame(self._best.frame), evidence)]
                bins[-1] = replace(bins[-1], candidates=shown)
        return bins

    def drop_anchors(self, earliest_next: int) -> None:
        """Forget the first frames of bins that start neither the open group nor, from `earliest_next` on, another; and their keyframes, but
        for the first of the open group, by which it is shown if nothing happens."""
        has_key = bool(self.bins) and self.bins[0].key is not None
        for bin_ in islice(self.bins, 1, None):
            if bin_.index >= earliest_next:
                return
            bin_.anchor = None
            if has_key:
                bin_.key = None
            has_key = has_key or bin_.key is not None

    def _decide(self) -> None:
        """The slot has passed: its costliest frame stays."""
        if self._best is not None:
            self._passed.append(self._best)
            self._best = None

    def _judge_passed(self) -> None:
        """Measure the frames of slots that passed, and keep those that may be shown."""
        passed, self._passed = self._passed, []
        for best in passed:
            measured = self._measure(best.frame, best.previous)
            evidence = self._scorer.judge(measured)
            self._scorer.learn(measured)
            if evidence is not None:
                bin_ = next(open_ for open_ in reversed(self.bins) if open_.index == best.slot[0])
                bin_.candidates.append(Candidate(self._held_in(bin_, best.frame), evidence))

    def _held_in(self, bin_: OpenBin, frame: Frame) -> HeldFrame:
        """A frame of a bin, kept once: it may be the bin's anchor, or its keyframe."""
        held = (each for each in (bin_.anchor, bin_.key) if each is not None and each.frame_id == frame.frame_id)
        return next(held, None) or self._hold(frame)

    def _hold(self, frame: Frame) -> HeldFrame:
        """Keep a frame's pixels; where that makes too many at full size, the oldest goes down to canvas size."""
        if self._at_most_held >= self._held_frames:
            full_size = [held for bin_ in self.bins for held in bin_.held() if held.is_full_size]
            if len(full_size) >= self._held_frames:
                full_size.pop(0).shrink(self._scorer.canvas_wh)
            self._at_most_held = len(full_size)
        self._at_most_held += 1
        return HeldFrame(frame)
