"""Where decoding may start: keyframes, how far they are apart, and what stands in for them.

In: an `Observation`. Out: `Keys`.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from stream.codec.codecs import starts_decoding
from stream.doctor.observe import Observation

Pattern = Literal["regular", "irregular", "one", "refresh", "none"]
_REGULAR = 0.2
"""Share of the usual distance by which distances may differ in a regular pattern."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """- `pattern`: at a regular distance, at differing ones, a single one, none but a column of intra macroblocks that wanders through
      the picture (`refresh`), or nothing to start at.
    - `interval_s`, `interval_pictures`: the usual distance, None without two keys. `longest_s`: the longest stretch without one, the ends
      of the watch included, so that it is a lower bound where `pattern` is `one` or `none`.
    - `size_ratio`: bytes of a key to bytes of another picture. `times_s`: of the keys, seconds into the watch."""

    pattern: Pattern
    num_keys: int
    num_refresh_points: int
    interval_s: float | None
    interval_pictures: int | None
    longest_s: float
    size_ratio: float | None
    times_s: tuple[float, ...]


def keys_of(watch: Observation) -> Keys:
    at = [number for number, packet in enumerate(watch.packets) if packet.is_key]
    times_s = [watch.packets[number].pts_s for number in at]
    gaps_s = [later - earlier for earlier, later in pairwise(times_s)]
    ends_s = (min(p.pts_s for p in watch.packets), max(p.pts_s for p in watch.packets)) if watch.packets else (0.0, 0.0)
    edges_s = [ends_s[0], *times_s, ends_s[1]]
    refreshes = sum(not p.is_key and starts_decoding(p) for p in watch.packets)
    counts = [later - earlier for earlier, later in pairwise(at)]
    return Keys(
        pattern=_pattern(gaps_s, len(at), refreshes),
        num_keys=len(at),
        num_refresh_points=refreshes,
        interval_s=statistics.median(gaps_s) if gaps_s else None,
        interval_pictures=round(statistics.median(counts)) if counts else None,
        longest_s=max(later - earlier for earlier, later in pairwise(edges_s)),
        size_ratio=_size_ratio(watch),
        times_s=tuple(time_s - ends_s[0] for time_s in times_s),
    )


def _pattern(gaps_s: list[float], num_keys: int, num_refreshes: int) -> Pattern:
    if num_refreshes >= max(1, num_keys):
        return "refresh"
    if not gaps_s:
        return "one" if num_keys else "none"
    usual_s = statistics.median(gaps_s)
    even = sum(abs(gap_s - usual_s) <= _REGULAR * usual_s for gap_s in gaps_s)
    return "regular" if even >= len(gaps_s) - len(gaps_s) // 4 else "irregular"


def _size_ratio(watch: Observation) -> float | None:
    keys = [packet.size_bytes for packet in watch.packets if packet.is_key]
    others = [packet.size_bytes for packet in watch.packets if not packet.is_key]
    return statistics.mean(keys) / max(1.0, statistics.mean(others)) if keys and others else None
