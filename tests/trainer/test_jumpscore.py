"""JumpScore as published: another, slower way to the same score, and what its parser takes for a start."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluate.jumpscore import TOLERANCES_S, average_precision, jumpscore, starts_in
from trainer.world import forms

times = st.lists(st.integers(0, 600).map(lambda hundredth: hundredth / 100), max_size=12)


def slow_ap(told_s: Sequence[float], true_s: Sequence[float], tolerance_s: float) -> Fraction:
    """From the definition: for every k the matching of the k earliest is made anew; AP is a sum over steps of recall."""
    points = [(Fraction(0), Fraction(0))]
    for k in range(1, len(told_s) + 1):
        taken: set[int] = set()
        for t_s in sorted(told_s)[:k]:
            ranked = sorted((abs(t_s - true), index) for index, true in enumerate(true_s) if index not in taken)
            if ranked and ranked[0][0] <= tolerance_s:
                taken.add(ranked[0][1])
        points.append((Fraction(len(taken), k), Fraction(len(taken), len(true_s))))
    return sum((here[0] * (here[1] - before[1]) for before, here in pairwise(points)), Fraction(0))


@given(told=times, true=times.filter(bool))
def test_ap_is_the_area_under_precision_over_recall(told: list[float], true: list[float]) -> None:
    for tolerance_s in TOLERANCES_S:
        assert average_precision(told, true, tolerance_s) == pytest.approx(float(slow_ap(told, true, tolerance_s)))
    mean = sum(slow_ap(told, true, tolerance_s) for tolerance_s in TOLERANCES_S) / 3
    assert jumpscore(told, true) == pytest.approx(float(mean))


@given(true=times)
def test_the_true_list_told_in_its_form_scores_one(true: list[float]) -> None:
    assert jumpscore(starts_in(forms.starts(true)), true) == pytest.approx(1.0)


def test_scores_that_can_be_reckoned_by_hand() -> None:
    assert jumpscore([], []) == 1.0
    assert jumpscore([1.0], []) == jumpscore([], [1.0]) == 0.0
    assert average_precision([1.0, 2.0], [2.0], 0.1) == 0.5  # a wrong one before the right one
    assert average_precision([2.0, 3.0], [2.0], 0.1) == 1.0  # one after it costs nothing
    assert average_precision([1.0, 1.05], [1.0], 0.1) == 1.0
    assert average_precision([0.9, 1.1], [1.0, 1.2], 0.2) == 1.0
    assert jumpscore([1.25], [1.0]) == pytest.approx(1 / 3)
    assert average_precision([1.5], [1.25], 0.25) == 1.0  # inclusive


@pytest.mark.parametrize(
    ("answer", "starts"),
    [
        ("[0.28, 4.44, 5.00]", [0.28, 4.44, 5.0]),
        ("[4.44, 0.28,]", [0.28, 4.44]),
        ('```json\n["0.5s", "1.5"]\n```', [0.5]),
        ('["0.5", "1.5 x", 2]', [0.5, 2.0]),
        ("[1] but rather [2, 3]", [2.0, 3.0]),
        ("[2.0, 3.0] at 1.5s and 0.5 s", [0.5, 1.5]),
        ("at 1.5 seconds, then 12.25 seconds", [1.5, 12.25]),
        ("[0.5 and 1.5]", [0.5, 1.5]),
        ("3 then 1", [1.0, 3.0]),
        ("[]", []),
        ("nobody jumped", []),
        ("", []),
        ("[[1, 2], [3]]", [1.0, 2.0]),
    ],
)
def test_starts_are_read_as_published(answer: str, starts: list[float]) -> None:
    assert starts_in(answer) == starts
