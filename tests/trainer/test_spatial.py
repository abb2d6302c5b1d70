"""Points and boxes of answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluate.spatial import Box, box_in, box_iou, point_in
from trainer.world import forms


def box(left: int, top: int, width: int, height: int) -> Box:
    return left, top, left + width, top + height


boxes = st.builds(box, st.integers(0, 20), st.integers(0, 20), st.integers(1, 12), st.integers(1, 12))


@given(told=boxes, true=boxes)
def test_iou_of_boxes_is_counted_in_squares(told: Box, true: Box) -> None:
    covered = [{(x, y) for x in range(int(b[0]), int(b[2])) for y in range(int(b[1]), int(b[3]))} for b in (told, true)]
    assert box_iou(told, true) == pytest.approx(len(covered[0] & covered[1]) / len(covered[0] | covered[1]))


@given(true=boxes)
def test_a_true_box_told_in_its_form_scores_one(true: Box) -> None:
    left, top, right, bottom = (value / 1000 for value in true)
    assert (told := box_in(forms.box(left, top, right, bottom))) is not None
    assert box_iou(told, true) == 1.0


@pytest.mark.parametrize(
    ("answer", "point"),
    [
        ("(512, 430)", (512.0, 430.0)),
        ("[512.5,430]", (512.5, 430.0)),
        ("at x 512 y 430.", (512.0, 430.0)),
        ("(512)", None),
        ("(1512, 430)", None),
        ("left", None),
    ],
)
def test_points_are_read(answer: str, point: object) -> None:
    assert point_in(answer) == point


@pytest.mark.parametrize("answer", ["(100, 200, 300)", "(300, 200, 100, 400)", "(0, 0, 1001, 5)", ""])
def test_what_is_no_box_is_none(answer: str) -> None:
    assert box_in(answer) is None


def test_a_box_is_cut_at_the_pictures_edge() -> None:
    assert forms.box(-0.1, 0.2, 1.1, 0.4) == "(0, 200, 1000, 400)"
