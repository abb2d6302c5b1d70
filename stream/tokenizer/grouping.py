"""What is open of one stream, and canvases of its bins.

In: frames between two discontinuities. Out: `CanvasGroup`s: the anchor whole, and the blocks that were chosen of frames after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ov2.canvas import CanvasGroup
from stream.codec.frame import Frame
from stream.tokenizer.activity_partition import ActivityPartition
from stream.tokenizer.candidates import HeldFrame, OpenBin, OpenFrames
from stream.tokenizer.evidence import Scorer, full_p_canvases, num_p_canvases
from stream.tokenizer.online import Span
from stream.tokenizer.pack import pack
from stream.tokenizer.partitions import AnyPartition
from stream.tokenizer.selection import few_frames, stratified, topk
from stream.tokenizer.settings import TokenizerSettings
from stream.units import MEDIA_CLOCK_HZ

_POLICIES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"stratified": stratified, "readiness": topk}


@dataclass(slots=True, kw_only=True)
class OpenStream:
    """Frames between two discontinuities."""

    settings: TokenizerSettings
    scorer: Scorer
    partition: AnyPartition
    frames: OpenFrames
    first_s: float
    last: Frame
    is_blind: bool
    step_s: float = 0.0

    def group(self, bins: Sequence[OpenBin], span: Span | None, group_id: int) -> CanvasGroup:
        """Canvases of the frames of `bins`. `span` is None for a peek."""
        is_still = isinstance(self.partition, ActivityPartition) and not (
            self.partition.is_active if span is None else span.is_active
        )
        anchor = self._anchor(bins, is_still=is_still, is_open=span is None)
        shown = [c for bin_ in bins for c in bin_.candidates if c.held.frame_id > anchor.frame_id and not is_still]
        scorer, s = self.scorer, self.settings
        if isinstance(self.partition, ActivityPartition):  # the quota is what all of them are worth
            num_canvases = full_p_canvases(len(shown), s)
        else:
            num_canvases = num_p_canvases(sum(c.evidence.num_active for c in shown), len(shown), scorer.blocks_per_canvas, s)
        scores_TRC = np.stack([np.zeros(scorer.grid, np.float32), *(c.evidence.scores for c in shown)])
        if s.source_frames:
            kept = few_frames(scores_TRC, num_canvases, s.source_frames)
            if span is None and len(kept) > 1:  # an answer sees the last moments
                kept[-1] = len(shown)
            scores_TRC, shown = scores_TRC[kept], [shown[index - 1] for index in kept[1:]]
        chosen = _POLICIES[self.settings.policy](scores_TRC, num_canvases)
        sources = [anchor, *(c.held for c in shown)]
        if span is not None:
            _let_others_go(bins, {0, *chosen[:, 0].tolist()}, sources)
        packed = pack(sources, chosen, scorer.canvas_wh, lets_go=span is not None)
        start_s, end_s = self._span_s(bins, span)
        return CanvasGroup(
            canvases=packed.canvases,
            positions=packed.positions,
            runs=packed.runs,
            group_id=group_id,
            start_s=start_s,
            end_s=end_s,
            wall_s=bins[-1].last_wall_s + end_s - bins[-1].last_s,
            closed_by="open" if span is None else span.closed_by,
            cost=self.partition.open_cost if span is None else span.cost,
            is_active=not is_still if isinstance(self.partition, ActivityPartition) else num_canvases > 0,
        )

    def _anchor(self, bins: Sequence[OpenBin], *, is_still: bool, is_open: bool) -> HeldFrame:
        """The frame of a group that is shown whole. Of a still group that is open, the newest: nothing has changed, and an answer sees the
        last seconds."""
        if is_still and is_open:
            return next(anchor for bin_ in reversed(bins) if (anchor := bin_.anchor) is not None)
        keys = [bin_.key for bin_ in (bins if is_still else bins[:1]) if bin_.key is not None]
        if keys and self.settings.anchor == "key":
            return keys[0]
        anchor = bins[0].anchor
        assert anchor is not None, "expected the first frame of a group to be held"
        return anchor

    def _span_s(self, bins: Sequence[OpenBin], span: Span | None) -> tuple[float, float]:
        """Media seconds that a group covers: whole bins, but for the frames' own ends at the ends of a stream."""
        bin_s = self.partition.bin_s
        start_s = max(bins[0].index * bin_s, self.first_s)
        if span is not None and span.closed_by in ("quota", "max_span", "onset", "still"):
            return start_s, (span.end + 1) * bin_s
        return start_s, min(_on_clock(bins[-1].last_s + self.step_s), (bins[-1].index + 1) * bin_s)


def _let_others_go(bins: Sequence[OpenBin], shown: set[int], sources: Sequence[HeldFrame]) -> None:
    """All frames of `bins` but the sources of that number: they need not be decoded for themselves."""
    ids = {sources[number].frame_id for number in shown}
    for held in (each for bin_ in bins for each in bin_.held()):
        if held.frame_id not in ids:
            held.let_go()


def _on_clock(seconds: float) -> float:
    """The nearest tick of the media clock: a sum of times reads like a time."""
    return round(seconds * MEDIA_CLOCK_HZ) / MEDIA_CLOCK_HZ
