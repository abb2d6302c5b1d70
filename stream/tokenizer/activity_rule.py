"""Groups that follow activity: where nothing happens they are long, where something begins they are short, and in between a quota cuts.

In: bins, each with its cost, whether something was active in it, whether a keyframe came in it, and the quota in force when it was final. Out:
the next group. A function of these alone: it gives the same groups whether it is asked at every bin or once for a whole recording.

A spell of activity ends when nothing was active for `num_calm` bins. Of the still bins between two spells groups of up to `num_still` bins
are made (up to twice as many while a keyframe is waited for), the last of which ends right before the next spell. The first group of a
spell has `num_min` or `num_min` + 1 bins, so that what began is shown soon; those after it are cut by the quota as `GroupRule` says. Where
less than `num_min` bins of a spell are left after a cut, they belong to the still group behind them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stream.tokenizer.gop import GroupRule
from stream.units import ClosedBy


@dataclass(frozen=True, slots=True)
class ActivityBin:
    """A final bin. `quota`: in force then."""

    cost: float
    is_active: bool
    has_key: bool
    quota: float


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a group ends: index of its last bin."""

    end: int
    closed_by: ClosedBy
    is_active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityRule:
    """Spans in bins, of active groups by `groups`. `waits_for_key`: a still group that is long enough ends before a keyframe if one comes."""

    groups: GroupRule
    num_still: int
    num_calm: int
    waits_for_key: bool = False

    @classmethod
    def from_seconds(
        cls, *, bin_s: float, t_min_s: float, t_max_s: float, t_still_s: float, calm_s: float, waits_for_key: bool
    ) -> ActivityRule:
        groups = GroupRule.from_seconds(bin_s=bin_s, t_min_s=t_min_s, t_max_s=t_max_s)
        return cls(
            groups=groups,
            num_still=max(1, round(t_still_s / bin_s)),
            num_calm=max(groups.num_min, math.ceil(calm_s / bin_s)),
            waits_for_key=waits_for_key,
        )

    def next_group(self, bins: Sequence[ActivityBin], num_still_before: int, *, at_end: bool) -> Cut | None:
        """The group that begins with `bins[0]`, None while more has to be known. `num_still_before`: still bins in a row right before it, at
        least `num_calm` at the beginning of a stream."""
        first = _next_active(bins, 0)
        num_still = num_still_before + first
        if first and num_still >= self.num_calm:
            return self._still(bins, first, at_end=at_end)
        if first == len(bins):
            return Cut(len(bins) - 1, "end", is_active=False) if at_end and bins else None
        return self._active(bins, is_onset=num_still >= self.num_calm, num_still_before=num_still_before, at_end=at_end)

    def _still(self, bins: Sequence[ActivityBin], first_active: int, *, at_end: bool) -> Cut | None:
        most = 2 * self.num_still if self.waits_for_key else self.num_still
        for end in range(self.num_still - 1, min(most, first_active)):
            follows_key = end + 1 < len(bins) and bins[end + 1].has_key
            if end == most - 1 or (follows_key and end + 1 < first_active):
                return Cut(end, "max_span", is_active=False)
            if end + 1 == len(bins) and not at_end:
                return None
        if first_active < len(bins):
            return Cut(first_active - 1, "onset", is_active=False)
        return Cut(len(bins) - 1, "end", is_active=False) if at_end else None

    def _active(self, bins: Sequence[ActivityBin], *, is_onset: bool, num_still_before: int, at_end: bool) -> Cut | None:
        total, last_active = 0.0, -1 - num_still_before
        for index, each in enumerate(bins):
            total += each.cost
            last_active = index if each.is_active else last_active
            if is_onset and index + 1 == self.groups.num_min:
                return self._onset(bins, total, at_end=at_end)
            if index - last_active >= self.num_calm:
                if last_active + 1 < self.groups.num_min:  # the tail of what the group before has shown
                    return self._still(bins, _next_active(bins, last_active + 1), at_end=at_end)
                return Cut(last_active, "still", is_active=True)
            if self.groups.triggers(index + 1, total, each.quota):
                needed = min(self.groups.num_max - 1, index + self.groups.reach)
                if needed >= len(bins) and not at_end:
                    return None
                end = self._cheapest(bins, index)
                return Cut(end, "quota" if total >= each.quota else "max_span", is_active=True)
        return Cut(len(bins) - 1, "end", is_active=True) if at_end else None

    def _onset(self, bins: Sequence[ActivityBin], total: float, *, at_end: bool) -> Cut | None:
        num_min = self.groups.num_min
        if len(bins) == num_min and not at_end:
            return None
        one_more = len(bins) > num_min and bins[num_min].cost < bins[num_min - 1].cost
        return Cut(num_min - 1 + one_more, "quota" if total >= bins[num_min - 1].quota else "onset", is_active=True)

    def _cheapest(self, bins: Sequence[ActivityBin], trigger: int) -> int:
        """As `GroupRule.cut`; of equally cheap ends, one before a keyframe."""
        low = max(self.groups.num_min - 1, trigger - self.groups.reach)
        high = min(self.groups.num_max - 1, len(bins) - 1, trigger + self.groups.reach)

        def order(end: int) -> tuple[float, bool, int]:
            follows_key = self.waits_for_key and end + 1 < len(bins) and end < high and bins[end + 1].has_key
            return bins[end].cost, not follows_key, abs(end - trigger)

        return min(range(low, high + 1), key=order)


def _next_active(bins: Sequence[ActivityBin], begin: int) -> int:
    """Index of the first active bin from `begin` on; their number where there is none."""
    return next((index for index in range(begin, len(bins)) if bins[index].is_active), len(bins))
