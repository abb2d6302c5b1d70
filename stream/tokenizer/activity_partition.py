"""Groups by activity as packets arrive, one bin at a time.

In: records of (media seconds, cost, whether something was active, whether it is a keyframe) in display order. Out: `Span`s, as soon as
`ActivityRule` is certain of them. A bin is final when a record past it arrives (or `advance` says that none will come).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

from stream.tokenizer.activity_rule import ActivityBin, ActivityRule
from stream.tokenizer.gop import mean_around
from stream.tokenizer.online import Span
from stream.units import ClosedBy


class ActivityQuota(Protocol):
    """How much cost closes a group."""

    def value(self) -> float:
        """Cost that closes the open group now."""

    def see_bin(self, cost: float, *, is_active: bool) -> None:
        """Learn the cost of the next bin; called once for every bin, before `value` is read for it."""


STIRRING = 0.4
"""Peak of a picture in which something may begin."""


@dataclass(slots=True)
class _Raw:
    """A bin that is filling, or not smoothed yet."""

    cost: float = 0.0
    num_active: int = 0
    num_told: int = 0
    most: float = 0.0
    has_key: bool = False

    @property
    def is_active(self) -> bool:
        """Two pictures say so, or all that were read."""
        return self.num_active >= min(2, max(1, self.num_told))

    def begins(self, later: _Raw | None) -> bool:
        """Whether what is active in the next bin began in this one: its last pictures show it, faintly yet."""
        return self.most >= STIRRING and later is not None and later.is_active


class ActivityPartition:
    """Cuts one stream, in the place of `OnlinePartition`. Nothing before a `finish` influences what follows it."""

    def __init__(self, quota: ActivityQuota, rule: ActivityRule, *, bin_s: float, smooth: int) -> None:
        self.rule, self.bin_s = rule, bin_s
        self._quota, self._smooth = quota, smooth
        self._reset(0)

    def _reset(self, first: int) -> None:
        self._first = first  # the bin of _raw[0]
        self._raw: list[_Raw] = []
        self._bins: list[ActivityBin] = []  # final, from the open group's first on
        self._start = first
        self._num_still_before = self.rule.num_calm
        self._is_active: bool | None = None

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
        groups = self.rule.groups
        back = (
            max(2 * groups.reach, self.rule.num_calm) + 1
        )  # a cut may lie `reach` before a trigger that waits for `reach` more bins
        return max(self._start + 1, self._start + len(self._bins) - back)

    @property
    def is_active(self) -> bool:
        """Whether the open group is one of activity so far: such a group does not stay open over `num_calm` still bins."""
        if self._is_active is None:  # asked for at every packet, and the same until a bin changes
            newest = any(each.is_active for each in self._raw[-1 - self._smooth :])
            self._is_active = newest or any(each.is_active for each in self._bins[-self.rule.num_calm :])
        return self._is_active

    @property
    def open_cost(self) -> float:
        """Cost of the open group so far; the newest bins, which are not smoothed yet, count as they are."""
        waiting = self._raw[max(0, self._start + len(self._bins) - self._first) :]
        return sum(each.cost for each in self._bins) + sum(each.cost for each in waiting)

    def bin_of(self, media_s: float) -> int:
        """ActivityBin of a media time."""
        return max(0, math.floor(media_s / self.bin_s))

    def push(self, media_s: float, cost: float, *, peak: float | None, is_key: bool = False) -> list[Span]:
        """Add one record; a time before the newest bin counts in the newest. `peak`: activity from 1 on, None of a picture that was not read.
        Returns the groups that became certain."""
        bin_ = self.bin_of(media_s)
        if not self._raw:
            self._reset(bin_)
        spans = self._open_bins(bin_)
        newest = self._raw[-1]
        newest.cost += cost
        if peak is not None:
            newest.num_told += 1
            newest.num_active += peak >= 1.0
            if newest.num_active:
                self._is_active = None
            newest.most = max(newest.most, peak)
        newest.has_key |= is_key
        return spans

    def advance(self, media_s: float) -> list[Span]:
        """No record before `media_s` will come any more: bins before it are final. Returns the groups that became certain."""
        return self._open_bins(self.bin_of(media_s)) if self._raw else []

    def finish(self, closed_by: ClosedBy) -> list[Span]:
        """Close everything, as at the end of a recording; the last group closes by `closed_by`."""
        if not self._raw:
            return []
        spans = self._smooth_to(self.newest) + self._cut(at_end=True)
        if spans:
            spans[-1] = replace(spans[-1], closed_by=closed_by)
        self._reset(0)
        return spans

    def _open_bins(self, bin_: int) -> list[Span]:
        """Open bins up to `bin_`; all before it are final."""
        spans: list[Span] = []
        while self.newest < bin_:
            self._is_active = None
            self._raw.append(_Raw())
            spans += self._smooth_to(self.newest - 1 - max(1, self._smooth))
        return spans

    def _smooth_to(self, bin_: int) -> list[Span]:
        """Smooth bins up to `bin_`, and look for groups behind each."""
        spans: list[Span] = []
        while self._start + len(self._bins) <= bin_:
            here = self._start + len(self._bins) - self._first
            raw = self._raw[here]
            cost = mean_around([each.cost for each in self._raw], here, self._smooth, len(self._raw))
            later = self._raw[here + 1] if here + 1 < len(self._raw) else None
            is_active = raw.is_active or raw.begins(later)
            self._quota.see_bin(cost, is_active=is_active)
            self._bins.append(ActivityBin(cost, is_active, raw.has_key, self._quota.value()))
            spans += self._cut(at_end=False)
        return spans

    def _cut(self, *, at_end: bool) -> list[Span]:
        spans: list[Span] = []
        while self._bins and (cut := self.rule.next_group(self._bins, self._num_still_before, at_end=at_end)) is not None:
            done = self._bins[: cut.end + 1]
            spans.append(
                Span(
                    start=self._start,
                    end=self._start + cut.end,
                    cost=sum(each.cost for each in done),
                    closed_by=cut.closed_by,
                    is_active=cut.is_active,
                    overshoot=sum(each.cost for each in done) / done[-1].quota if cut.closed_by == "quota" else 0.0,
                )
            )
            for each in done:
                self._num_still_before = 0 if each.is_active else self._num_still_before + 1
            del self._bins[: cut.end + 1]
            self._start += cut.end + 1
            self._forget(self._start - self._smooth)
        return spans

    def _forget(self, before: int) -> None:
        """Drop bins that nothing will read again."""
        if before > self._first:
            del self._raw[: before - self._first]
            self._first = before
