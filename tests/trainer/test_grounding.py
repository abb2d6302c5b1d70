"""Temporal grounding as published: other ways to the same IoU, recall and mAP."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluate.grounding import (
    MAP_AT,
    Interval,
    first_iou,
    intervals_in,
    iou,
    mean_ap,
    recall_at,
    retrieval_ap,
)
from trainer.world import forms

STEPS = 100
"""Of a second: intervals end on whole ones, so that IoU can be counted."""


def interval(start: int, length: int) -> Interval:
    return start / 10, (start + length) / 10


intervals = st.builds(interval, st.integers(0, 60), st.integers(1, 40))


def counted_iou(told: Interval, true: Interval) -> float:
    """Hundredths of a second that lie in both, over those in either."""
    covered = [set(range(round(start * STEPS), round(end * STEPS))) for start, end in (told, true)]
    return len(covered[0] & covered[1]) / len(covered[0] | covered[1])


@given(told=intervals, true=intervals)
def test_iou_is_what_is_common_over_what_is_covered(told: Interval, true: Interval) -> None:
    assert iou(told, true) == pytest.approx(counted_iou(told, true))


def slow_ap(told: list[Interval], true: list[Interval], threshold: float) -> float:
    """As the VOC 2011 kit reckons: cumulated hits and misses, an envelope of precision from behind, the area under its steps."""
    locked: set[int] = set()
    hits = np.zeros(len(told))
    for rank, one in enumerate(told):
        for index in sorted(range(len(true)), key=lambda index: -iou(one, true[index])):
            if iou(one, true[index]) < threshold:
                break
            if index not in locked:
                locked.add(index)
                hits[rank] = 1
                break
    right, wrong = np.cumsum(hits), np.cumsum(1 - hits)
    recall = np.concatenate([[0], right / len(true), [1]])
    precision = np.concatenate([[0], right / (right + wrong), [0]])
    for index in range(len(precision) - 2, -1, -1):
        precision[index] = max(precision[index], precision[index + 1])
    steps = np.flatnonzero(recall[1:] != recall[:-1]) + 1
    return float(((recall[steps] - recall[steps - 1]) * precision[steps]).sum())


@given(told=st.lists(intervals, max_size=10), true=st.lists(intervals, min_size=1, max_size=5))
def test_map_is_that_of_moment_retrieval(told: list[Interval], true: list[Interval]) -> None:
    for threshold in (0.3, *MAP_AT):
        assert retrieval_ap(told, true, threshold) == pytest.approx(slow_ap(told, true, threshold))
    assert mean_ap(told, true) == pytest.approx(np.mean([slow_ap(told, true, threshold) for threshold in MAP_AT]))


def test_map_over_intervals_from_a_half_to_nearly_all() -> None:
    assert pytest.approx(np.linspace(0.5, 0.95, 10)) == MAP_AT
    assert mean_ap([], [(1.0, 2.0)]) == 0.0
    assert mean_ap([(0.0, 0.0)] * 10 + [(1.0, 2.0)], [(1.0, 2.0)]) == 0.0  # the eleventh does not count


@given(true=intervals)
def test_the_true_interval_told_in_its_form_scores_one(true: Interval) -> None:
    answer = forms.interval(*true)
    assert first_iou(answer, true) == pytest.approx(1.0)
    assert mean_ap(intervals_in(answer), [true]) == pytest.approx(1.0)


def test_recall_counts_those_at_the_threshold() -> None:
    assert recall_at([0.1, 0.3, 0.5, 0.9], 0.3) == 0.75
    assert recall_at([], 0.3) == 0.0


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("The event happens in 3.2 - 9.6 seconds", [(3.2, 9.6)]),
        ("3.2-9.6 and 12 - 13", [(3.2, 9.6), (12.0, 13.0)]),
        ("from 3 to 9.5 seconds", [(3.0, 9.5)]),
        ("between 3 and 9.5", [(3.0, 9.5)]),
        ("00:03 - 01:02.5", [(3.0, 62.5)]),
        ("1:00:03 until 1:01:00, then 1:02:00", [(3603.0, 3660.0)]),
        ("after 3 seconds", []),
        ("not seen", []),
    ],
)
def test_intervals_are_read_as_published(answer: str, told: list[Interval]) -> None:
    assert intervals_in(answer) == told


def test_an_interval_that_ends_before_it_begins_scores_nothing() -> None:
    assert first_iou("9.6 - 3.2 seconds", (3.2, 9.6)) == 0.0
    assert first_iou("no idea", (3.2, 9.6)) == 0.0
