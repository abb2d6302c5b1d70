"""How pictures come: their rate by their own times and by ours, and how evenly.

In: an `Observation` and what the parameter sets and the session description claim. Out: `Pace`.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.doctor.observe import Observation, span_s

SETTLE_S = 1.0
"""The start is left out of arrival times: what FFmpeg read to learn the stream is handed over in one burst."""
_LEAST_SETTLED = 5
"""Pictures needed behind the start."""
_MOST_REORDER, _LONGEST_REORDER_S = 32, 1.0
"""Pictures looked back over, and what is no reordering any more but a clock that was set."""
STEADY = 0.1
"""Share of the usual step by which steps may differ in a steady stream."""


def reorder_depth(pts_s: Sequence[float]) -> int:
    """Most pictures that were sent before one and shown after it."""
    depth = 0
    for at, time_s in enumerate(pts_s):
        earlier = pts_s[max(0, at - _MOST_REORDER) : at]
        depth = max(depth, sum(1 for earlier_s in earlier if 0 < earlier_s - time_s < _LONGEST_REORDER_S))
    return depth


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Rates in pictures per second. `fps`: by presentation times; `arrival_fps`: by our clock, None for files; `claimed_fps`: by
    `claimed_by` (`parameter set`, `session description`), None where nothing is claimed. `steady_share`: share of steps that are the
    usual one. `jitter_ms`: 95 % of pictures come no further than this from their place; `longest_gap_s`: between two arrivals."""

    num_pictures: int
    seconds: float
    fps: float
    steady_share: float
    arrival_fps: float | None
    claimed_fps: float | None
    claimed_by: str | None
    jitter_ms: float | None
    longest_gap_s: float | None


def pace_of(watch: Observation, claimed_fps: float | None, described_fps: float | None) -> Pace:
    sent_s = [packet.pts_s for packet in watch.packets]
    shown_s = sorted(sent_s)[: len(sent_s) - reorder_depth(sent_s)]  # those before the last ones have not all come
    steps_s = np.diff(shown_s)
    filled_s = span_s(shown_s)
    usual_s = float(np.median(steps_s)) if len(steps_s) else 0.0
    even = np.abs(steps_s - usual_s) <= max(STEADY * usual_s, 0.002)
    claim = claimed_fps if claimed_fps is not None else described_fps
    settled = settled_arrivals(watch)
    return Pace(
        num_pictures=len(watch.packets),
        seconds=watch.span_s,
        fps=len(shown_s) / filled_s if filled_s else 0.0,
        steady_share=float(even.mean()) if len(even) else 1.0,
        arrival_fps=len(settled) / span_s([a for a, _ in settled]) if settled and span_s([a for a, _ in settled]) else None,
        claimed_fps=claim,
        claimed_by=None if claim is None else "parameter set" if claimed_fps is not None else "session description",
        jitter_ms=_jitter_ms(settled) if settled else None,
        longest_gap_s=float(np.max(np.diff([arrival for arrival, _ in settled]))) if settled else None,
    )


def settled_arrivals(watch: Observation) -> list[tuple[float, float]]:
    """(arrival, when it would be decoded by the camera's own times) of a live source's pictures, the start left out; empty where there are
    too few. RTP has no decoding times: the n-th picture sent is decoded when the n-th is shown, but for a constant."""
    if not watch.is_live or not watch.packets:
        return []
    shown_s = sorted(packet.pts_s for packet in watch.packets)
    first_s = watch.samples[0].arrival_s
    pairs = [
        (sample.arrival_s, due_s)
        for sample, due_s in zip(watch.samples, shown_s, strict=True)
        if sample.arrival_s - first_s >= SETTLE_S
    ]
    return pairs if len(pairs) >= _LEAST_SETTLED else []


def _jitter_ms(pairs: Sequence[tuple[float, float]]) -> float:
    late_s = [arrival_s - due_s for arrival_s, due_s in pairs]
    middle_s = statistics.median(late_s)
    return 1000 * float(np.percentile([abs(each - middle_s) for each in late_s], 95))
