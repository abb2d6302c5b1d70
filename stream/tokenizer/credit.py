"""The quota of active time: what a second of activity is worth, and how much stronger activity may borrow.

In: costs of bins, whether something was active in them, and the tokens of closed groups, in order. Out: Q, the cost that closes a group: that
of a mean active second over the last five active minutes, times tokens per group / token rate. A function of the packets alone.

Still time counts nowhere: a quiet night neither shrinks Q nor saves up for the morning. Activity weaker than the mean saves, up to a minute of
the rate; stronger activity runs above the rate on what was saved, and widens Q once that is spent. What is saved is spent by nothing else, but
for a slow correction that holds the mean over many minutes.
"""

from __future__ import annotations

import math

HORIZON_S = 300.0
"""Active seconds over which the mean cost is taken; fewer while the stream is younger."""
GROUP_MEMORY = 6
"""Groups over which tokens per group are averaged."""
OVERSHOOT_MEMORY, OVERSHOOT_MOST = 12, 3.0
"""Groups over which the overshoot is averaged, and the most that one counts."""
BUCKET_S = 60.0
"""Most seconds of the rate that are saved, or owed."""
SLOW_S = 120.0
"""Saved seconds that make Q smaller by a factor of e."""
FIRM_S = 20.0
"""Owed seconds that make Q larger by a factor of e."""


class CreditQuota:
    """Follows `token_rate`, LLM tokens per second of activity. `first_tokens`: a guess for groups before the first closed."""

    def __init__(self, token_rate: float, *, bin_s: float, first_tokens: float) -> None:
        self._rate, self._bin_s = token_rate, bin_s
        self._tokens_per_group = first_tokens
        self.cost_per_s = 0.0
        self._num_bins = self._num_groups = 0
        self._factor = self._overshoot = 1.0
        self.balance_s = 0.0

    def value(self) -> float:
        if not self.cost_per_s:
            return math.inf
        span_s = self._tokens_per_group / self._rate
        correction = -self.balance_s / (SLOW_S if self.balance_s > 0 else FIRM_S)
        return self._factor * self.cost_per_s * span_s * math.exp(correction) / self._overshoot

    def widen(self, factor: float) -> None:
        """Close groups later, by so many times their cost, until told otherwise."""
        self._factor = factor

    def see_bin(self, cost: float, *, is_active: bool) -> None:
        if not is_active:
            return
        self._num_bins += 1
        share = max(self._bin_s / HORIZON_S, 1 / self._num_bins)
        self.cost_per_s += share * (cost / self._bin_s - self.cost_per_s)

    def see_group(self, num_tokens: int, span_s: float, *, is_active: bool, overshoot: float = 0.0) -> None:
        """Learn what a closed group took. Still ones are paid by nobody. `overshoot`: its cost over the quota that closed it, 0 if none did."""
        if not is_active:
            return
        if overshoot:
            self._overshoot += (min(overshoot, OVERSHOOT_MOST) - self._overshoot) / OVERSHOOT_MEMORY
        self._num_groups += 1
        self._tokens_per_group += (num_tokens - self._tokens_per_group) / min(self._num_groups, GROUP_MEMORY)
        self.balance_s = min(max(self.balance_s + span_s - num_tokens / self._rate, -BUCKET_S), BUCKET_S)
