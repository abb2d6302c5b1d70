"""What the camera's clock is worth: its own wall clock against ours, and its times against each other.

In: an `Observation`. Out: `Clock`, None for a file, whose wall time nobody tells.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stream.doctor.observe import Observation
from stream.doctor.pace import SETTLE_S, settled_arrivals
from stream.sources.sample import Sample

_LEAST_DRIFT_S = 5.0
"""A drift is not read from less."""
SURE = 4.0
"""Standard errors behind which a drift is believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderReports:
    """What RTCP sender reports told. `offset_s`: the camera's clock ahead of ours, by the median of arrivals, so that the way and the
    encoder's delay count as the camera being behind."""

    num_pictures: int
    share: float
    offset_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """- `reports`: see there. `drift_ms_per_min`: what the camera's clock gains on ours, with its standard error; by sender reports where
      they come, else by presentation times; None where too little was seen.
    - `jumps`: steps of presentation time that media time does not follow, and gaps. `duplicates`: pictures with another one's time.
      `untimed`: pictures without a time, the first left out, whose time FFmpeg itself drops. `steps_back`: of the presentation time,
      beyond any reordering."""

    reports: SenderReports
    drift_ms_per_min: float | None
    drift_error_ms_per_min: float | None
    drift_by: str | None
    jumps: int
    duplicates: int
    untimed: int
    steps_back: int

    @property
    def drifts(self) -> bool:
        """Whether the drift is more than what arrivals scatter."""
        if self.drift_ms_per_min is None or self.drift_error_ms_per_min is None:
            return False
        return abs(self.drift_ms_per_min) > SURE * self.drift_error_ms_per_min


def clock_of(watch: Observation) -> Clock | None:
    if not watch.is_live:
        return None
    reports = sender_reports(watch.samples)
    pairs, by = _reported(watch), "sender reports"
    if reports.share < 0.5:
        pairs, by = settled_arrivals(watch), "presentation times"
    drift = _drift(pairs)
    return Clock(
        reports=reports,
        drift_ms_per_min=drift[0] if drift else None,
        drift_error_ms_per_min=drift[1] if drift else None,
        drift_by=by if drift else None,
        jumps=sum(p.discontinuity and not s.breaks for p, s in zip(watch.packets, watch.samples, strict=True)),
        duplicates=num_duplicates(watch.samples),
        untimed=sum(sample.pts is None for sample in watch.samples[1:]),
        steps_back=_steps_back(watch.samples),
    )


def sender_reports(samples: Sequence[Sample]) -> SenderReports:
    """The one place where sender reports are read. Counters of the wall clock (where wall time came from, re-anchors, jumps) belong here
    once a source tells them."""
    offsets = [sample.reported_s - sample.arrival_s for sample in samples if sample.reported_s is not None]
    return SenderReports(
        num_pictures=len(offsets),
        share=len(offsets) / len(samples) if samples else 0.0,
        offset_s=statistics.median(offsets) if offsets else None,
    )


def num_duplicates(samples: Sequence[Sample]) -> int:
    times = [sample.pts for sample in samples if sample.pts is not None]
    return len(times) - len(set(times))


def _steps_back(samples: Sequence[Sample]) -> int:
    """Steps back of more than a second: no reordering reaches so far."""
    times_s = [float(sample.pts * sample.time_base) for sample in samples if sample.pts is not None]
    return sum(later < earlier - 1.0 for earlier, later in pairwise(times_s))


def _reported(watch: Observation) -> list[tuple[float, float]]:
    """(arrival, the camera's own clock), the start left out."""
    first_s = watch.samples[0].arrival_s if watch.samples else 0.0
    return [
        (sample.arrival_s, sample.reported_s)
        for sample in watch.samples
        if sample.reported_s is not None and sample.arrival_s - first_s >= SETTLE_S
    ]


def _drift(pairs: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """(gain of the camera's clock, standard error), ms per minute, by least squares."""
    if len(pairs) < 8 or pairs[-1][0] - pairs[0][0] < _LEAST_DRIFT_S:
        return None
    ours_s = np.array([ours for ours, _ in pairs])
    gain_s = np.array([theirs - ours for ours, theirs in pairs])
    ours_s, gain_s = ours_s - ours_s.mean(), gain_s - gain_s.mean()
    spread = float(ours_s @ ours_s)
    slope = float(ours_s @ gain_s) / spread
    rest = gain_s - slope * ours_s
    error = float(np.sqrt(rest @ rest / (len(pairs) - 2) / spread))
    return 60_000 * slope, 60_000 * error
