"""The compiled pass of the meter is its formula, and nothing else: NumPy, a step at a time, says the same of films and of noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plain_effort import PlainMeter

from stream.codec import effort_pass
from stream.codec.codec import BlockGrids
from stream.codec.effort import Effort, EffortMeter, warm_up
from stream.codec.h264.slice_data import MacroblockParser
from stream.codec.selection import median_of, ranked
from stream.sources import open_source

STEPS_S = (0.1, 0.2, 0.04, 0.5, 0.2)
CLOSE = 1e-4


def pictures(path: Path) -> list[BlockGrids]:
    """P pictures, those of a quarter of the film at rest: nothing is spent, nothing moves."""
    parser = MacroblockParser(with_motion=True)
    with open_source(str(path)) as packets:
        frames = [frame for packet in packets if (frame := parser.push(packet.data)) is not None and frame.picture_type == "P"]
    still = [
        replace(each, levels=each.levels // 40, mean_vectors=np.zeros_like(each.mean_vectors))
        for each in frames[: len(frames) // 2]
    ]
    return [*still, *frames, *still, *frames[::-1]]


def assert_alike(one: Effort, other: Effort, context: str) -> None:
    assert one.steady is not None
    assert other.steady is not None
    pairs = {
        "moving": (one.moving, other.moving),
        "spent": (one.spent, other.spent),
        "strength": (one.steady.strength, other.steady.strength),
        "score": (one.steady.score, other.steady.score),
        "peak": (one.steady.peak, other.steady.peak),
        "area": (one.steady.area, other.steady.area),
    }
    for name, (ours, plain) in pairs.items():
        np.testing.assert_allclose(ours, plain, atol=CLOSE, rtol=CLOSE, err_msg=f"{name}, {context}")


@pytest.mark.parametrize("name", ["cbr_lowdelay", "cavlc_baseline", "slices4_cabac"])
def test_the_compiled_pass_says_what_the_formula_says(golden: Path, name: str) -> None:
    ours, plain = EffortMeter(), PlainMeter()
    since_key_s, seen = 0.0, 0.0
    for number, grids in enumerate(pictures(golden / "macroblock" / f"{name}.mp4")):
        step_s, passed_s = STEPS_S[number % 5], STEPS_S[number * 7 % 5] / (1 if number % 31 else 20)
        since_key_s = 0.0 if number % 20 == 0 else since_key_s + passed_s
        one = ours.push(grids, step_s, passed_s, since_key_s=since_key_s)
        other = plain.push(grids, step_s, passed_s, since_key_s=since_key_s)
        assert_alike(one, other, f"picture {number}")
        seen = max(seen, other.spent.max(), other.moving.max())
    assert number > 60
    assert seen == 1.0, "something was at work, or nothing was compared"


def test_many_pictures_within_half_a_second_all_count(golden: Path) -> None:
    """More than there is room for at first."""
    ours, plain = EffortMeter(), PlainMeter()
    for number, grids in enumerate(pictures(golden / "macroblock" / "cbr_lowdelay.mp4")[:120]):
        assert_alike(ours.push(grids, 0.02), plain.push(grids, 0.02), f"picture {number}")


def test_a_picture_of_another_size_starts_anew(golden: Path) -> None:
    small, large = (pictures(golden / "macroblock" / f"{name}.mp4") for name in ("cavlc_baseline", "cbr_lowdelay"))
    small = [
        replace(each, **{grid: getattr(each, grid)[:, :5].copy() for grid in ("levels", "qp", "kind", "mean_vectors")})
        for each in small
    ]
    ours = EffortMeter()
    for grids in small[:40]:
        ours.push(grids, 0.2)
    fresh = EffortMeter()
    for number, grids in enumerate(large[:40]):
        assert_alike(ours.push(grids, 0.2), fresh.push(grids, 0.2), f"picture {number}")


@pytest.mark.parametrize("num", [1, 2, 3, 10, 919, 920])
def test_medians_and_ranks_are_those_of_sorted_numbers(num: int) -> None:
    chance = np.random.default_rng(num)
    for values in (
        chance.normal(size=num),
        np.zeros(num),
        chance.integers(-2, 3, num),
        1 + 1e-3 * chance.normal(size=num),
        chance.choice([0.0, -0.0, 1e-38, -1e38, 3e38], num),
    ):
        numbers, room = values.astype(np.float32), np.empty(num, np.float32)
        kept = numbers.copy()
        assert median_of(numbers, room) == np.median(np.sort(numbers)), values
        for rank in {0, num // 3, num - 1}:
            assert ranked(numbers, rank, room) == np.sort(numbers)[rank]
        np.testing.assert_array_equal(numbers, kept)


def test_nothing_is_left_to_compile_when_the_first_picture_comes(golden: Path) -> None:
    warm_up()
    compiled = list(effort_pass.measure.signatures)  # type: ignore[attr-defined]
    meter = EffortMeter()
    for grids in pictures(golden / "macroblock" / "cavlc_baseline.mp4")[:40]:
        meter.push(grids, 0.2, since_key_s=0.5)
    assert effort_pass.measure.signatures == compiled  # type: ignore[attr-defined]
