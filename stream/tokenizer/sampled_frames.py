"""Whole frames at a steady rate, in groups of a few: the input that codec tokens are compared with, and that models are trained on beside them.

In: `Packet`s in decode order. Out: `CanvasGroup`s whose canvases are each one frame, whole. A frame is taken every so many seconds that the
tokens of one come to `token_rate`; when within its step, `sample_phase` says. No packet's bits count. Groups hold `canvases_per_group` frames,
four as the published system samples them; a still is a group of one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ov2.canvas import BLOCK_PX, CanvasGroup
from ov2.prompt import num_run_tokens
from stream.codec.codec import CATCH_UP_S
from stream.codec.decode import Decoder
from stream.codec.frame import Frame
from stream.codec.h264.parameter_sets import LARGEST_PICTURE_PX
from stream.codec.on_demand import OnDemandDecoder
from stream.codec.slice_reader import SliceData, SliceReader
from stream.tokenizer.budget import num_llm_tokens
from stream.tokenizer.candidates import HeldFrame
from stream.tokenizer.continuity import Continuity
from stream.tokenizer.pack import canvas_size, pack
from stream.tokenizer.planner import CanvasPlan
from stream.tokenizer.settings import TokenizerSettings
from stream.tokenizer.stats import TokenizerStats
from stream.units import ClosedBy, Packet

SLOTS = 4
"""Frames of a group, where the settings leave them open: as published."""
FRAME_PIXELS = 150_000
"""Of a frame, where the settings leave it open: 392 x 392 at most, as published."""
LATEST_S = 99.0
"""A session's clock begins anew before it has three digits; a frame's tokens are counted with at most two."""


@dataclass(slots=True)
class _Open:
    """What is open between two discontinuities: `begin_s`, of the open group; `next_s`, when the next frame is taken."""

    canvas_wh: tuple[int, int]
    step_s: float
    begin_s: float
    next_s: float
    last: Frame
    widened: float = 1.0
    frames: list[HeldFrame] = field(default_factory=list)


class SampledFrames:
    """One stream's frames; belongs to the thread that pushes. What it offers is what `Tokenizer` offers."""

    def __init__(
        self,
        settings: TokenizerSettings,
        *,
        name: str = "",
        max_picture_px: int = LARGEST_PICTURE_PX,
        catch_up_s: float = CATCH_UP_S,
    ) -> None:
        self.settings = settings
        self._slices = SliceReader()
        whole = Decoder(name, with_qp=False, slices=self._slices, max_picture_px=max_picture_px)
        self._decoder = OnDemandDecoder(whole, self._slices, name=name, catch_up_s=catch_up_s, max_picture_px=max_picture_px)
        self._continuity = Continuity(settings.gap_s)
        self._stats = TokenizerStats()
        self._open: _Open | None = None

    @property
    def stats(self) -> TokenizerStats:
        self._stats.dropped = Counter(self._decoder.skipped)
        return self._stats

    @property
    def decoded_share(self) -> float | None:
        return self._decoder.decoded_share

    @property
    def why_decoded(self) -> str:
        return self._decoder.why_whole

    @property
    def plan(self) -> CanvasPlan | None:
        """Nothing is planned: sizes are those of the settings, and the rate follows."""
        return None

    def slices(self, packet: Packet) -> SliceData:
        """Slice data of a packet that is pushed next."""
        return self._slices.of(packet)

    def push(self, packet: Packet) -> list[CanvasGroup]:
        """Take the next packet in decode order. Returns the groups that it filled."""
        groups = self._drain("discontinuity") if packet.discontinuity else []
        return groups + self._take(self._decoder.push(packet))

    def peek(self) -> CanvasGroup | None:
        """The frames of the open group, and the newest frame where that is none of them. None before the first."""
        if self._open is None:
            return None
        newest = HeldFrame(self._open.last)
        frames = [*self._open.frames[: self._slots - 1], newest] if self._open.frames else [newest]
        if self._open.frames and self._open.frames[-1].frame_id == newest.frame_id:
            frames = self._open.frames
        return self._group(self._open, frames, None)

    def newest_picture(self, longest_side: int) -> np.ndarray | None:
        """The newest frame, uint8 [height, width, 3] RGB, its longer side at most `longest_side`; None before the first."""
        return self._open.last.scaled(longest_side) if self._open is not None else None

    def advance(self, media_s: float) -> list[CanvasGroup]:
        """Nothing becomes certain by the clock."""
        return []

    def widen(self, factor: float) -> None:
        """Take frames more seldom while the model is behind; from the next frame on."""
        if self._open is not None:
            self._open.widened = factor

    def force(self) -> list[CanvasGroup]:
        """Close the open group now, as `forced`."""
        return self._close("forced")

    def flush(self) -> list[CanvasGroup]:
        """The stream has ended: close what is open, as `end`."""
        return self._drain("end")

    @property
    def _slots(self) -> int:
        return self.settings.canvases_per_group or SLOTS

    def _step_s(self, canvas_wh: tuple[int, int], media_s: float, widened: float = 1.0) -> float:
        """Seconds that a frame of `media_s` pays for."""
        blocks = canvas_wh[0] * canvas_wh[1] // BLOCK_PX**2
        return widened * (blocks + num_run_tokens(min(media_s, LATEST_S))) / self.settings.token_rate

    def _drain(self, closed_by: ClosedBy) -> list[CanvasGroup]:
        groups = self._take(self._decoder.flush())
        groups += self._close(closed_by)
        self._open = None
        return groups

    def _take(self, frames: Sequence[Frame]) -> list[CanvasGroup]:
        groups: list[CanvasGroup] = []
        for frame in frames:
            if self._open is not None and self._continuity.breaks(self._open.last, frame):
                groups += self._close("discontinuity")
                self._open = None
            if self._open is None:
                self._open = self._begin(frame)
            groups += self._add(self._open, frame)
        return groups

    def _begin(self, frame: Frame) -> _Open:
        canvas_wh = canvas_size(frame.width, frame.height, self.settings.max_pixels or FRAME_PIXELS)
        self._decoder.keep(self.settings.held_frames, canvas_wh)
        begin_s = frame.media_s
        step_s = self._step_s(canvas_wh, begin_s)
        return _Open(canvas_wh, step_s, begin_s, begin_s + self.settings.sample_phase * step_s, frame)

    def _add(self, stream: _Open, frame: Frame) -> list[CanvasGroup]:
        stream.last = frame
        self._stats.num_frames += 1
        if frame.media_s < stream.next_s:
            return []
        for held in stream.frames:  # the newest stays whole: a snapshot may want it
            held.shrink(stream.canvas_wh)
        stream.frames.append(HeldFrame(frame))
        phase_s = self.settings.sample_phase * stream.step_s
        stream.step_s = self._step_s(stream.canvas_wh, frame.media_s, stream.widened)
        stream.next_s += self.settings.sample_phase * stream.step_s - phase_s
        # a camera that is slower than the rate gives every frame it has
        stream.next_s += stream.step_s * max(1, math.ceil((frame.media_s - stream.next_s) / stream.step_s + 1e-9))
        return self._close("quota") if len(stream.frames) == self._slots else []

    def _close(self, closed_by: ClosedBy) -> list[CanvasGroup]:
        stream = self._open
        if stream is None or not stream.frames:
            return []
        group = self._group(stream, stream.frames, closed_by)
        stream.frames, stream.begin_s = [], group.end_s
        self._stats.num_groups += 1
        self._stats.num_tokens += num_llm_tokens(group)
        self._stats.media_s += group.end_s - group.start_s
        self._stats.closed_by[closed_by] += 1
        return [group]

    def _group(self, stream: _Open, frames: Sequence[HeldFrame], closed_by: ClosedBy | None) -> CanvasGroup:
        width, height = stream.canvas_wh
        rows_columns = np.indices((height // BLOCK_PX, width // BLOCK_PX)).reshape(2, -1).T
        later = [np.insert(rows_columns, 0, index, axis=1) for index in range(1, len(frames))]
        packed = pack(frames, np.concatenate(later) if later else np.zeros((0, 3), np.int64), stream.canvas_wh)
        # a full group covers the steps of its frames; another, what has come
        end_s = stream.next_s - self.settings.sample_phase * stream.step_s if closed_by == "quota" else stream.last.media_s
        end_s = max(end_s, frames[-1].media_s)
        return CanvasGroup(
            canvases=packed.canvases,
            positions=packed.positions,
            runs=packed.runs,
            group_id=self._stats.num_groups,
            start_s=stream.begin_s,
            end_s=end_s,
            wall_s=stream.last.wall_s + end_s - stream.last.media_s,
            closed_by=closed_by or "open",
        )
