"""Block selection: the published choices, and what packing promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repository import GOLDEN

from ov2.canvas import BLOCK_PX
from stream.tokenizer.pack import canvas_size, pack
from stream.tokenizer.readiness import mean_readiness
from stream.tokenizer.selection import frame_masses, readiness_groups, stratified, topk

DATA = GOLDEN / "selection"


class FrozenFrame:
    """A source frame whose picture is given."""

    def __init__(self, frame_id: int, media_s: float, picture: np.ndarray) -> None:
        self.frame_id = frame_id
        self.media_s = media_s
        self.picture = picture

    def paint(self, canvas_wh: tuple[int, int], rows_cols: np.ndarray, canvases: np.ndarray, first_tile: int) -> None:
        assert canvas_wh == (self.picture.shape[1], self.picture.shape[0])
        num, height, width, _ = canvases.shape
        tiles = canvases.reshape(num, height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX, BLOCK_PX, 3).transpose(0, 1, 3, 2, 4, 5)
        for tile, (r, c) in enumerate(rows_cols, first_tile):
            canvas, row, column = np.unravel_index(tile, tiles.shape[:3])
            crop = self.picture[r * BLOCK_PX : (r + 1) * BLOCK_PX, c * BLOCK_PX : (c + 1) * BLOCK_PX]
            tiles[canvas, row, column] = crop

    def let_go(self) -> None:
        """Its picture costs nothing."""


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_stratified_choice_is_the_published_one(number: int) -> None:
    case = np.load(DATA / f"stratified_{number}.npz")
    chosen = stratified(case["block_scores"], int(case["n_p_canvases"]))
    np.testing.assert_array_equal(chosen, case["chosen"])


@pytest.mark.parametrize("number", [1, 2])
def test_readiness_groups_are_the_published_ones(number: int) -> None:
    case = np.load(DATA / f"readiness_{number}.npz")
    height, width = (int(side) for side in case["grid_hw"])
    assert mean_readiness(case["block_scores"], 3 * height * width // 4) == pytest.approx(float(case["threshold"]), rel=1e-6)
    groups = readiness_groups(case["block_scores"], (height, width))
    np.testing.assert_array_equal(groups, case["groups"])


def test_readiness_ends_where_it_was_last_ready_when_gains_stay_high() -> None:
    """Every frame is better than all before, so no gain is low. Twelve frames fit: from the 18th on, the best ones have left
    the first third, frames 1 to 5. In the second case the threshold is out of reach."""
    rising = np.multiply.outer(2.0 ** np.arange(40), np.ones(4))
    assert readiness_groups(rising, (4, 4), threshold=0.0, max_frames=20, canvases_per_group=13)[0] == (0, 17)
    assert readiness_groups(rising, (4, 4), threshold=1e30, max_frames=16) == [(0, 16), (16, 32), (32, 40)]


@pytest.mark.parametrize("number", [0, 1])
def test_topk_canvases_are_the_published_ones(number: int) -> None:
    case = np.load(DATA / f"topk_{number}.npz")
    pictures = case["frames_bgr"][..., ::-1]
    num, height, width, _ = case["canvases_rgb"].shape
    frames = [FrozenFrame(int(i), float(i), picture) for i, picture in zip(case["frame_ids"], pictures, strict=True)]
    packed = pack(frames, topk(case["block_scores"], num - 1), (width, height))
    np.testing.assert_array_equal(packed.canvases, case["canvases_rgb"])
    np.testing.assert_array_equal(packed.positions, case["src_patch_position"])


scores = st.builds(
    lambda shape, seed, kind: _scores(shape, seed, kind),
    st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4)),
    st.integers(0, 1000),
    st.sampled_from(["noise", "ties", "still", "burst"]),
)


def _scores(shape: tuple[int, int, int], seed: int, kind: str) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = random.random(shape)
    if kind == "ties":
        values = np.round(values * 3)
    if kind == "still":
        values[:] = 0
    if kind == "burst":
        values[random.integers(shape[0])] *= 1000
    return values.astype(np.float32)


@settings(deadline=None, max_examples=200)
@given(scores=scores, num=st.integers(0, 6), policy=st.sampled_from([stratified, topk]))
def test_a_choice_fills_its_canvases_never_repeats_and_never_takes_the_anchor(scores: np.ndarray, num: int, policy) -> None:  # type: ignore[no-untyped-def]
    chosen = policy(scores, num)
    frames, rows, cols = scores.shape
    assert len(chosen) == min(num, frames - 1) * rows * cols
    assert len({tuple(block) for block in chosen}) == len(chosen)
    assert (chosen >= [1, 0, 0]).all()
    assert (chosen < [frames, rows, cols]).all()


@settings(deadline=None)
@given(scores=scores, num=st.integers(1, 4))
def test_topk_leaves_nothing_better_behind(scores: np.ndarray, num: int) -> None:
    taken = np.zeros(scores.shape, bool)
    taken[tuple(topk(scores, num).T)] = True
    left = scores[1:][~taken[1:]]
    if taken.any() and left.size:
        assert scores[taken].min() >= left.max()


def test_a_canvas_shows_its_own_share_of_the_evidence() -> None:
    """Two bursts of equal mass, early and late: each gets one of two canvases, whatever their order of strength."""
    scores = np.full((40, 3, 3), 1e-4, np.float32)
    scores[5, :, :] = scores[33, :, :] = 10.0
    chosen = stratified(scores, 2)
    assert {int(frame) for frame in chosen[:9, 0]} == {5}
    assert 33 in chosen[9:, 0]


def test_a_canvas_that_its_share_cannot_fill_widens_about_its_centre_first() -> None:
    """All but nothing is in frame 5; the second canvas finds it used and takes its neighbour, not the stronger frame 2."""
    scores = np.zeros((12, 2, 2), np.float32)
    scores[5], scores[4], scores[2] = 100.0, 1e-5, 0.01
    assert {int(frame) for frame in stratified(scores, 2)[:4, 0]} == {5}
    assert {int(frame) for frame in stratified(scores, 2)[4:, 0]} == {4}
    assert {int(frame) for frame in topk(scores, 2)[4:, 0]} == {2}


def test_a_strong_block_weighs_more_than_its_rank_alone() -> None:
    scores = np.array([[[0.0, 0.0]], [[4.0, 1.0]]])
    assert frame_masses(scores)[1] == pytest.approx(4.0 + 1.0 / np.sqrt(1.35) + 0.35 * 4.0)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    num_frames=st.integers(2, 6),
    rows=st.integers(1, 3),
    cols=st.integers(1, 3),
    num=st.integers(0, 4),
)
def test_every_patch_shows_the_pixels_of_its_position(seed: int, num_frames: int, rows: int, cols: int, num: int) -> None:
    random = np.random.default_rng(seed)
    shape = (rows * BLOCK_PX, cols * BLOCK_PX, 3)
    frames = [FrozenFrame(10 + 3 * i, i / 4, random.integers(0, 256, shape, np.uint8)) for i in range(num_frames)]
    num = min(num, num_frames - 1)
    packed = pack(frames, stratified(random.random((num_frames, rows, cols)), num), (shape[1], shape[0]))
    assert packed.canvases.shape == (1 + num, *shape)
    np.testing.assert_array_equal(packed.canvases[0], frames[0].picture)
    by_id = {frame.frame_id: frame.picture for frame in frames}
    tiles = (
        packed.canvases.reshape(1 + num, rows, 2, 14, cols, 2, 14, 3).transpose(0, 1, 4, 2, 5, 3, 6, 7).reshape(-1, 14, 14, 3)
    )
    for (frame_id, row, col), tile in zip(packed.positions, tiles, strict=True):
        np.testing.assert_array_equal(tile, by_id[frame_id][row * 14 : row * 14 + 14, col * 14 : col * 14 + 14])


def test_blocks_stand_in_time_order_and_runs_say_when() -> None:
    picture = np.zeros((28, 56, 3), np.uint8)
    frames = [FrozenFrame(i, i / 2, picture) for i in range(3)]
    packed = pack(frames, np.array([[2, 0, 1], [1, 0, 1], [2, 0, 0], [1, 0, 0]]), (56, 28))
    assert packed.runs == ((0.0, 2), (0.5, 2), (1.0, 2))
    assert packed.positions[::4].tolist() == [[0, 0, 0], [0, 0, 2], [1, 0, 0], [1, 0, 2], [2, 0, 0], [2, 0, 2]]


class CountedFrame(FrozenFrame):
    """One that knows which of its kind may still be painted."""

    def __init__(self, frame_id: int, picture: np.ndarray, held: set[int]) -> None:
        super().__init__(frame_id, frame_id / 2, picture)
        self.held = held

    def paint(self, canvas_wh: tuple[int, int], rows_cols: np.ndarray, canvases: np.ndarray, first_tile: int) -> None:
        assert min(self.held) == self.frame_id, "expected those before it to be let go"
        super().paint(canvas_wh, rows_cols, canvases, first_tile)

    def let_go(self) -> None:
        self.held.remove(self.frame_id)


def test_a_frame_that_is_painted_is_let_go_before_the_next_is_decoded() -> None:
    held = {0, 1, 2}
    frames = [CountedFrame(number, np.zeros((28, 56, 3), np.uint8), held) for number in range(3)]
    pack(frames, np.array([[2, 0, 1], [1, 0, 1], [2, 0, 0], [1, 0, 0]]), (56, 28), lets_go=True)
    assert not held


@given(width=st.integers(16, 4096), height=st.integers(16, 4096), most=st.integers(784, 1_000_000))
def test_canvas_sides_are_whole_blocks_within_the_budget(width: int, height: int, most: int) -> None:
    canvas_width, canvas_height = canvas_size(width, height, most)
    assert canvas_width % BLOCK_PX == canvas_height % BLOCK_PX == 0
    assert min(canvas_width, canvas_height) >= BLOCK_PX
    if min(width, height) * min(1.0, (most / (width * height)) ** 0.5) >= BLOCK_PX:
        assert canvas_width * canvas_height <= most
