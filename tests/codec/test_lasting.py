"""Lasting: what is too weak for half a second is seen over two, and goes on where something was; noise does neither, and all of it ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stream.codec import lasting as compiled
from stream.codec.lasting import RECENT_S

ROWS, COLUMNS, STEP_S = 23, 40, 0.2
ACTOR = (slice(8, 16), slice(20, 24))
"""Of four by eight macroblocks, as large as somebody on the yard at 640x360."""


class Lasting:
    """The state of a stream."""

    def __init__(self) -> None:
        self._wide, self._recent = np.zeros(ROWS * COLUMNS, np.float32), np.zeros(ROWS * COLUMNS, np.float32)

    def raised(self, level: np.ndarray, deviations: np.ndarray, passed_s: float, *, is_sure: bool) -> np.ndarray:
        levels, counted = level.astype(np.float32).reshape(-1), deviations.astype(np.float32).reshape(-1)
        room = np.empty_like(levels), np.empty_like(levels), np.empty_like(levels)
        raised = np.empty_like(levels)
        compiled.raise_levels(levels, raised, counted, self._wide, self._recent, room, COLUMNS, passed_s, is_sure)
        return raised.reshape(level.shape)


def mean_around(values: np.ndarray, reach: int) -> np.ndarray:
    mean = np.empty_like(values)
    compiled.mean_around(values.reshape(-1), values.shape[1], reach, np.empty(values.size, np.float32), mean.reshape(-1))
    return mean


class Watch:
    """Deviations as of a noisy night, and somebody who adds to them: the levels with and without what lasts, where the actor is."""

    def __init__(self, adds: Callable[[float], float], *, seed: int = 1) -> None:
        self._adds = adds
        self._chance = np.random.default_rng(seed)
        self._lasting = Lasting()
        self._now_s = 0.0

    def peaks(self, seconds: float) -> np.ndarray:
        """Of every picture: plain and raised, [n, 2]."""
        peaks = []
        for _ in range(round(seconds / STEP_S)):
            noise = mean_around(self._chance.normal(0.0, 1.5, (ROWS, COLUMNS)).astype(np.float32), 1)
            noise[ACTOR] += self._adds(self._now_s)
            deviations = np.clip(noise, 0, 10)
            level = mean_around(deviations, 1) / np.float32(3.2)
            raised = self._lasting.raised(level, deviations, STEP_S, is_sure=True)
            peaks.append((level.max(), raised.max()))
            self._now_s += STEP_S
        return np.array(peaks)


def test_noise_is_nothing_for_an_hour() -> None:
    peaks = Watch(lambda now_s: 0.0).peaks(3_600.0)
    assert peaks.max() < 0.8
    np.testing.assert_allclose(peaks[:, 1], np.maximum(peaks[:, 0], peaks[:, 1]))


def test_a_weak_actor_is_seen_within_two_seconds_and_over_two_seconds_after_he_left() -> None:
    watch = Watch(lambda now_s: 2.0 if 20.0 <= now_s < 60.0 else 0.0)
    assert watch.peaks(20.0).max() < 1
    watch.peaks(2.0)
    plain, raised = watch.peaks(38.0).T
    assert plain.max() < 1, "too weak for half a second"
    assert raised.min() >= 1
    watch.peaks(2.0)
    assert watch.peaks(60.0).max() < 1


def test_what_was_strong_goes_on_with_half_of_it_in_its_place_and_nowhere_else() -> None:
    level = np.zeros((ROWS, COLUMNS), np.float32)
    lasting = Lasting()

    def raised(row: int, value: float) -> float:
        level[:] = 0
        level[row, 5] = value
        return float(lasting.raised(level, np.zeros_like(level), STEP_S, is_sure=True).max())

    assert [raised(5, 0.6), raised(5, 1.2)] == [pytest.approx(0.6), pytest.approx(1.2)]
    assert raised(5, 0.7) < 1, "one strong picture is none"
    assert raised(5, 1.2) >= 1
    assert raised(5, 1.2) >= 1
    assert raised(20, 0.9) < 1, "elsewhere"
    assert [raised(8, 0.6) >= 1 for _ in range(100)] == [True] * 100, "a step aside"
    assert raised(15, 0.6) < 1, "seven steps aside"


def test_a_ground_that_a_rate_control_catches_up_with_is_not_carried_on_by_the_crowd_before_it() -> None:
    """As on the street of 400 kbit/s: up to 1.13 deviations in neighbourhoods of 5 x 5, for ten seconds after all have left, and more."""
    lasting = Lasting()
    crowd, ground = np.full((ROWS, COLUMNS), 8.0, np.float32), np.full((ROWS, COLUMNS), 1.13, np.float32)
    for _ in range(50):
        assert lasting.raised(crowd / 3.2, crowd, STEP_S, is_sure=True).max() >= 1
    peaks = [float(lasting.raised(ground / 3.2, ground, STEP_S, is_sure=True).max()) for _ in range(100)]
    assert max(peaks[round((RECENT_S + 4.0) / STEP_S) :]) < 1


def test_nothing_is_learnt_of_pictures_of_which_nobody_knows_what_is_usual() -> None:
    nothing = np.zeros((ROWS, COLUMNS), np.float32)
    for level, deviations, later in ((nothing + 1.2, nothing, (0.7, 0.0)), (nothing, nothing + 3.0, (0.0, 1.1))):
        lasting = Lasting()
        for _ in range(20):
            lasting.raised(level, deviations, STEP_S, is_sure=False)
        assert lasting.raised(nothing + later[0], nothing + later[1], STEP_S, is_sure=True).max() < 1


def test_where_few_pictures_are_read_no_single_one_counts_as_all_of_two_seconds() -> None:
    lasting, quiet = Lasting(), np.zeros((ROWS, COLUMNS), np.float32)
    burst = np.full_like(quiet, 3.0)
    lasting.raised(quiet, quiet, 5.0, is_sure=True)
    assert lasting.raised(quiet, burst, 5.0, is_sure=True).max() < 0.5


@pytest.mark.parametrize("reach", [1, 2, 3])
def test_the_mean_around_is_that_of_a_window_with_nothing_outside(reach: int) -> None:
    values = np.random.default_rng(3).random((5, 9)).astype(np.float32)
    padded = np.pad(values, reach)
    width = 2 * reach + 1
    expected = np.lib.stride_tricks.sliding_window_view(padded, (width, width)).mean((2, 3))
    np.testing.assert_allclose(mean_around(values, reach), expected, rtol=1e-5)
