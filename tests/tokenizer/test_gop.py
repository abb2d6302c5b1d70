"""Bit-cost grouping: the published partition, and the same cuts made online."""

from __future__ import annotations

import csv
import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repository import GOLDEN

from stream.errors import SettingsError
from stream.tokenizer.costs import FrameCosts
from stream.tokenizer.gop import GroupRule, bin_costs, partition
from stream.tokenizer.online import FixedQuota, OnlinePartition, Span

DATA = GOLDEN / "gop"
NAMES = ["real_0", "synthetic_1", "synthetic_1_b", "synthetic_2", "synthetic_2_b"]


@cache
def golden(name: str) -> dict[str, Any]:
    """Packets, settings and cases of one golden file; the `_b` cases use the packets of their namesake."""
    case: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    with (DATA / f"{name.removesuffix('_b')}.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    case["pts_s"] = [float(row["pts_s"]) for row in rows]
    case["size_bytes"] = [int(row["size_bytes"]) for row in rows]
    case["is_key"] = [row["key"] == "1" for row in rows]
    case["bins"] = {"bin_s": case.get("bin_sec", 0.5), "smooth": case.get("smooth_bins", 1)}
    case["spans"] = {"t_min_s": case.get("min_span_sec", 1.5), "t_max_s": case.get("max_span_sec", 6.0)}
    case["costs"] = bin_costs(case["pts_s"], case["size_bytes"], case["is_key"], cost="log", **case["bins"])
    return case


@pytest.mark.parametrize("name", NAMES)
def test_bin_costs_are_the_published_ones(name: str) -> None:
    case = golden(name)
    np.testing.assert_allclose(case["costs"], case["bin_energy"], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_groups_are_the_published_ones(name: str) -> None:
    case = golden(name)
    bin_s, end_s = case["bins"]["bin_s"], case["total_frames"] / case["fps"]
    for expected in case["cases"]:
        groups = partition(case["costs"], expected["quota"], bin_s=bin_s, **case["spans"])
        assert groups == [tuple(segment[:2]) for segment in expected["segments"]]
        for (low, high), (*_, segment_end_s, cost) in zip(groups, expected["segments"], strict=True):
            assert min((high + 1) * bin_s, end_s) == pytest.approx(segment_end_s)
            assert case["costs"][low : high + 1].sum() == pytest.approx(cost, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_online_groups_of_golden_packets_are_the_published_ones(name: str) -> None:
    case = golden(name)
    order = np.argsort(case["pts_s"], kind="stable")
    for expected in case["cases"]:
        online = OnlinePartition(FixedQuota(expected["quota"]), **case["bins"] | case["spans"])
        costs = FrameCosts("log", scene_cut_ratio=0.0)
        spans: list[Span] = []
        for i in order:
            spans += online.push(case["pts_s"][i], costs.of(case["size_bytes"][i], is_key=case["is_key"][i]))
        spans += online.finish("end")
        assert [[span.start, span.end] for span in spans] == [segment[:2] for segment in expected["segments"]]


def test_spans_in_bins_are_the_stated_ones() -> None:
    rule = GroupRule.from_seconds(bin_s=0.5, t_min_s=1.4, t_max_s=4.1)
    assert (rule.num_min, rule.num_max, rule.reach) == (3, 9, 3)
    assert GroupRule.from_seconds(bin_s=1.0, t_min_s=0.0, t_max_s=4.0).reach == 1
    assert GroupRule.from_seconds(bin_s=1.0, t_min_s=9.0, t_max_s=4.0).num_max == 9
    with pytest.raises(SettingsError, match="bin_s > 0"):
        GroupRule.from_seconds(bin_s=0.0, t_min_s=1.0, t_max_s=4.0)


def test_a_cut_is_the_cheapest_bin_then_the_nearest_then_the_earlier() -> None:
    rule = GroupRule(num_min=1, num_max=12, reach=3)
    assert rule.cut([5, 5, 5, 5, 9, 5, 5, 5, 4, 5], 0, 5, 9) == 8, "cheapest"
    assert rule.cut([5, 5, 3, 5, 3, 5, 5, 5, 3, 5], 0, 5, 9) == 4, "nearest"
    assert rule.cut([5, 5, 5, 5, 3, 5, 3, 5, 5, 5], 0, 5, 9) == 4, "earlier"
    assert rule.cut([5, 5, 5, 5, 5, 5, 5, 1, 1, 1], 0, 5, 6) == 5, "not past the last bin"


def test_a_short_tail_joins_its_predecessor_only_when_asked() -> None:
    costs = [9.0] * 13
    assert partition(costs, 27.0, t_max_s=1.5) == [(0, 2), (3, 5), (6, 8), (9, 12)]
    assert partition(costs, 27.0, t_max_s=1.5, merge_tail=False) == [(0, 2), (3, 5), (6, 8), (9, 11), (12, 12)]


def test_no_packets_give_no_groups() -> None:
    assert partition(bin_costs([], [], []), 1.0) == []
    assert OnlinePartition(FixedQuota(1.0)).finish("end") == []


def test_a_cost_that_sizes_cannot_tell_is_refused() -> None:
    with pytest.raises(SettingsError, match="bytes or log"):
        bin_costs([0.0], [1], [False], cost="complexity")


records = st.lists(
    st.tuples(
        st.one_of(st.floats(0, 0.3), st.floats(0, 4)),  # step in seconds; pauses of several bins happen
        st.one_of(st.integers(0, 60_000), st.sampled_from([0, 100])),  # ties between bins happen
        st.booleans(),
    ),
    max_size=120,
)
rules = st.fixed_dictionaries(
    {
        "bin_s": st.sampled_from([0.25, 0.5, 1.0]),
        "t_min_s": st.sampled_from([0.0, 0.5, 1.5, 3.0]),
        "t_max_s": st.sampled_from([0.5, 3.0, 6.0, 12.0]),
    }
)


@settings(max_examples=300, deadline=None)
@given(
    records=records,
    rule=rules,
    smooth=st.integers(0, 3),
    quota=st.one_of(st.floats(0, 1e5), st.floats(0, 200)),
    cost=st.sampled_from(["bytes", "log"]),
    ticks=st.sets(st.integers(0, 119)),
)
def test_online_equals_offline_on_every_packet_sequence(
    records: list[tuple[float, int, bool]],
    rule: dict[str, float],
    smooth: int,
    quota: float,
    cost: str,
    ticks: set[int],
) -> None:
    """The clock may say at any moment that nothing earlier will come; it changes when groups close, never where."""
    pts_s = np.cumsum([step for step, _, _ in records])
    sizes, keys = [size for _, size, _ in records], [key for _, _, key in records]
    first = int(pts_s[0] // rule["bin_s"]) if records else 0
    costs = bin_costs(pts_s - first * rule["bin_s"], sizes, keys, bin_s=rule["bin_s"], smooth=smooth, cost=cost)
    online = OnlinePartition(FixedQuota(quota), smooth=smooth, **rule)
    frame_costs = FrameCosts(cost, scene_cut_ratio=0.0)
    spans: list[Span] = []
    for i, (at_s, size, key) in enumerate(zip(pts_s, sizes, keys, strict=True)):
        if i in ticks:
            spans += online.advance(at_s)
        spans += online.push(at_s, frame_costs.of(size, is_key=key))
    spans += online.finish("end", merge_tail=False)
    assert [(span.start - first, span.end - first) for span in spans] == partition(costs, quota, merge_tail=False, **rule)
    np.testing.assert_allclose([span.cost for span in spans], [costs[s.start - first : s.end - first + 1].sum() for s in spans])


@given(records=records, rule=rules, smooth=st.integers(0, 3), quota=st.floats(0, 1e5))
@settings(max_examples=150, deadline=None)
def test_a_group_closes_within_the_stated_latency(
    records: list[tuple[float, int, bool]], rule: dict[str, float], smooth: int, quota: float
) -> None:
    """No group stays open for more than its longest span and reach + smooth + 1 bins."""
    online = OnlinePartition(FixedQuota(quota), smooth=smooth, **rule)
    now_s = 0.0
    for step_s, size, _ in records:
        now_s += step_s
        online.push(now_s, float(size))
        assert online.newest - online.start + 1 <= online.rule.num_max + smooth + 1


@given(before=records, after=records, quota=st.floats(0, 1e5))
@settings(max_examples=100, deadline=None)
def test_nothing_crosses_a_discontinuity(
    before: list[tuple[float, int, bool]], after: list[tuple[float, int, bool]], quota: float
) -> None:
    def spans(online: OnlinePartition, records: list[tuple[float, int, bool]]) -> list[Span]:
        now_s, found = 0.0, []
        for step_s, size, _ in records:
            now_s += step_s
            found += online.push(now_s, float(size))
        return found + online.finish("discontinuity")

    used = OnlinePartition(FixedQuota(quota))
    spans(used, before)
    assert spans(used, after) == spans(OnlinePartition(FixedQuota(quota)), after)


def test_the_three_costs_are_the_stated_formulas() -> None:
    assert FrameCosts("bytes", 0.0).of(1000, is_key=False) == 1000
    assert FrameCosts("log", 0.0).of(1000, is_key=False) == pytest.approx(6.90875, abs=1e-5)
    complexity = FrameCosts("complexity", 0.0)
    assert complexity.of(1000, is_key=False, mean_qp=32.0) == pytest.approx(2000)
    assert complexity.of(1000, is_key=False) == pytest.approx(2000), "a frame that does not tell its QP has the running mean"


def test_a_scene_cut_keyframe_counts_with_its_excess() -> None:
    costs = FrameCosts("bytes", scene_cut_ratio=2.0)
    assert [costs.of(size, is_key=True) for size in (1000, 1000, 1900)] == [0.0, 0.0, 0.0]
    assert costs.of(5000, is_key=True) == pytest.approx(5000 - 1300)
    parity = FrameCosts("bytes", scene_cut_ratio=0.0)
    assert [parity.of(size, is_key=True) for size in (1000, 5000)] == [0.0, 0.0]
