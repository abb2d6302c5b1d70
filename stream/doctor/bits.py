"""What the stream costs and what the pictures got for it: bit rate, rate control, quantiser.

In: an `Observation`, the notes on its frames, and where keys are. Out: `Bits`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stream.doctor.control import Control, control_of
from stream.doctor.examine import FrameNote
from stream.doctor.keys import Keys
from stream.doctor.observe import Observation

PEAK_S = 1.0
TIMELINE = 90
LEAST_STEP_S = 0.2
WINDOW_S, LONGEST_WINDOW_S = 2.0, 2.5
"""Rate control is judged over windows of two seconds, longer than most rate buffers, or of whole distances of keys near that."""
STARVED_QP = 38.0
Quality = Literal["very good", "good", "fair", "poor", "starved", "unknown"]
_QUALITY: tuple[tuple[float, Quality], ...] = ((22.0, "very good"), (28.0, "good"), (33.0, "fair"), (STARVED_QP, "poor"))
"""Mean quantisers (0 to 51; six steps double it, H.264 8.5.9) up to which a picture counts as so good: x264's default quality is 23."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bits:
    """Rates of picture data (parameter sets and filler left out), kbit/s; `peak_kbps`: the costliest second. `key_share`: of bytes, in
    keyframes. `mean_qp`: over all macroblocks of all pictures, None where the codec does not tell. `timeline_kbps`: the watch in up to
    `TIMELINE` equal parts of `timeline_s` seconds."""

    mean_kbps: float
    peak_kbps: float
    key_share: float
    mean_qp: float | None
    quality: Quality
    control: Control
    timeline_s: float
    timeline_kbps: tuple[float, ...]


def bits_of(watch: Observation, frames: Sequence[FrameNote], keys: Keys, declared_cbr: bool | None) -> Bits:
    order = sorted(range(len(watch.packets)), key=lambda number: watch.packets[number].pts_s)
    times_s = np.array([watch.packets[number].pts_s for number in order])
    sizes = np.array([watch.packets[number].size_bytes for number in order], float)
    key_bytes = sum(packet.size_bytes for packet in watch.packets if packet.is_key)
    qps = [frame.qp for frame in frames if math.isfinite(frame.qp)]
    mean_qp = float(np.mean(qps)) if qps else None
    step_s = max(watch.span_s / TIMELINE, LEAST_STEP_S)
    return Bits(
        mean_kbps=_kbps(float(sizes.sum()), watch.span_s),
        peak_kbps=_peak_kbps(times_s, sizes, watch.span_s),
        key_share=key_bytes / max(1.0, float(sizes.sum())),
        mean_qp=mean_qp,
        quality=quality_of(mean_qp),
        control=control_of(*_windows(watch, frames, keys), declared_cbr),
        timeline_s=step_s,
        timeline_kbps=_timeline(times_s, sizes, step_s),
    )


def quality_of(mean_qp: float | None) -> Quality:
    if mean_qp is None:
        return "unknown"
    return next((name for most, name in _QUALITY if mean_qp < most), "starved")


def _kbps(num_bytes: float, seconds: float) -> float:
    return 8 * num_bytes / seconds / 1000 if seconds else 0.0


def _peak_kbps(times_s: np.ndarray, sizes: np.ndarray, span_s: float) -> float:
    """Most bytes within any second; a shorter stream's mean."""
    if span_s < PEAK_S:
        return _kbps(float(sizes.sum()), span_s)
    total = np.concatenate([[0.0], np.cumsum(sizes)])
    ends = np.searchsorted(times_s, times_s + PEAK_S - 1e-6)
    return _kbps(float((total[ends] - total[:-1]).max()), PEAK_S)


def _timeline(times_s: np.ndarray, sizes: np.ndarray, step_s: float) -> tuple[float, ...]:
    if not len(times_s):
        return ()
    parts = np.bincount(((times_s - times_s[0]) / step_s + 1e-9).astype(int), weights=sizes)
    return tuple(_kbps(float(each), step_s) for each in parts[:TIMELINE])


def _windows(watch: Observation, frames: Sequence[FrameNote], keys: Keys) -> tuple[list[float], list[float]]:
    """Bytes of windows, and the mean quantiser in them. Keys are left out where windows cannot hold as many each. The first window is
    left out: encoders start with guesses. So is the last, cut off."""
    length_s, has_key_each = WINDOW_S, False
    if keys.pattern == "regular" and keys.interval_s and keys.interval_s <= LONGEST_WINDOW_S:
        length_s, has_key_each = keys.interval_s * math.ceil(WINDOW_S / keys.interval_s - 1e-6), True
    num_windows = int(watch.span_s / length_s)
    sizes, steps = [0.0] * num_windows, [[] for _ in range(num_windows)]  # type: tuple[list[float], list[list[float]]]
    first_s = min((packet.pts_s for packet in watch.packets), default=0.0)
    for packet in watch.packets:
        number = int((packet.pts_s - first_s) / length_s + 1e-9)
        if number < num_windows and (has_key_each or not packet.is_key):
            sizes[number] += packet.size_bytes
    for frame in frames:
        number = int((frame.pts_s - first_s) / length_s + 1e-9)
        if number < num_windows and not frame.is_key and math.isfinite(frame.qp):
            steps[number].append(frame.qp)
    return sizes[1:], [float(np.mean(each)) if each else float("nan") for each in steps[1:]]
