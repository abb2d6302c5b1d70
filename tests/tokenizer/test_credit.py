"""The quota of active time: what a second of activity is worth, whatever the night before was like."""

from __future__ import annotations

import math

import pytest

from stream.tokenizer.credit import BUCKET_S, CreditQuota

BIN_S = 0.5


def lively(quota: CreditQuota, cost: float, seconds: float, tokens: int = 300) -> list[float]:
    """Activity of one strength for a while, cut by the quota alone; the spans of its groups."""
    spans, total, span_s = [], 0.0, 0.0
    for _ in range(round(seconds / BIN_S)):
        quota.see_bin(cost, is_active=True)
        total, span_s = total + cost, span_s + BIN_S
        if total >= quota.value() and span_s >= 1.5:
            quota.see_group(tokens, span_s, is_active=True)
            spans.append(span_s)
            total = span_s = 0.0
    return spans


def quota_of(rate: float = 100.0) -> CreditQuota:
    return CreditQuota(rate, bin_s=BIN_S, first_tokens=300)


def test_nothing_seen_closes_nothing() -> None:
    assert math.isinf(quota_of().value())


def test_a_night_changes_nothing() -> None:
    quota = quota_of()
    lively(quota, 1.0, 120.0)
    before = quota.value(), quota.balance_s
    for _ in range(20_000):
        quota.see_bin(0.0, is_active=False)
        quota.see_group(140, 30.0, is_active=False)
    assert (quota.value(), quota.balance_s) == before


@pytest.mark.parametrize("rate", [30.0, 100.0, 300.0])
def test_ten_minutes_of_even_activity_take_the_rate(rate: float) -> None:
    quota, tokens = quota_of(rate), round(3 * rate)
    spans = lively(quota, 1.0, 600.0, tokens)
    assert tokens * len(spans) / 600.0 == pytest.approx(rate, rel=0.1)


def test_stronger_activity_runs_above_the_rate_on_credit_and_then_no_more() -> None:
    quota = quota_of()
    lively(quota, 1.0, 300.0)
    lively(quota, 0.5, 120.0)
    saved = quota.balance_s
    assert 0 < saved <= BUCKET_S
    first = lively(quota, 2.0, 30.0)
    assert 300 * len(first) / 30.0 > 120.0
    lively(quota, 2.0, 240.0)
    later = lively(quota, 2.0, 120.0)
    assert 300 * len(later) / 120.0 < 115.0


def test_debt_and_credit_are_bounded() -> None:
    quota = quota_of()
    quota.see_group(1_000_000, 1.0, is_active=True)
    assert quota.balance_s == -BUCKET_S
    quota.see_group(0, 10_000.0, is_active=True)
    assert quota.balance_s == BUCKET_S
