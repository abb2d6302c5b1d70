"""Effort: what agrees and what stands out, not what is noisy."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from stream.codec.effort import Effort, EffortMeter

SIZE = (23, 40)
STEP_S = 0.1


@dataclass(frozen=True)
class Grids:
    """Grids of a made-up P picture."""

    levels: np.ndarray
    qp: np.ndarray
    intra: np.ndarray
    vectors: np.ndarray
    bits: np.ndarray
    picture_type: str = "P"
    refused: str = ""
    is_whole: bool = True


def noisy(random: np.random.Generator, *, size: tuple[int, int] = SIZE) -> Grids:
    """A still picture of a dark scene: levels and vectors everywhere, of nothing."""
    return Grids(
        levels=random.poisson(6, size).astype(np.int32),
        qp=np.full(size, 26, np.int8),
        intra=np.zeros(size, bool),
        vectors=random.integers(-6, 7, (*size, 4, 4, 2)).astype(np.int16).mean((2, 3), keepdims=True).repeat(4, 2).repeat(4, 3),
        bits=np.zeros(size, np.int32),
    )


def walking(grids: Grids, column: int) -> Grids:
    """Somebody three macroblocks wide goes to the right, four pixels a picture."""
    vectors = grids.vectors.copy()
    vectors[8:13, column : column + 3] = (16, 0)
    return replace(grids, vectors=vectors)


def last(pictures: list[Grids]) -> Effort:
    meter = EffortMeter()
    return [meter.push(grids, STEP_S) for grids in pictures][-1]


def test_noise_is_nothing_and_somebody_who_walks_through_it_is_seen_where_they_are() -> None:
    random = np.random.default_rng(1)
    still = [noisy(random) for _ in range(100)]
    assert not last(still).is_active
    effort = last([*still, *(walking(noisy(random), 20) for _ in range(5))])
    assert effort.is_active
    assert effort.moving[10, 21] == 1.0
    assert effort.moving[:, :16].max() < 0.5
    assert effort.score[10, 21] > 0.3
    assert effort.area < 0.1


def test_coefficients_that_a_place_never_has_are_seen_and_those_of_the_whole_picture_are_not() -> None:
    random = np.random.default_rng(2)
    still = [noisy(random) for _ in range(100)]

    def lit(where: tuple[slice, slice]) -> list[Grids]:
        pictures = []
        for _ in range(4):
            grids = noisy(random)
            grids.levels[where] += 40
            pictures.append(grids)
        return pictures

    door = last([*still, *lit((slice(5, 9), slice(30, 34)))])
    assert door.spent[6, 31] == 1.0
    assert door.is_active
    lamp = last([*still, *lit((slice(None), slice(None)))])
    assert lamp.spent.max() < 0.5, "the rate control after a keyframe does the same"


def test_what_goes_on_for_long_becomes_usual_and_what_is_rare_does_not() -> None:
    random = np.random.default_rng(3)
    tree = [walking(noisy(random), 5) if index % 3 else noisy(random) for index in range(4000)]
    assert not last([*tree, walking(noisy(random), 5)]).is_active
    passer = [walking(noisy(random), 5) if index % 50 < 5 else noisy(random) for index in range(4000)]
    assert last([*passer, *(walking(noisy(random), 5) for _ in range(4))]).is_active


def test_intra_macroblocks_neither_move_nor_spend() -> None:
    random = np.random.default_rng(4)
    refreshed = walking(noisy(random), 10)
    refreshed.intra[:, 8:16] = True
    refreshed.levels[:, 8:16] = 500
    effort = last([*(noisy(random) for _ in range(60)), refreshed])
    assert not effort.is_active


def test_another_size_begins_anew() -> None:
    random = np.random.default_rng(5)
    meter = EffortMeter()
    meter.push(noisy(random), STEP_S)
    assert meter.push(noisy(random, size=(9, 11)), STEP_S).moving.shape == (9, 11)


@pytest.mark.parametrize("step_s", [0.04, 0.2])
def test_speed_counts_in_seconds_whatever_the_rate_of_pictures(step_s: float) -> None:
    random = np.random.default_rng(6)
    meter = EffortMeter()
    for _ in range(60):
        meter.push(noisy(random), step_s)
    quarter_pels = round(4 * 40.0 * step_s)  # 40 pixels a second
    for _ in range(12):
        grids = noisy(random)
        grids.vectors[8:13, 20:23] = (quarter_pels, 0)
        effort = meter.push(grids, step_s)
    assert effort.moving[10, 21] == 1.0
