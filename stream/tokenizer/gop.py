"""Bit-cost grouping of a whole recording: bins of cost, then cuts where the running cost reaches a quota.

In: presentation times, sizes and keyframe flags of packets. Out: bins [start, end] of every group, end inclusive. The live
service does the same one bin at a time (`stream.tokenizer.online`); both use the rules in `GroupRule`, and agree on every
packet sequence but for the tail, which only a whole recording has.

Source: the bit-cost grouping of LLaVA-OneVision-2, defaults as published.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.errors import SettingsError
from stream.tokenizer.costs import size_cost

TAIL_SHARE = 0.5
"""A tail shorter than this share of `t_min_s` joins its predecessor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRule:
    """Spans of a group in bins: at least `num_min`, at most `num_max`, a cut found up to `reach` bins around its trigger."""

    num_min: int
    num_max: int
    reach: int

    @classmethod
    def from_seconds(cls, *, bin_s: float, t_min_s: float, t_max_s: float) -> GroupRule:
        """Spans in bins of `bin_s`. Raises `SettingsError` unless 0 < bin_s, 0 <= t_min_s and 0 < t_max_s."""
        if not (bin_s > 0 and t_min_s >= 0 and t_max_s > 0):
            raise SettingsError(
                f"expected bin_s > 0, t_min_s >= 0 and t_max_s > 0, got bin_s {bin_s}, t_min_s {t_min_s}, t_max_s {t_max_s}"
            )
        num_min = max(1, math.ceil(t_min_s / bin_s))
        num_max = max(num_min, math.ceil(t_max_s / bin_s))
        return cls(num_min=num_min, num_max=num_max, reach=max(1, min(3, num_max // 3)))

    def triggers(self, num_bins: int, total: float, quota: float) -> bool:
        """Whether a group of `num_bins` bins and `total` cost has to be cut about here."""
        return num_bins >= self.num_max or (num_bins >= self.num_min and total >= quota)

    def cut(self, costs: Sequence[float], start: int, trigger: int, last: int) -> int:
        """The bin that ends a group which began at `start` and triggered at `trigger`: the cheapest nearby, then the nearest.

        `last` is the last bin there is; bins up to min(trigger + reach, last) are read.
        """
        low = max(start + self.num_min - 1, trigger - self.reach)
        high = min(start + self.num_max - 1, last, trigger + self.reach)
        return min(range(low, high + 1), key=lambda j: (costs[j], abs(j - trigger)))


def bin_costs(
    pts_s: Sequence[float] | np.ndarray,
    size_bytes: Sequence[int] | np.ndarray,
    is_key: Sequence[bool] | np.ndarray,
    *,
    bin_s: float = 0.5,
    smooth: int = 1,
    cost: str = "log",
) -> np.ndarray:
    """Costs of the bins of a recording, float64 [floor(max(pts_s) / bin_s) + 1], smoothed over `smooth` bins to each side.

    Bins count from media time zero. Keyframes are left out. `cost`: `log` = ln(1 + bytes), or `bytes`. Raises
    `SettingsError` for another cost or a width that is not positive.
    """
    if not bin_s > 0 or smooth < 0:
        raise SettingsError(f"expected bin_s > 0 and smooth >= 0, got bin_s {bin_s} and smooth {smooth}")
    times = np.asarray(pts_s, np.float64)
    if not len(times):
        return np.zeros(0)
    bins = np.maximum(np.floor(times / bin_s), 0).astype(np.int64)
    costs = np.where(np.asarray(is_key, bool), 0.0, size_cost(np.asarray(size_bytes, np.float64), cost))
    in_display_order = np.argsort(times, kind="stable")
    return smoothed(np.bincount(bins[in_display_order], weights=costs[in_display_order]), smooth)


def smoothed(costs: np.ndarray, reach: int) -> np.ndarray:
    """Mean over the bins b - reach ... b + reach; at the edges over those that exist."""
    return np.array([mean_around(costs, b, reach, len(costs)) for b in range(len(costs))])


def mean_around(costs: Sequence[float] | np.ndarray, middle: int, reach: int, num_bins: int) -> float:
    """Mean of `costs[middle - reach ... middle + reach]` inside [0, num_bins), summed in order: equal inputs, equal bits."""
    low, high = max(0, middle - reach), min(num_bins, middle + reach + 1)
    return sum(float(costs[b]) for b in range(low, high)) / (high - low)


def partition(
    costs: Sequence[float] | np.ndarray,
    quota: float,
    *,
    bin_s: float = 0.5,
    t_min_s: float = 1.5,
    t_max_s: float = 6.0,
    merge_tail: bool = True,
) -> list[tuple[int, int]]:
    """Groups of a recording: (first bin, last bin) of each, in order, without gaps.

    `merge_tail`: a tail shorter than half of `t_min_s` joins its predecessor. Raises `SettingsError` for impossible spans.
    """
    rule = GroupRule.from_seconds(bin_s=bin_s, t_min_s=t_min_s, t_max_s=t_max_s)
    values = [float(c) for c in costs]
    last, start, total, bin_ = len(values) - 1, 0, 0.0, 0
    groups: list[tuple[int, int]] = []
    while bin_ <= last:
        total += values[bin_]
        if rule.triggers(bin_ - start + 1, total, quota):
            bin_ = rule.cut(values, start, bin_, last)
            groups.append((start, bin_))
            start, total = bin_ + 1, 0.0
        bin_ += 1
    if start <= last:
        groups.append((start, last))
    if merge_tail and len(groups) > 1 and joins_predecessor(groups[-1], bin_s=bin_s, t_min_s=t_min_s):
        groups[-2:] = [(groups[-2][0], last)]
    return groups


def joins_predecessor(tail: tuple[int, int], *, bin_s: float, t_min_s: float) -> bool:
    """Whether a tail of bins is too short to stand alone."""
    return (tail[1] - tail[0] + 1) * bin_s < TAIL_SHARE * t_min_s
