"""How a stream is cut, by its settings: by the clock's token rate as published, or by activity.

In: settings that leave nothing open. Out: a quota, which outlives the breaks of a stream, and a partition, which does not.
"""

from __future__ import annotations

from stream.tokenizer.activity_partition import ActivityPartition
from stream.tokenizer.activity_rule import ActivityRule
from stream.tokenizer.credit import CreditQuota
from stream.tokenizer.online import FixedQuota, OnlinePartition
from stream.tokenizer.quota import QuotaController
from stream.tokenizer.settings import TokenizerSettings

AnyQuota = FixedQuota | QuotaController | CreditQuota
AnyPartition = OnlinePartition | ActivityPartition


def new_quota(s: TokenizerSettings, first_tokens: float) -> AnyQuota:
    """`first_tokens`: a guess for groups before the first closed."""
    if s.quota is not None:
        return FixedQuota(s.quota)
    if s.t_still_s is None:
        return QuotaController(s.token_rate, bin_s=s.bin_s, first_tokens=first_tokens)
    return CreditQuota(s.token_rate, bin_s=s.bin_s, first_tokens=first_tokens)


def new_partition(s: TokenizerSettings, quota: AnyQuota) -> AnyPartition:
    assert s.t_max_s is not None, "expected a planned span"
    if s.t_still_s is None:
        assert not isinstance(quota, CreditQuota | None), "expected a quota of all time"
        return OnlinePartition(quota, bin_s=s.bin_s, t_min_s=s.t_min_s, t_max_s=s.t_max_s, smooth=s.smooth)
    rule = ActivityRule.from_seconds(
        bin_s=s.bin_s,
        t_min_s=s.t_min_s,
        t_max_s=s.t_max_s,
        t_still_s=s.t_still_s,
        calm_s=s.calm_s,
        waits_for_key=s.anchor == "key",
    )
    assert not isinstance(quota, QuotaController | None), "expected a quota of active time"
    return ActivityPartition(quota, rule, bin_s=s.bin_s, smooth=s.smooth)
