"""Told changes against true ones: who was right, how often, how soon.

In: true times and told times of one or more streams. Out: precision, recall, F1, median delay, and the same by chance.

A change that was told is right when it was told at most `TOLERANCE_S` after a true boundary (and never before one, but for
`EARLY_S` of rounding); each boundary takes the first that is still free, so that one telling is right once. A boundary alert
promises less than a second, so a second is the tolerance. By chance: the same tellings moved round the stream's own length, by several
shifts; a detector that knows nothing scores the same moved as unmoved.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

TOLERANCE_S = 1.0
EARLY_S = 0.05
SHIFTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Parts of the stream's length by which tellings are moved to see what chance would give."""


@dataclass(slots=True)
class Tally:
    """Counts over streams; all ratios are of the sums."""

    num_true: int = 0
    num_told: int = 0
    delays_s: list[float] = field(default_factory=list)
    chance_hits: list[int] = field(default_factory=lambda: [0] * len(SHIFTS))

    def add(self, true_s: Sequence[float], told_s: Sequence[float], *, start_s: float, end_s: float) -> None:
        """Take in one stream, between `start_s` and `end_s` of it."""
        true_s = [t_s for t_s in true_s if start_s <= t_s < end_s]
        told_s = [t_s for t_s in told_s if start_s <= t_s < end_s]
        self.num_true += len(true_s)
        self.num_told += len(told_s)
        self.delays_s += delays_s(true_s, told_s)
        span_s = end_s - start_s
        for index, shift in enumerate(SHIFTS):
            moved_s = sorted(start_s + (t_s - start_s + shift * span_s) % span_s for t_s in told_s)
            self.chance_hits[index] += len(delays_s(true_s, moved_s))

    @property
    def precision(self) -> float:
        return len(self.delays_s) / self.num_told if self.num_told else 0.0

    @property
    def recall(self) -> float:
        return len(self.delays_s) / self.num_true if self.num_true else 0.0

    @property
    def f1(self) -> float:
        return self._f1(len(self.delays_s))

    @property
    def chance_f1(self) -> float:
        return statistics.fmean(self._f1(hits) for hits in self.chance_hits)

    @property
    def median_delay_s(self) -> float | None:
        """Of the changes that were right; None without any."""
        return round(statistics.median(self.delays_s), 3) if self.delays_s else None

    def _f1(self, hits: int) -> float:
        """Harmonic mean of precision and recall: hits over the mean of true and told."""
        return 2 * hits / (self.num_true + self.num_told) if hits else 0.0


def delays_s(true_s: Sequence[float], told_s: Sequence[float]) -> list[float]:
    """Delay of every true time that was told, one to one; both in rising order."""
    delays: list[float] = []
    next_told = 0
    for t_s in true_s:
        while next_told < len(told_s) and told_s[next_told] < t_s - EARLY_S:
            next_told += 1
        if next_told < len(told_s) and told_s[next_told] <= t_s + TOLERANCE_S:
            delays.append(max(0.0, told_s[next_told] - t_s))
            next_told += 1
    return delays
