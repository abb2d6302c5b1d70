"""Effort: what an encoder does that it usually does not, whatever it usually does, and however many pictures are left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from stream.codec.effort import START_PICTURES, Effort, EffortMeter

ROWS, COLUMNS = 8, 12


@dataclass(frozen=True)
class Grids:
    """As the parser gives them."""

    levels: np.ndarray
    mean_vectors: np.ndarray
    qp: np.ndarray
    mean_qp: float
    intra: np.ndarray
    bits: np.ndarray
    picture_type: str = "P"
    refused: str = ""
    is_whole: bool = True


def picture(index: int, *, at_work: bool = False, column: int = 6) -> Grids:
    """A wall on the left whose noise costs thirty times that of the rest; somebody moves to the right, 3 x 3 macroblocks from `column` on."""
    random = np.random.default_rng(index)
    levels = random.poisson(4, (ROWS, COLUMNS))
    levels[:, :4] += random.poisson(120, (ROWS, 4))
    vectors = random.integers(-3, 4, (ROWS, COLUMNS, 4, 4, 2)).mean((2, 3)).astype(np.float32)
    if at_work:
        levels[2:5, column : column + 3] += 200
        vectors[2:5, column : column + 3] = (8, 0)
    zeros = np.zeros((ROWS, COLUMNS))
    return Grids(
        levels=levels, mean_vectors=vectors, qp=np.full((ROWS, COLUMNS), 26), mean_qp=26.0, intra=zeros.astype(bool), bits=zeros
    )


def efforts(num: int, *, begin: int, step_s: float, passed_s: float) -> list[Effort]:
    meter = EffortMeter()
    return [meter.push(picture(index, at_work=index >= begin), step_s, passed_s) for index in range(num)]


def test_a_wall_that_always_costs_much_is_usual_from_the_first_picture_that_is_judged() -> None:
    seen = efforts(60, begin=99, step_s=0.1, passed_s=0.2)
    assert max(each.area for each in seen) < 0.02


@pytest.mark.parametrize("fps", [5, 10, 30, 60])
def test_what_begins_is_seen_in_its_place_at_once_and_forgotten_within_half_a_second_however_many_pictures_are_left_out(
    fps: float,
) -> None:
    """Five pictures a second, of streams of many rates: what is smeared is time, not pictures."""
    begin = START_PICTURES + 10
    meter, seen = EffortMeter(), []
    for index in range(begin + 9):
        grids = picture(index, at_work=begin <= index < begin + 5)
        seen.append(meter.push(grids, 1 / fps, 0.2))
    assert seen[begin - 1].strength.max() == 0
    assert seen[begin + 1].spent[3, 7] == seen[begin + 1].moving[3, 7] == 1
    assert seen[begin + 1].strength[:, 10:].max() == seen[begin + 1].strength[6:].max() == 0
    assert seen[begin + 7].strength.max() == 0


def test_the_first_pictures_have_no_effort() -> None:
    seen = efforts(START_PICTURES + 1, begin=0, step_s=0.1, passed_s=0.2)
    assert all(each.strength.max() == 0 for each in seen[:START_PICTURES])


def test_the_score_is_where_something_is_and_not_where_it_was() -> None:
    meter = EffortMeter()
    begin = START_PICTURES + 10
    for index in range(begin):
        assert _score(meter, picture(index)).max() == 0
    for index in range(begin, begin + 3):
        _score(meter, picture(index, at_work=True, column=5))
    score = _score(meter, picture(begin + 3, at_work=True, column=9))
    assert score[2:5, 9:12].mean() > 2 * score[2:5, 5:8].mean() > 0
    assert score[2:5, 9:12].mean() > 4 * score[6:].mean()


def test_what_lasts_is_told_by_the_peak_and_does_not_blur_where_a_picture_shows_it_by_itself() -> None:
    meter = EffortMeter()
    begin = START_PICTURES + 10
    for index in range(begin):
        meter.push(picture(index), 0.2)
    seen = [meter.push(picture(index, at_work=True), 0.2).steady for index in range(begin, begin + 8)]
    for steady in filter(None, seen[3:]):
        assert steady.peak > 4, "at its most, and half is enough there"
        assert steady.strength[3, 7] == 1
        assert 0 < steady.strength[0].max() < 0.7, "two rows beside what moves"


def _score(meter: EffortMeter, grids: Grids) -> np.ndarray:
    steady = meter.push(grids, 0.2).steady
    assert steady is not None
    return steady.score


@pytest.mark.parametrize("silent_s", [3_600.0, 1e9])
def test_a_camera_that_was_silent_for_long_knows_what_is_usual(silent_s: float) -> None:
    meter = EffortMeter()
    for index in range(60):
        meter.push(picture(index), 0.1, 0.2)
    meter.push(picture(60), silent_s, silent_s)
    after = [meter.push(picture(index), 0.1, 0.2) for index in range(61, 90)]
    assert max(each.area for each in after[1:]) < 0.02, "the wall is as it was"
    at_work = [meter.push(picture(index, at_work=True), 0.1, 0.2) for index in range(90, 95)]
    assert at_work[-1].spent[3, 7] == at_work[-1].moving[3, 7] == 1
