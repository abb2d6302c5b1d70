"""Live packets become groups of canvases.

In: `Packet`s in decode order. Out: `CanvasGroup`s, as soon as each is certain. The same packets give the same groups, bit for
bit, live or from a file, whatever the pace. Costs are cut into groups (`online`), frames compete to be
shown (`candidates`, `evidence`), blocks are chosen (`select`) and placed (`pack`), and the quota follows the token rate.
"""

from __future__ import annotations

import logging
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from ov2.canvas import CanvasGroup
from stream.codec.codec import CATCH_UP_S
from stream.codec.decode import DecodedFrame, Decoder
from stream.codec.effort import SteadyEffort
from stream.codec.evidence import measure as measure_frame
from stream.codec.frame import Frame
from stream.codec.h264.parameter_sets import LARGEST_PICTURE_PX
from stream.codec.on_demand import OnDemandDecoder
from stream.codec.slice_reader import SliceData, SliceReader
from stream.tokenizer.activity_partition import ActivityPartition
from stream.tokenizer.budget import first_group_tokens, num_llm_tokens
from stream.tokenizer.candidates import Measure, OpenFrames
from stream.tokenizer.continuity import Continuity
from stream.tokenizer.costs import FrameCosts
from stream.tokenizer.credit import CreditQuota
from stream.tokenizer.efforts import NO_SAMPLE, Efforts
from stream.tokenizer.evidence import Scorer
from stream.tokenizer.grouping import OpenStream
from stream.tokenizer.online import Span
from stream.tokenizer.partitions import AnyQuota, new_partition, new_quota
from stream.tokenizer.planner import CanvasPlan, PlanLimit, plan
from stream.tokenizer.quota import QuotaController
from stream.tokenizer.settings import TokenizerSettings, blind
from stream.tokenizer.stats import TokenizerStats
from stream.units import ClosedBy, FrameEvidence, Packet

EFFORTS_MOST = 256
"""Pictures whose effort may still be asked for: those of the slots that are not judged yet."""
BLIND = PlanLimit(
    "slice data of this stream cannot be read (another codec than H.264, interlaced, or intra pictures alone), so nobody knows when nothing "
    "happens: groups are cut by bytes and the clock",
    "set the camera to H.264, progressive, with P pictures, or tokenizer.preset to published",
)
LOST_MOST = 64
"""Packets without a picture that wait for the next frame; older ones are forgotten."""


log = logging.getLogger(__name__)


class FrameSource(Protocol):
    """What is needed of a decoder (`Decoder`, `OnDemandDecoder`)."""

    @property
    def skipped(self) -> Counter[str]: ...

    def push(self, packet: Packet) -> Sequence[Frame]: ...

    def flush(self) -> Sequence[Frame]: ...

    def take_lost(self) -> list[Packet]: ...


DecodedMeasure = Callable[[DecodedFrame, DecodedFrame | None], FrameEvidence]


class Tokenizer:
    """One stream's tokenizer; belongs to the thread that pushes. A bad packet is counted by the decoder and skipped.

    Where evidence is read from packets, pictures are decoded once they are shown, or once more of them wait than decode in `catch_up_s`; 0
    decodes all as they come. That changes no group."""

    def __init__(
        self,
        settings: TokenizerSettings | None = None,
        *,
        name: str = "",
        decoder: FrameSource | None = None,
        measure: DecodedMeasure = measure_frame,
        max_picture_px: int = LARGEST_PICTURE_PX,
        catch_up_s: float = CATCH_UP_S,
    ) -> None:
        self.settings = settings or TokenizerSettings()
        self._costs = FrameCosts(blind(self.settings).cost, self.settings.scene_cut_ratio)
        self._name = name
        self._slices = SliceReader()
        self._efforts = Efforts(self._slices) if self.settings.needs_effort else None
        whole = Decoder(
            name,
            with_qp=self._costs.needs_qp,
            with_macroblocks=self.settings.weight_bits > 0,
            slices=self._slices,
            max_picture_px=max_picture_px,
        )
        self._on_demand: OnDemandDecoder | None = None
        if decoder is None and self.settings.evidence == "coded" and not self._costs.needs_qp:
            self._on_demand = OnDemandDecoder(
                whole, self._slices, name=name, catch_up_s=catch_up_s, max_picture_px=max_picture_px
            )
        self._decoder: FrameSource = decoder or self._on_demand or whole
        self._measure = measure
        self._stream: OpenStream | None = None
        self._plan: CanvasPlan | None = None
        self._shown_efforts: OrderedDict[int, SteadyEffort] = OrderedDict()
        self._quota: AnyQuota | None = None
        self._stats = TokenizerStats()
        self._lost: deque[Packet] = deque(maxlen=LOST_MOST)
        self._continuity = Continuity(self.settings.gap_s)

    @property
    def stats(self) -> TokenizerStats:
        """Counts so far."""
        self._stats.dropped = Counter(self._decoder.skipped)
        self._stats.quota = self._quota.value() if self._quota is not None else 0.0
        return self._stats

    @property
    def decoded_share(self) -> float | None:
        """Pictures decoded, of all so far; None before the first."""
        if self._on_demand is None or not self._on_demand.num_frames:
            return 1.0 if self._stats.num_frames else None
        return self._on_demand.decoded_share

    @property
    def why_decoded(self) -> str:
        """Why a stream whose pictures could wait to be decoded is decoded whole; empty where it is not."""
        return self._on_demand.why_whole if self._on_demand is not None else ""

    @property
    def plan(self) -> CanvasPlan | None:
        """Sizes in force, and what of the settings cannot be kept; None before the first frame."""
        return self._plan

    def slices(self, packet: Packet) -> SliceData:
        """Slice data of a packet that is pushed next. What is read of it here is not read again; asking changes no group."""
        return self._slices.of(packet)

    def push(self, packet: Packet) -> list[CanvasGroup]:
        """Take the next packet in decode order. Returns the groups that became certain."""
        groups: list[CanvasGroup] = []
        if packet.discontinuity:
            groups = self._drain("discontinuity")
        if self._efforts is not None:
            self._efforts.see(packet)
            if self._on_demand is not None:
                self._on_demand.is_allowed = not self._efforts.is_blind
                self._on_demand.is_quiet = self._is_quiet
        frames = self._decoder.push(packet)
        return groups + self._take(frames)

    def peek(self) -> CanvasGroup | None:
        """Canvases of the open group up to the newest frame, without closing it. None before its first frame."""
        if self._stream is None or not self._stream.frames.bins:
            return None
        return self._stream.group(self._stream.frames.with_open_slot(), None, self._stats.num_groups)

    def newest_picture(self, longest_side: int) -> np.ndarray | None:
        """The newest frame, uint8 [height, width, 3] RGB, its longer side at most `longest_side`; None before the first."""
        return self._stream.last.scaled(longest_side) if self._stream is not None else None

    def advance(self, media_s: float) -> list[CanvasGroup]:
        """The clock says that no frame before `media_s` will come any more. Returns the groups that became certain. For cameras
        that fall silent: groups then depend on when this was called, and not on the packets alone."""
        stream = self._stream
        return self._emit(stream, stream.partition.advance(media_s)) if stream is not None else []

    def widen(self, factor: float) -> None:
        """Make groups cost so many times as much as the token rate asks for, until told otherwise: the model is behind. Groups then
        depend on when this was called, and not on the packets alone. A fixed quota stays as it is."""
        if isinstance(self._quota, QuotaController | CreditQuota):
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

    def _take(self, frames: Sequence[Frame]) -> list[CanvasGroup]:
        groups: list[CanvasGroup] = []
        self._lost.extend(self._decoder.take_lost())
        for frame in frames:
            if self._stream is not None and (
                self._continuity.breaks(self._stream.last, frame) or self._stream.is_blind != self._is_blind
            ):
                groups += self._close("discontinuity")
            if self._lost:
                groups += self._take_lost(frame.media_s)
            if self._stream is None:
                self._stream = self._begin(frame)
            groups += self._add(self._stream, frame)
        return groups

    def _take_lost(self, until_s: float) -> list[CanvasGroup]:
        """Count the bytes of packets that never became a picture; without pictures around them they do not matter."""
        groups: list[CanvasGroup] = []
        for packet in sorted((p for p in self._lost if p.pts_s <= until_s), key=lambda p: p.pts_s):
            self._lost.remove(packet)
            if self._stream is not None:
                groups += self._emit(self._stream, self._record(self._stream, packet, packet.pts_s, math.nan)[1])
        return groups

    def _add(self, stream: OpenStream, frame: Frame) -> list[CanvasGroup]:
        qp = frame.mean_qp if self._costs.needs_qp else math.nan
        partition, frames = stream.partition, stream.frames
        cost, spans = self._record(stream, frame.packet, frame.media_s, qp)
        opens_bin = frames.add(frame, partition.newest, cost)
        stream.step_s, stream.last = frame.media_s - stream.last.media_s or stream.step_s, frame
        groups = self._emit(stream, spans) if spans else []
        if opens_bin:
            frames.drop_anchors(partition.earliest_next)
        self._stats.num_frames += 1
        return groups

    def _record(self, stream: OpenStream, packet: Packet, media_s: float, qp: float) -> tuple[float, list[Span]]:
        """The cost of a picture, and the groups that it made certain."""
        effort = self._efforts.of(packet) if self._efforts is not None else NO_SAMPLE
        if effort.effort is not None and stream.settings.evidence == "coded":
            self._shown_efforts[packet.pts] = effort.effort
            if len(self._shown_efforts) > EFFORTS_MOST:
                self._shown_efforts.popitem(last=False)
        if stream.settings.cost == "excess":
            cost = self._efforts.cost(effort) if self._efforts is not None else 0.0
        else:
            cost = self._costs.of(packet.size_bytes, is_key=packet.is_key, mean_qp=qp)
        if isinstance(stream.partition, ActivityPartition):
            return cost, stream.partition.push(media_s, cost, peak=effort.peak, is_key=packet.is_key)
        return cost, stream.partition.push(media_s, cost)

    @property
    def _is_quiet(self) -> bool:
        """Whether of what is open a keyframe is shown, and of what follows it the picture with which something begins, if it does."""
        partition = self._stream.partition if self._stream is not None else None
        return isinstance(partition, ActivityPartition) and not partition.is_active

    @property
    def _is_blind(self) -> bool:
        """Whether slice data was asked for and cannot be read, and frames come decoded."""
        is_decoded = self._on_demand is None or not self._on_demand.is_on_demand
        return self._efforts is not None and self._efforts.is_blind and is_decoded

    def _begin(self, frame: Frame) -> OpenStream:
        is_blind = self._is_blind
        known, self._plan = self._plan, plan(blind(self.settings) if is_blind else self.settings, (frame.width, frame.height))
        if is_blind:
            self._plan = replace(self._plan, limits=(BLIND, *self._plan.limits))
        for told in self._plan.limits:
            if known is None or told not in known.limits:
                log.warning("%s: tokenizer: %s", self._name or "stream", told)
        s = self._plan.settings
        if known is not None and (known.settings.t_still_s, known.settings.cost) != (s.t_still_s, s.cost):
            self._quota = None
        scorer = Scorer(s, (frame.width, frame.height))
        if self._quota is None:
            self._quota = new_quota(s, first_group_tokens(scorer.blocks_per_canvas, s))
        if self._on_demand is not None:
            self._on_demand.keep(s.held_frames, scorer.canvas_wh)
        measure: Measure = self._coded if s.evidence == "coded" else self._decoded
        return OpenStream(
            settings=s,
            scorer=scorer,
            partition=new_partition(s, self._quota),
            frames=OpenFrames(
                scorer,
                measure,
                bin_s=s.bin_s,
                analysis_fps=s.analysis_fps,
                held_frames=s.held_frames,
                with_keys=s.anchor == "key",
            ),
            first_s=frame.media_s,
            last=frame,
            is_blind=is_blind,
        )

    def _close(self, closed_by: ClosedBy) -> list[CanvasGroup]:
        """Close everything that is open; nothing of it reaches what follows."""
        stream, self._stream = self._stream, None
        return self._emit(stream, stream.partition.finish(closed_by)) if stream is not None else []

    def _emit(self, stream: OpenStream, spans: Sequence[Span]) -> list[CanvasGroup]:
        groups = []
        for span in spans:
            bins = stream.frames.take(span.end)
            if bins:
                groups.append(self._count(stream.group(bins, span, self._stats.num_groups), span))
        return groups

    def _count(self, group: CanvasGroup, span: Span) -> CanvasGroup:
        """Learn what a closed group took."""
        num_tokens, span_s = num_llm_tokens(group), group.end_s - group.start_s
        if isinstance(self._quota, QuotaController):
            self._quota.see_group(num_tokens, span_s, shortest=span.earliest, longest=span.closed_by == "max_span")
        elif isinstance(self._quota, CreditQuota):
            self._quota.see_group(num_tokens, span_s, is_active=span.is_active, overshoot=span.overshoot)
        self._stats.num_groups += 1
        self._stats.num_tokens += num_tokens
        self._stats.media_s += span_s
        self._stats.closed_by[span.closed_by] += 1
        return group

    def _coded(self, frame: Frame, previous: Frame | None) -> SteadyEffort | None:
        return self._shown_efforts.get(frame.packet.pts)

    def _decoded(self, frame: Frame, previous: Frame | None) -> FrameEvidence:
        assert isinstance(frame, DecodedFrame), "expected a decoded frame"
        return self._measure(frame, previous if isinstance(previous, DecodedFrame) else None)
