"""Live packets become groups of canvases.

In: `Packet`s in decode order. Out: `CanvasGroup`s, as soon as each is certain. The same packets give the same groups, bit for
bit, live or from a file, whatever the pace. Packets are decoded, costs are cut into groups (`online`), frames compete to be
shown (`candidates`, `evidence`), blocks are chosen (`select`) and placed (`pack`), and the quota follows the token rate.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ov2.canvas import CanvasGroup
from stream.codec.decode import DecodedFrame, Decoder
from stream.codec.evidence import measure as measure_frame
from stream.codec.h264.parameter_sets import LARGEST_PICTURE_PX
from stream.codec.picture import Picture
from stream.codec.slice_reader import SliceData, SliceReader
from stream.tokenizer.budget import first_group_tokens, num_llm_tokens
from stream.tokenizer.candidates import Measure, OpenBin, OpenFrames
from stream.tokenizer.costs import FrameCosts
from stream.tokenizer.evidence import Scorer, num_p_canvases
from stream.tokenizer.online import FixedQuota, OnlinePartition, Span
from stream.tokenizer.pack import pack
from stream.tokenizer.quota import QuotaController
from stream.tokenizer.selection import stratified, topk
from stream.tokenizer.settings import TokenizerSettings
from stream.units import MEDIA_CLOCK_HZ, ClosedBy, Packet

GAP_INTERVALS = 4.0
"""A step in time is no gap while it stays below this many times the one before: slow cameras step far."""
LOST_MOST = 64
"""Packets without a picture that wait for the next frame; older ones are forgotten."""
_POLICIES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {"stratified": stratified, "readiness": topk}


class FrameSource(Protocol):
    """What is needed of a decoder (`stream.codec.decode.Decoder`)."""

    @property
    def skipped(self) -> Counter[str]: ...

    def push(self, packet: Packet) -> list[DecodedFrame]: ...

    def flush(self) -> list[DecodedFrame]: ...

    def take_lost(self) -> list[Packet]: ...


@dataclass(slots=True)
class TokenizerStats:
    """Counts since the stream began; `media_s` is covered by groups, `quota` the cost that closes the open group."""

    num_groups: int = 0
    num_frames: int = 0
    num_tokens: int = 0
    media_s: float = 0.0
    quota: float = 0.0
    closed_by: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def tokens_per_s(self) -> float:
        """Mean LLM tokens per second of media time."""
        return self.num_tokens / self.media_s if self.media_s else 0.0


class Tokenizer:
    """One stream's tokenizer; belongs to the thread that pushes. A bad packet is counted by the decoder and skipped."""

    def __init__(
        self,
        settings: TokenizerSettings | None = None,
        *,
        name: str = "",
        decoder: FrameSource | None = None,
        measure: Measure = measure_frame,
        max_picture_px: int = LARGEST_PICTURE_PX,
    ) -> None:
        self.settings = settings or TokenizerSettings()
        self._costs = FrameCosts(self.settings.cost, self.settings.scene_cut_ratio)
        self._slices = SliceReader()
        self._decoder: FrameSource = decoder or Decoder(
            name,
            with_qp=self._costs.needs_qp,
            with_macroblocks=self.settings.weight_bits > 0,
            slices=self._slices,
            max_picture_px=max_picture_px,
        )
        self._measure = measure
        self._stream: _Stream | None = None
        self._quota: FixedQuota | QuotaController | None = None
        self._stats = TokenizerStats()
        self._lost: deque[Packet] = deque(maxlen=LOST_MOST)
        self._step_s = 0.0

    @property
    def stats(self) -> TokenizerStats:
        """Counts so far."""
        self._stats.dropped = Counter(self._decoder.skipped)
        self._stats.quota = self._quota.value() if self._quota is not None else 0.0
        return self._stats

    def slices(self, packet: Packet) -> SliceData:
        """Slice data of a packet that is pushed next. What is read of it here is not read again; asking changes no group."""
        return self._slices.of(packet)

    def push(self, packet: Packet) -> list[CanvasGroup]:
        """Take the next packet in decode order. Returns the groups that became certain."""
        groups: list[CanvasGroup] = []
        if packet.discontinuity:
            groups = self._drain("discontinuity")
        frames = self._decoder.push(packet)
        return groups + self._take(frames)

    def peek(self) -> CanvasGroup | None:
        """Canvases of the open group up to the newest frame, without closing it. None before its first frame."""
        if self._stream is None or not self._stream.frames.bins:
            return None
        return self._group(self._stream, self._stream.frames.with_open_slot(), None)

    def newest_picture(self, longest_side: int) -> np.ndarray | None:
        """The newest frame, uint8 [height, width, 3] RGB, its longer side at most `longest_side`; None before the first."""
        if self._stream is None:
            return None
        frame = self._stream.last
        scale = min(1.0, longest_side / max(frame.width, frame.height))
        return Picture(frame.picture)(max(2, round(frame.width * scale)), max(2, round(frame.height * scale)))

    def advance(self, media_s: float) -> list[CanvasGroup]:
        """The clock says that no frame before `media_s` will come any more. Returns the groups that became certain. For cameras
        that fall silent: groups then depend on when this was called, and not on the packets alone."""
        stream = self._stream
        return self._emit(stream, stream.partition.advance(media_s)) if stream is not None else []

    def widen(self, factor: float) -> None:
        """Make groups cost so many times as much as the token rate asks for, until told otherwise: the model is behind. Groups then
        depend on when this was called, and not on the packets alone. A fixed quota stays as it is."""
        if isinstance(self._quota, QuotaController):
            self._quota.widen(factor)

    def force(self) -> list[CanvasGroup]:
        """Close the open group now, as `forced`: the next frame starts a new one."""
        return self._close("forced")

    def flush(self) -> list[CanvasGroup]:
        """The stream has ended: close what is open, as `end`. Another stream may follow."""
        return self._drain("end")

    def _drain(self, closed_by: ClosedBy) -> list[CanvasGroup]:
        """Close everything, the frames that the decoder still holds included."""
        groups = self._take(self._decoder.flush())
        self._lost.clear()
        return groups + self._close(closed_by)

    def _take(self, frames: Sequence[DecodedFrame]) -> list[CanvasGroup]:
        groups: list[CanvasGroup] = []
        self._lost.extend(self._decoder.take_lost())
        for frame in frames:
            if self._stream is not None and self._breaks(self._stream.last, frame):
                groups += self._close("discontinuity")
            if self._lost:
                groups += self._take_lost(frame.media_s)
            if self._stream is None:
                self._stream = self._begin(frame)
            groups += self._add(self._stream, frame)
        return groups

    def _breaks(self, last: DecodedFrame, frame: DecodedFrame) -> bool:
        """Whether `frame` does not continue the stream that ended with `last`: another size, a step back in time, or a gap."""
        step_s, usual_s = frame.media_s - last.media_s, self._step_s
        self._step_s = max(0.0, step_s)
        resized = (frame.width, frame.height) != (last.width, last.height)
        return resized or step_s < 0 or step_s > max(self.settings.gap_s, GAP_INTERVALS * usual_s)

    def _take_lost(self, until_s: float) -> list[CanvasGroup]:
        """Count the bytes of packets that never became a picture; without pictures around them they do not matter."""
        groups: list[CanvasGroup] = []
        for packet in sorted((p for p in self._lost if p.pts_s <= until_s), key=lambda p: p.pts_s):
            self._lost.remove(packet)
            if self._stream is not None:
                cost = self._costs.of(packet.size_bytes, is_key=packet.is_key)
                groups += self._emit(self._stream, self._stream.partition.push(packet.pts_s, cost))
        return groups

    def _add(self, stream: _Stream, frame: DecodedFrame) -> list[CanvasGroup]:
        qp = frame.mean_qp if self._costs.needs_qp else float("nan")
        cost = self._costs.of(frame.packet.size_bytes, is_key=frame.is_key, mean_qp=qp)
        partition, frames = stream.partition, stream.frames
        spans = partition.push(frame.media_s, cost)
        opens_bin = frames.add(frame, partition.newest, cost)
        stream.step_s, stream.last = frame.media_s - stream.last.media_s or stream.step_s, frame
        groups = self._emit(stream, spans) if spans else []
        if opens_bin:
            frames.drop_anchors(partition.earliest_next)
        self._stats.num_frames += 1
        return groups

    def _begin(self, frame: DecodedFrame) -> _Stream:
        s = self.settings
        scorer = Scorer(s, (frame.width, frame.height))
        if self._quota is None and s.quota is not None:
            self._quota = FixedQuota(s.quota)
        elif self._quota is None:
            first = first_group_tokens(scorer.blocks_per_canvas, s)
            self._quota = QuotaController(s.token_rate, bin_s=s.bin_s, first_tokens=first)
        return _Stream(
            scorer=scorer,
            partition=OnlinePartition(self._quota, bin_s=s.bin_s, t_min_s=s.t_min_s, t_max_s=s.t_max_s, smooth=s.smooth),
            frames=OpenFrames(scorer, self._measure, bin_s=s.bin_s, analysis_fps=s.analysis_fps, held_frames=s.held_frames),
            first_s=frame.media_s,
            last=frame,
        )

    def _close(self, closed_by: ClosedBy) -> list[CanvasGroup]:
        """Close everything that is open; nothing of it reaches what follows."""
        stream, self._stream = self._stream, None
        return self._emit(stream, stream.partition.finish(closed_by)) if stream is not None else []

    def _emit(self, stream: _Stream, spans: Sequence[Span]) -> list[CanvasGroup]:
        groups = []
        for span in spans:
            bins = stream.frames.take(span.end)
            if bins:
                groups.append(self._count(self._group(stream, bins, span), span))
        return groups

    def _count(self, group: CanvasGroup, span: Span) -> CanvasGroup:
        """Learn what a closed group took."""
        num_tokens, span_s = num_llm_tokens(group), group.end_s - group.start_s
        if isinstance(self._quota, QuotaController):
            self._quota.see_group(num_tokens, span_s, shortest=span.earliest, longest=span.closed_by == "max_span")
        self._stats.num_groups += 1
        self._stats.num_tokens += num_tokens
        self._stats.media_s += span_s
        self._stats.closed_by[span.closed_by] += 1
        return group

    def _group(self, stream: _Stream, bins: Sequence[OpenBin], span: Span | None) -> CanvasGroup:
        """Canvases of the frames of `bins`. `span` is None for a peek."""
        anchor = bins[0].anchor
        assert anchor is not None, "expected the first frame of a group to be held"
        shown = [c for bin_ in bins for c in bin_.candidates if c.held.frame_id != anchor.frame_id]
        scorer = stream.scorer
        num_canvases = num_p_canvases(
            sum(c.evidence.num_active for c in shown), len(shown), scorer.blocks_per_canvas, self.settings
        )
        scores_TRC = np.stack([np.zeros(scorer.grid, np.float32), *(c.evidence.scores for c in shown)])
        chosen = _POLICIES[self.settings.policy](scores_TRC, num_canvases)
        packed = pack([anchor, *(c.held for c in shown)], chosen, scorer.canvas_wh)
        start_s, end_s = stream.span_s(bins, span)
        return CanvasGroup(
            canvases=packed.canvases,
            positions=packed.positions,
            runs=packed.runs,
            group_id=self._stats.num_groups,
            start_s=start_s,
            end_s=end_s,
            wall_s=bins[-1].last_wall_s + end_s - bins[-1].last_s,
            closed_by="open" if span is None else span.closed_by,
            cost=stream.partition.open_cost if span is None else span.cost,
        )


@dataclass(slots=True, kw_only=True)
class _Stream:
    """Frames between two discontinuities."""

    scorer: Scorer
    partition: OnlinePartition
    frames: OpenFrames
    first_s: float
    last: DecodedFrame
    step_s: float = 0.0

    def span_s(self, bins: Sequence[OpenBin], span: Span | None) -> tuple[float, float]:
        """Media seconds that a group covers: whole bins, but for the frames' own ends at the ends of a stream."""
        bin_s = self.partition.bin_s
        start_s = max(bins[0].index * bin_s, self.first_s)
        if span is not None and span.closed_by in ("quota", "max_span"):
            return start_s, (span.end + 1) * bin_s
        return start_s, min(_on_clock(bins[-1].last_s + self.step_s), (bins[-1].index + 1) * bin_s)


def _on_clock(seconds: float) -> float:
    """The nearest tick of the media clock: a sum of times reads like a time."""
    return round(seconds * MEDIA_CLOCK_HZ) / MEDIA_CLOCK_HZ
