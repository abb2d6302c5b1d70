"""The quota that keeps the token rate: how much cost a group may gather before it closes.

In: smoothed bin costs and the tokens of closed groups, in order. Out: Q = R * T, where R is the running cost per second and
T = tokens per group / token rate; times a correction from what was saved or overspent so far. A function of the packets alone:
no clock, no chance.

The correction is gentle while the balance is small, so that groups follow the cost and not the clock, and firm towards a
minute's worth of tokens: ten minutes then hold the rate within a tenth even where the cost per second jumps tenfold and R
is far behind.
"""

from __future__ import annotations

import math

HORIZON_S = 300.0
"""Memory of the running cost per second; shorter while the stream is younger."""
GROUP_MEMORY = 6
"""Groups over which tokens per group are averaged."""
GENTLE_S = 25.0
GENTLE_SPANS = 0.6
"""A balance of this many seconds, or of this share of a span T if that is more, changes the quota by a factor of e. Less
than half a span would make long and short groups alternate."""
FIRM_S = 35.0
FIRM_POWER = 3
"""The balance in units of FIRM_S, to this power, is added to the exponent."""
BALANCE_MOST_S = 60.0
"""Most seconds' worth of tokens, saved or overspent, that are remembered."""
BALANCE_AT_LIMIT_S = 12.0
"""The same while the spans allowed do not let the rate be held: what could not be spent is not owed later."""


class QuotaController:
    """Follows `token_rate`, LLM tokens per second of media time. `first_tokens`: a guess for groups before the first closed."""

    def __init__(self, token_rate: float, *, bin_s: float, first_tokens: float) -> None:
        self._rate = token_rate
        self._bin_s = bin_s
        self._tokens_per_group = first_tokens
        self._cost_rate = 0.0
        self._num_bins = 0
        self._num_groups = 0
        self._factor = 1.0
        self._balance_s = 0.0  # tokens saved so far, in seconds' worth

    def value(self) -> float:
        """Cost that closes the open group now; without any cost so far (keyframes alone), nothing but its span closes it."""
        if not self._cost_rate:
            return math.inf
        span_s = self._tokens_per_group / self._rate
        gentle = self._balance_s / max(GENTLE_S, GENTLE_SPANS * span_s)
        firm = (self._balance_s / FIRM_S) ** FIRM_POWER
        return self._factor * self._cost_rate * span_s * math.exp(-gentle - firm)

    def widen(self, factor: float) -> None:
        """Close groups later, by so many times their cost, until told otherwise."""
        self._factor = factor

    def see_bin(self, cost: float) -> None:
        """Learn the smoothed cost of the next bin."""
        self._num_bins += 1
        share = max(self._bin_s / HORIZON_S, 1 / self._num_bins)
        self._cost_rate += share * (cost / self._bin_s - self._cost_rate)

    def see_group(self, num_tokens: int, span_s: float, *, shortest: bool = False, longest: bool = False) -> None:
        """Learn what a closed group took. `shortest`, `longest`: it could not have closed earlier, or later."""
        self._num_groups += 1
        self._tokens_per_group += (num_tokens - self._tokens_per_group) / min(self._num_groups, GROUP_MEMORY)
        before = self._balance_s
        most = max(BALANCE_AT_LIMIT_S, before) if shortest else BALANCE_MOST_S
        least = min(-BALANCE_AT_LIMIT_S, before) if longest else -BALANCE_MOST_S
        self._balance_s = min(max(before + span_s - num_tokens / self._rate, least), most)
