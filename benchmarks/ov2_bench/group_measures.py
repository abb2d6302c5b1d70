"""What groups are worth against the truth: where tokens go, how long groups span, how soon one follows an onset.

In: the groups of a film, when something happens in it, the token rate asked for. Out: one row of numbers.

- A group is active when it overlaps what happens by more than `EDGE_S`, and by more than `EDGE_SHARE` of its span, else still: half a minute
  of rest with a last step in it is no active group. Tokens per second are those of active (still)
  groups over the seconds that they cover, so that a group at an edge is not counted twice.
- An active minute is sixty seconds of active groups, one after another, whatever lies between; a group's tokens are spread evenly
  over its span. Ten minutes are any ten minutes of the film.
- An onset is the beginning of an active interval after a rest; it is met when its first active group starts at most `BEFORE_S`
  before it and spans at most `ONSET_SPAN_S`.
- A still spell is a rest of at least `SPELL_S`; what the still groups whose middle lies in it took. Where a film has any, still tokens per
  second and spans are those of these groups: in a shorter rest nobody knows yet that it is one.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from trainer.world.activity import Intervals

EDGE_S, EDGE_SHARE = 0.25, 0.1
BEFORE_S = 1.0
ONSET_SPAN_S = 2.0
SPELL_S = 30.0
MINUTE_S = 60.0
LONG_S = 600.0
LOOK_S = 0.1
"""Tokens are looked at in steps of this length."""
Measures = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSpan:
    """A group without its pictures; `cost` is the tokenizer's."""

    start_s: float
    end_s: float
    closed_by: str
    cost: float
    tokens: int
    canvases: int

    @property
    def span_s(self) -> float:
        return self.end_s - self.start_s

    @property
    def middle_s(self) -> float:
        return (self.start_s + self.end_s) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmTruth:
    """When something happens in a film of `duration_s` seconds: `active`, as (start, end), in order."""

    duration_s: float
    active: Intervals

    def overlap_s(self, group: GroupSpan) -> float:
        """Seconds of a group in which something happens."""
        return sum(max(0.0, min(high, group.end_s) - max(low, group.start_s)) for low, high in self.active)

    def is_active(self, group: GroupSpan) -> bool:
        return self.overlap_s(group) > max(EDGE_S, EDGE_SHARE * group.span_s)

    def onsets_s(self) -> list[float]:
        """Beginnings after a rest; one at the film's own beginning is none."""
        return [low for low, _ in self.active if low > BEFORE_S]

    def still_spells(self) -> Intervals:
        """Rests of at least `SPELL_S`."""
        edges = [0.0, *(edge for interval in self.active for edge in interval), self.duration_s]
        return tuple((low, high) for low, high in list(pairwise(edges))[::2] if high - low >= SPELL_S)


def measure(groups: Sequence[GroupSpan], truth: FilmTruth, token_rate: float) -> Measures:
    """The row of one film at one rate; None where there is nothing to measure."""
    active = [group for group in groups if truth.is_active(group)]
    still = [group for group in groups if not truth.is_active(group)]
    if spells := truth.still_spells():
        still = [group for group in still if any(low <= group.middle_s < high for low, high in spells)]
    row: Measures = {
        "tokens_per_s_active": _per_s(active, "tokens"),
        "tokens_per_s_still": _per_s(still, "tokens"),
        "median_span_active_s": _median([group.span_s for group in active]),
        "median_span_still_s": _median([group.span_s for group in still]),
        "closed_by_quota": _quota_share(active),
    }
    row |= _onsets(active, truth)
    minutes = [tokens / (MINUTE_S * token_rate) for tokens in _minutes(active)]
    row["least_active_minute"] = _round(min(minutes, default=None))
    row["largest_active_minute"] = _round(max(minutes, default=None))
    row["largest_ten_minutes"] = _round(_largest_ten_minutes(groups, truth.duration_s, token_rate))
    row["still_spells"] = [_spell(still, low, high) for low, high in spells]
    row["largest_still_spell_tokens_per_s"] = max((spell["tokens_per_s"] for spell in row["still_spells"]), default=None)
    return row | {"cost_per_s_active": _per_s(active, "cost"), "cost_per_s_still": _per_s(still, "cost")}


def _onsets(active: Sequence[GroupSpan], truth: FilmTruth) -> Measures:
    firsts = []
    for onset_s in truth.onsets_s():
        first = next((group for group in active if group.end_s > onset_s + EDGE_S), None)
        if first is not None:
            firsts.append((onset_s, first))
    met = [onset_s - each.start_s <= BEFORE_S and each.span_s <= ONSET_SPAN_S for onset_s, each in firsts]
    return {
        "onset_span_s": _median([each.span_s for _, each in firsts]),
        "num_onsets": len(firsts),
        "onsets_met": _round(sum(met) / len(met) if met else None),
    }


def _quota_share(active: Sequence[GroupSpan]) -> float | None:
    """Of the groups closed by quota or max_span, those by quota."""
    closed = [group.closed_by for group in active if group.closed_by in ("quota", "max_span")]
    return _round(closed.count("quota") / len(closed)) if closed else None


def _minutes(active: Sequence[GroupSpan]) -> list[float]:
    """Tokens of every full minute of active groups."""
    looks = [_spread(group) for group in active]
    per_look = [tokens for group in looks for tokens in group]
    length = round(MINUTE_S / LOOK_S)
    return [sum(per_look[at : at + length]) for at in range(0, len(per_look) - length + 1, length)]


def _spread(group: GroupSpan) -> list[float]:
    """A group's tokens, evenly over its looks."""
    num = max(1, round(group.span_s / LOOK_S))
    return [group.tokens / num] * num


def _largest_ten_minutes(groups: Sequence[GroupSpan], duration_s: float, token_rate: float) -> float | None:
    """The largest mean of ten minutes over the rate; None for a shorter film."""
    import numpy as np

    length = round(LONG_S / LOOK_S)
    per_look: np.ndarray = np.zeros(round(duration_s / LOOK_S) + 1)
    if len(per_look) <= length:
        return None
    for group in groups:
        first = min(round(group.start_s / LOOK_S), len(per_look) - 1)
        last = max(first + 1, min(round(group.end_s / LOOK_S), len(per_look)))
        per_look[first:last] += group.tokens / (last - first)
    sums = np.cumsum(np.concatenate([[0.0], per_look]))
    return float((sums[length:] - sums[:-length]).max()) / (LONG_S * token_rate)


def _spell(still: Sequence[GroupSpan], low_s: float, high_s: float) -> dict[str, float | int]:
    inside = [group for group in still if low_s <= group.middle_s < high_s]
    tokens = sum(group.tokens for group in inside)
    return {
        "start_s": round(low_s, 2),
        "end_s": round(high_s, 2),
        "tokens_per_s": round(tokens / (high_s - low_s), 2),
        "canvases": sum(group.canvases for group in inside),
    }


def _per_s(groups: Sequence[GroupSpan], what: str) -> float | None:
    seconds = sum(group.span_s for group in groups)
    return _round(sum(getattr(group, what) for group in groups) / seconds) if seconds else None


def _median(values: Sequence[float]) -> float | None:
    return _round(statistics.median(values)) if values else None


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
