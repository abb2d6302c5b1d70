"""What an engine has done so far, for people and for dashboards.

In: counts and times from the scheduler. Out: a frozen snapshot.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

REMEMBERED = 512
"""Newest times of each kind that percentiles are of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """Counts since the engine began, and the newest times.

    - `streams` open, `pages_used` of `num_pages`; `waiting_groups`, `waiting_questions`, `running_answers` now.
    - `groups` appended, `answers` finished, `tokens` written by answers, `judged` statements, `renewals`, `steps`, `restarts` after a device
      that became unusable.
    - `shed`: work that was put off or left out, by reason: `renewal_waits` (steps in which a renewal got no tokens), `quota_widened`
      (groups that were made longer), `model_behind` (groups skipped), `refused_group`, `statements`, `out_of_memory` (steps tried
      again, smaller), `out_of_pages`, `renewal_failed` (renewals that raised).
    - `first_token_ms`, `append_ms` (from `append` to written): p50, p95 and p99 of the newest.
    - `busy_s`: time spent in steps.
    """

    streams: int
    pages_used: int
    num_pages: int
    waiting_groups: int
    waiting_questions: int
    running_answers: int
    groups: int
    answers: int
    tokens: int
    judged: int
    renewals: int
    steps: int
    restarts: int
    shed: dict[str, int]
    first_token_ms: dict[str, float]
    append_ms: dict[str, float]
    busy_s: float


@dataclass(slots=True)
class Tally:
    """Counts while they grow; owned by the device thread."""

    counts: Counter[str] = field(default_factory=Counter)
    shed: Counter[str] = field(default_factory=Counter)
    first_token_s: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    append_s: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    busy_s: float = 0.0


def percentiles_ms(seconds: deque[float]) -> dict[str, float]:
    """p50, p95 and p99, milliseconds; empty before the first."""
    ranked = sorted(seconds)
    if not ranked:
        return {}
    return {f"p{p}": 1000 * ranked[min(len(ranked) - 1, len(ranked) * p // 100)] for p in (50, 95, 99)}
