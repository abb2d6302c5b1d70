"""Bit-cost grouping as packets arrive: one bin at a time, the same cuts as `gop.partition` over the whole recording.

In: (media seconds, cost) records in display order. Out: `Span`s of bins, in order, as soon as they are certain. A bin is final
when a record past it arrives (or `advance` says that none will come); its smoothed cost needs `smooth` final bins more; a cut
waits for the bins that it may prefer. So a group closes at most `reach + smooth + 1` bins after its trigger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

from stream.tokenizer.gop import GroupRule, joins_predecessor, mean_around
from stream.units import ClosedBy


class Quota(Protocol):
    """How much cost closes a group."""

    def value(self) -> float:
        """Cost that closes the open group now."""

    def see_bin(self, cost: float) -> None:
        """Learn the smoothed cost of the next bin; called once for every bin, before `value` is read for it."""


@dataclass(frozen=True, slots=True)
class FixedQuota:
    """The same quota for ever."""

    quota: float

    def value(self) -> float:
        return self.quota

    def see_bin(self, cost: float, *, is_active: bool = True) -> None:
        """Nothing to learn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A closed group: bins `start` to `end`, inclusive, counted from media time zero; its smoothed cost; why it closed.

    `earliest`: it triggered as early as a group may, so a smaller quota would not have made it shorter. `is_active`: something happened in it,
    as far as anybody looked. `overshoot`: cost of a group that the quota closed over that quota, 0 of others: bins are whole, and a cut
    looks for a cheap place.
    """

    start: int
    end: int
    cost: float
    closed_by: ClosedBy
    earliest: bool = False
    is_active: bool = True
    overshoot: float = 0.0


class OnlinePartition:
    """Cuts one stream. Nothing before a `finish` influences what follows it, smoothing included."""

    def __init__(
        self, quota: Quota, *, bin_s: float = 0.5, t_min_s: float = 1.5, t_max_s: float = 6.0, smooth: int = 1
    ) -> None:
        self.rule = GroupRule.from_seconds(bin_s=bin_s, t_min_s=t_min_s, t_max_s=t_max_s)
        self.bin_s = bin_s
        self._t_min_s = t_min_s
        self._smooth = smooth
        self._quota = quota
        self._reset(0)

    def _reset(self, first: int) -> None:
        self._first = first  # the bin of _raw[0] and _costs[0]
        self._raw: list[float] = []  # the last one is still open
        self._costs: list[float] = []  # smoothed and final
        self._start = self._next = first  # first bin of the open group; next bin to look at
        self._total = 0.0  # cost of _start ... _next - 1
        self._trigger: tuple[int, ClosedBy] | None = None

    @property
    def start(self) -> int:
        """First bin of the open group."""
        return self._start

    @property
    def newest(self) -> int:
        """The bin that is filling."""
        return self._first + len(self._raw) - 1

    @property
    def earliest_next(self) -> int:
        """The earliest bin that the next group may still start with."""
        trigger = self._next if self._trigger is None else self._trigger[0]
        return max(self._start + self.rule.num_min, trigger - self.rule.reach + 1)

    @property
    def open_cost(self) -> float:
        """Cost of the open group so far; the newest bins, which are not smoothed yet, count as they are."""
        low = self._start - self._first
        return sum(self._costs[low:]) + sum(self._raw[max(low, len(self._costs)) :])

    def bin_of(self, media_s: float) -> int:
        """Bin of a media time."""
        return max(0, math.floor(media_s / self.bin_s))

    def push(self, media_s: float, cost: float) -> list[Span]:
        """Add one record; a time before the newest bin counts in the newest. Returns the groups that became certain."""
        bin_ = self.bin_of(media_s)
        if not self._raw:
            self._reset(bin_)
        spans = self._open_bins(bin_)
        self._raw[-1] += cost
        return spans

    def advance(self, media_s: float) -> list[Span]:
        """No record before `media_s` will come any more: bins before it are final. Returns the groups that became certain."""
        return self._open_bins(self.bin_of(media_s)) if self._raw else []

    def finish(self, closed_by: ClosedBy, *, merge_tail: bool = True) -> list[Span]:
        """Close everything, as at the end of a recording; the last group closes by `closed_by`.

        A tail too short to stand alone joins its predecessor if that is still here to join.
        """
        if not self._raw:
            return []
        last = self.newest
        spans = self._smooth_to(last)
        spans += self._examine(last, at_end=True)
        if self._start <= last:
            spans.append(Span(start=self._start, end=last, cost=self._cost(self._start, last), closed_by=closed_by))
        if merge_tail and len(spans) > 1 and self._is_short(spans[-1]):
            head, tail = spans[-2:]
            spans[-2:] = [replace(head, end=tail.end, cost=head.cost + tail.cost)]
        spans[-1] = replace(spans[-1], closed_by=closed_by)
        self._reset(0)
        return spans

    def _is_short(self, tail: Span) -> bool:
        return joins_predecessor((tail.start, tail.end), bin_s=self.bin_s, t_min_s=self._t_min_s)

    def _open_bins(self, bin_: int) -> list[Span]:
        """Open bins up to `bin_`; all before it are final."""
        spans: list[Span] = []
        while self.newest < bin_:
            self._raw.append(0.0)
            spans += self._smooth_to(self.newest - 1 - self._smooth)
        return spans

    def _smooth_to(self, bin_: int) -> list[Span]:
        """Smooth bins up to `bin_`, and look at each."""
        spans: list[Span] = []
        while self._first + len(self._costs) <= bin_:
            self._costs.append(mean_around(self._raw, len(self._costs), self._smooth, len(self._raw)))
            self._quota.see_bin(self._costs[-1])
            spans += self._examine(self._first + len(self._costs) - 1, at_end=False)
        return spans

    def _examine(self, newest: int, *, at_end: bool) -> list[Span]:
        """Trigger and cut, with smoothed costs up to `newest`; at the end, no more will come to wait for."""
        spans: list[Span] = []
        while True:
            while self._trigger is None and self._next <= newest:
                self._look_at(self._next)
            if self._trigger is None or (newest < self._needed(self._trigger[0]) and not at_end):
                return spans
            spans.append(self._cut(newest))

    def _look_at(self, bin_: int) -> None:
        """Add a bin to the open group; trigger if it is due."""
        self._total += self._costs[bin_ - self._first]
        self._next = bin_ + 1
        quota = self._quota.value()
        if self.rule.triggers(self._next - self._start, self._total, quota):
            self._trigger = (bin_, "quota" if self._total >= quota else "max_span")

    def _needed(self, trigger: int) -> int:
        """The last bin that a cut about `trigger` has to know."""
        return min(self._start + self.rule.num_max - 1, trigger + self.rule.reach)

    def _cut(self, newest: int) -> Span:
        """Close the open group about its trigger."""
        assert self._trigger is not None, "expected a trigger"
        trigger, closed_by = self._trigger
        base = self._first
        end = base + self.rule.cut(self._costs, self._start - base, trigger - base, newest - base)
        earliest = trigger - self._start + 1 <= self.rule.num_min
        cost = self._cost(self._start, end)
        span = Span(start=self._start, end=end, cost=cost, closed_by=closed_by, earliest=earliest)
        self._start = self._next = end + 1
        self._total, self._trigger = 0.0, None
        self._forget(self._start - self._smooth)
        return span

    def _cost(self, start: int, end: int) -> float:
        return sum(self._costs[start - self._first : end + 1 - self._first])

    def _forget(self, before: int) -> None:
        """Drop bins that nothing will read again."""
        num = before - self._first
        if num > 0:
            del self._raw[:num]
            del self._costs[:num]
            self._first = before
