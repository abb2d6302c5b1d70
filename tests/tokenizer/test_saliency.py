"""Saliency: the published map, and block sums that equal the dense ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import published
from repository import GOLDEN

from stream.codec.residual import change_where_moved
from stream.tokenizer.evidence import Scorer, num_p_canvases
from stream.tokenizer.saliency import BlockSums, fused_grid, fused_map, percentile
from stream.units import FrameEvidence

DATA = GOLDEN / "selection"


def evidence(
    residual: np.ndarray, motion: np.ndarray | None = None, bits: np.ndarray | None = None, change: np.ndarray | None = None
) -> FrameEvidence:
    """Evidence of a frame without a picture."""
    return FrameEvidence(
        picture_type="P",
        motion_px=(np.zeros_like(residual) if motion is None else motion).astype(np.float32),
        residual=residual.astype(np.float32),
        change=(residual if change is None else change).astype(np.float32),
        bits=bits,
    )


@pytest.mark.parametrize("number", [0, 1])
def test_the_fused_map_is_the_published_one(number: int) -> None:
    case = np.load(DATA / f"mvres_{number}.npz")
    fused = fused_map(case["mv_quarter_pel"], case["residual_y"])
    np.testing.assert_allclose(fused, case["saliency"], rtol=0, atol=1e-6)


def test_the_grid_is_the_map_where_the_residual_is_constant_in_every_macroblock() -> None:
    random = np.random.default_rng(1)
    vectors = random.normal(0, 12, (5, 7, 2))
    residual = random.integers(0, 127, (5, 7))
    picture = (128 + residual).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    dense = fused_map(vectors, picture, weight_motion=2.0, weight_residual=1.0)
    grid = fused_grid(np.hypot(*np.moveaxis(vectors, 2, 0)) / 4, residual, weight_motion=2.0, weight_residual=1.0)
    per_pixel_scale = np.percentile(residual, 95) / np.percentile(picture.astype(float) - 128, 95)
    if per_pixel_scale == 1.0:
        np.testing.assert_allclose(dense[::16, ::16], grid, atol=1e-6)
    np.testing.assert_allclose(np.corrcoef(dense[::16, ::16].ravel(), grid.ravel())[0, 1], 1.0, atol=1e-3)


@settings(deadline=None, max_examples=100)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    cols=st.integers(1, 3),
    rows=st.integers(1, 3),
    seed=st.integers(0, 999),
)
def test_block_sums_equal_the_dense_sum(width: int, height: int, cols: int, rows: int, seed: int) -> None:
    """The map, brought to canvas size by area, summed pixel by pixel over each block."""
    grid = np.random.default_rng(seed).random((-(-height // 16), -(-width // 16)))
    picture = grid.repeat(16, 0).repeat(16, 1)[:height, :width]
    tall = picture.repeat(28 * rows, axis=0).reshape(28 * rows, height, width).mean(axis=1)
    canvas = tall.repeat(28 * cols, axis=1).reshape(28 * rows, 28 * cols, width).mean(axis=2)
    dense = canvas.reshape(rows, 28, cols, 28).sum(axis=(1, 3))
    np.testing.assert_allclose(BlockSums.between((width, height), (28 * cols, 28 * rows))(grid), dense, rtol=1e-9)


@given(
    values=st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=60),
    percent=st.sampled_from([0.0, 50.0, 95.0, 99.0, 100.0]),
)
def test_percentiles_are_numpy_ones(values: list[float], percent: float) -> None:
    assert percentile(np.sort(values), percent) == pytest.approx(float(np.percentile(values, percent)), rel=1e-9, abs=1e-9)


def test_unusual_bits_are_added_with_their_weight() -> None:
    """A hedge at the bottom costs bits in every picture; at the top something happens."""
    grid, usual = np.full((20, 20), 3.0), np.zeros((20, 20), np.int32)
    usual[-2:] = 2000
    bits = usual.copy()
    bits[:2, :2] = 1000
    plain = Scorer(published(), (320, 320)).scores(evidence(grid, bits=bits))
    scorer = Scorer(published(weight_bits=0.5), (320, 320))
    np.testing.assert_array_equal(scorer.scores(evidence(grid, bits=bits)), plain)
    scorer.learn(evidence(grid, bits=usual))
    prior = scorer.scores(evidence(grid, bits=bits))
    unknown = scorer.scores(evidence(grid))
    assert prior[-1, -1] == plain[-1, -1]
    assert prior[0, 0] > plain[0, 0] + 0.3 * 784
    assert prior[5, 5] == plain[5, 5]
    np.testing.assert_array_equal(unknown, plain)


def active(before: np.ndarray, after: np.ndarray, residual: np.ndarray, motion: np.ndarray) -> int:
    """Active blocks between two grey 640x360 pictures with given evidence."""
    change = residual.astype(np.float32)
    for row in range(len(change)):
        change_where_moved(after.reshape(-1), before.reshape(-1), (640, 640), 640, 360, row, motion, change)
    judged = Scorer(published(), (640, 360)).judge(evidence(residual, motion, change=change))
    return judged.num_active if judged is not None else 0


def test_noise_activates_no_block_and_a_small_object_does() -> None:
    random = np.random.default_rng(0)
    still, grey = np.zeros((23, 40)), np.full((360, 640), 90, np.uint8)
    for level in (0.05, 0.5, 2.5):
        assert active(grey, grey, random.gamma(4.0, level / 4.0, (23, 40)), still) == 0
    noisy = random.gamma(4.0, 0.2, (23, 40))
    noisy[10:13, 20:22] += 12.0
    assert 2 <= active(grey, grey, noisy, still) <= 9


def test_an_object_that_moves_evenly_is_active_though_nothing_is_left_to_code() -> None:
    before = np.full((360, 640), 90, np.uint8)
    after = before.copy()
    before[160:256, 320:368], after[160:256, 328:376] = 200, 200
    motion = np.zeros((23, 40))
    assert active(before, after, np.zeros((23, 40)), motion) == 0, "nothing coded, nothing moved: an encoder saw no change"
    motion[10:16, 20:24] = 8.0
    assert active(before, after, np.zeros((23, 40)), motion) >= 3
    assert active(before, before, np.zeros((23, 40)), motion) == 0, "vectors that point at noise change nothing"


def test_a_new_scene_is_active_everywhere() -> None:
    grey = np.full((360, 640), 90, np.uint8)
    assert active(grey, grey, np.full((23, 40), 40.0), np.zeros((23, 40))) == 180


def test_canvases_grow_with_activity_from_none_to_all() -> None:
    settings = published(still_share=0.25, canvases_per_group=4)
    counts = [num_p_canvases(active, 20, 180, settings) for active in range(0, 400)]
    assert counts[0] == counts[9] == 0
    assert counts[10] == 1
    assert counts == sorted(counts)
    assert counts[-1] == 3
    assert num_p_canvases(400, 2, 180, settings) == 2, "never more canvases than the frames can fill"
    assert num_p_canvases(0, 5, 180, published(still_share=0.0)) == 3
