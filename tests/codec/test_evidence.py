"""Evidence against a slow and plain truth: motion and residual per macroblock, and the picture behind them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from clips import scene, write_clip

from stream.codec.decode import DecodedFrame, Decoder
from stream.codec.evidence import measure
from stream.codec.picture import Picture
from stream.codec.resample import area_taps
from stream.sources import open_source


def frames_of(path: Path, limit: int = 12) -> list[DecodedFrame]:
    decoder = Decoder()
    frames: list[DecodedFrame] = []
    with open_source(str(path)) as source:
        for packet in source:
            frames += decoder.push(packet)
            if len(frames) >= limit:
                return frames[:limit]
    return frames + decoder.flush()


def luma(frame: DecodedFrame) -> np.ndarray:
    return np.asarray(frame.picture.to_ndarray()[: frame.height], np.int64)


def truth(frame: DecodedFrame, previous: DecodedFrame) -> tuple[np.ndarray, np.ndarray]:
    """Motion and residual, pixel by pixel, from their definition."""
    now, then = luma(frame), luma(previous)
    height, width = now.shape
    rows, columns = -(-height // 16), -(-width // 16)
    motion = np.zeros((rows * 16, columns * 16, 2), np.int64)
    kind = np.zeros((rows * 16, columns * 16), np.int64)
    for vector in frame.picture.side_data.get("MOTION_VECTORS") or ():
        assert vector.motion_scale == 4
        this = 2 if vector.source < 0 else 1
        top, left = vector.dst_y - vector.h // 2, vector.dst_x - vector.w // 2
        for y in range(max(0, top), min(rows * 16, top + vector.h)):
            for x in range(max(0, left), min(columns * 16, left + vector.w)):
                if this >= kind[y, x]:
                    kind[y, x] = this
                    motion[y, x] = vector.motion_x, vector.motion_y
    magnitude = np.hypot(motion[..., 0], motion[..., 1]) / 4
    motion[kind != 2] = 0
    ys, xs = np.mgrid[:height, :width]
    mx, my = motion[:height, :width, 0], motion[:height, :width, 1]

    def at(dy: int, dx: int) -> np.ndarray:
        return then[np.clip(ys + (my >> 2) + dy, 0, height - 1), np.clip(xs + (mx >> 2) + dx, 0, width - 1)]

    fx, fy = mx & 3, my & 3
    moved = ((4 - fy) * ((4 - fx) * at(0, 0) + fx * at(0, 1)) + fy * ((4 - fx) * at(1, 0) + fx * at(1, 1)) + 8) >> 4
    difference = np.abs(now - moved)
    residual = np.zeros((rows, columns))
    for r in range(rows):
        for c in range(columns):
            residual[r, c] = difference[r * 16 : r * 16 + 16, c * 16 : c * 16 + 16].mean()
    return magnitude.reshape(rows, 16, columns, 16).mean((1, 3)), residual


@pytest.mark.parametrize("name", ["cabac_main_b3", "slices4_cabac", "cbr_lowdelay", "high_8x8_cavlc"])
def test_grids_equal_the_plain_truth_on_real_streams(golden: Path, name: str) -> None:
    for previous, frame in list(pairwise(frames_of(golden / "macroblock" / f"{name}.mp4")))[::4]:
        motion, residual = truth(frame, previous)
        evidence = measure(frame, previous)
        np.testing.assert_allclose(evidence.motion_px, motion, atol=1e-4)
        np.testing.assert_allclose(evidence.residual, residual, atol=1e-4)


def test_grids_cover_the_displayed_picture_and_no_more(tmp_path: Path) -> None:
    frames = frames_of(write_clip(tmp_path / "odd.mp4", width=186, height=122, num_frames=6))
    for previous, frame in pairwise(frames):
        motion, residual = truth(frame, previous)
        evidence = measure(frame, previous)
        assert evidence.residual.shape == evidence.motion_px.shape == (8, 12)
        assert evidence.residual.dtype == evidence.motion_px.dtype == np.float32
        np.testing.assert_allclose(evidence.motion_px, motion, atol=1e-4)
        np.testing.assert_allclose(evidence.residual, residual, atol=1e-4)


def test_a_pan_shows_as_motion_and_hardly_as_residual(tmp_path: Path) -> None:
    wide = np.random.default_rng(3).integers(0, 255, (96, 400, 3), dtype=np.uint8)
    wide = wide.reshape(24, 4, 100, 4, 3).mean((1, 3)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
    clip = write_clip(
        tmp_path / "pan.mp4", num_frames=8, draw=lambda i: wide[:, 4 * i : 4 * i + 160], bf="0", g="100", crf="18"
    )
    previous, frame = frames_of(clip)[4:6]
    evidence = measure(frame, previous)
    in_place = np.abs(luma(frame) - luma(previous)).mean()
    assert np.median(evidence.motion_px) == pytest.approx(4.0, abs=0.5)
    assert evidence.residual.mean() < 0.25 * in_place


def test_change_shows_where_the_square_moves(tmp_path: Path) -> None:
    still, moving = scene(160, 96), scene(160, 96)
    clip = write_clip(tmp_path / "clip.mp4", num_frames=6, draw=lambda i: moving(20) if i == 5 else still(0), g="100", crf="20")
    frames = frames_of(clip)
    quiet, busy = measure(frames[4], frames[3]), measure(frames[5], frames[4])
    assert quiet.residual.max() < 2
    assert busy.residual[2:4, 3:6].mean() > 10 * busy.residual[0].mean()


def test_an_intra_picture_is_compared_in_place(golden: Path) -> None:
    frames = frames_of(golden / "macroblock" / "cbr_lowdelay.mp4", limit=200)
    number = [frame.frame_id for frame in frames if frame.is_key][1]
    evidence = measure(frames[number], frames[number - 1])
    difference = np.abs(luma(frames[number]) - luma(frames[number - 1])).reshape(15, 16, 20, 16).mean((1, 3))
    assert not evidence.motion_px.any()
    np.testing.assert_allclose(evidence.residual, difference, atol=1e-4)


def test_without_a_previous_picture_of_its_size_there_is_no_residual(golden: Path, tmp_path: Path) -> None:
    frame = frames_of(golden / "macroblock" / "cbr_lowdelay.mp4", limit=2)[1]
    other = frames_of(write_clip(tmp_path / "small.mp4", num_frames=1))[0]
    for previous in (None, other):
        evidence = measure(frame, previous)
        assert not evidence.residual.any()
        assert evidence.motion_px.any()
    assert evidence.bits is None
    assert evidence.picture_type == frame.picture_type


def test_a_codec_without_vectors_falls_back_to_plain_difference(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", codec="libx265", num_frames=6, **{"x265-params": "log-level=none:pools=1"})
    frames = frames_of(clip)
    evidence = measure(frames[3], frames[2])
    difference = np.abs(luma(frames[3]) - luma(frames[2])).reshape(6, 16, 10, 16).mean((1, 3))
    assert not evidence.motion_px.any()
    np.testing.assert_allclose(evidence.residual, difference, atol=1e-4)


def test_ten_bit_pictures_are_measured_as_eight(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "deep.mp4", pixels="yuv420p10le", num_frames=4, profile="high10")
    frames = frames_of(clip)
    evidence = measure(frames[2], frames[1])
    assert 0 < evidence.residual.max() < 255
    assert Picture(frames[2].picture)(56, 28).shape == (28, 56, 3)


def area_mean(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Exact area-weighted resize, by one matrix of overlaps on each side."""

    def overlaps(source: int, target: int) -> np.ndarray:
        low, high = np.arange(target)[:, None] * source / target, (np.arange(target) + 1)[:, None] * source / target
        cells = np.arange(source)[None]
        return np.clip(np.minimum(high, cells + 1) - np.maximum(low, cells), 0, None) * target / source

    return overlaps(plane.shape[0], height) @ plane @ overlaps(plane.shape[1], width).T


def test_the_picture_is_the_area_mean_of_its_planes(golden: Path) -> None:
    frame = frames_of(golden / "macroblock" / "cabac_main_b3.mp4", limit=5)[4].picture
    planes = frame.to_ndarray()
    y = area_mean(planes[:240, :320], 84, 112)
    u, v = (area_mean(planes[at : at + 60].reshape(120, 160), 42, 56).repeat(2, 0).repeat(2, 1) - 128 for at in (240, 300))
    luma_ = 255 / 219 * (y - 16)
    red, green, blue = luma_ + 1.596 * v, luma_ - 0.392 * u - 0.813 * v, luma_ + 2.017 * u
    expected = np.clip(np.stack([red, green, blue], -1), 0, 255)
    assert np.abs(Picture(frame)(112, 84) - expected).max() < 2


@pytest.mark.parametrize("size", [(280, 196), (308, 224), (28, 28), (336, 252)])
def test_blocks_are_the_bytes_of_the_whole_picture(golden: Path, size: tuple[int, int]) -> None:
    picture = Picture(frames_of(golden / "macroblock" / "cabac_main_b3.mp4", limit=5)[4].picture)
    width, height = size
    where = np.array([(r, c) for r in range(height // 28) for c in range(width // 28)])
    tiles = picture(width, height).reshape(height // 28, 28, width // 28, 28, 3)
    where = np.concatenate([where[:: 1 + len(where) // 5], where, where[::-1]])
    canvases = np.zeros((len(where) + 2, 28, 28, 3), np.uint8)
    picture.paint(width, height, where, canvases, 1)
    assert np.array_equal(canvases[1:-1], tiles[where[:, 0], :, where[:, 1]])
    assert not canvases[[0, -1]].any()


def test_blocks_follow_each_other_from_canvas_to_canvas(golden: Path) -> None:
    picture = Picture(frames_of(golden / "macroblock" / "cabac_main_b3.mp4", limit=5)[4].picture)
    where = np.array([(r, c) for r in range(7) for c in range(10)])
    canvases = np.zeros((5, 84, 140, 3), np.uint8)
    picture.paint(280, 196, where, canvases, 3)
    whole = picture(280, 196).reshape(7, 28, 10, 28, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 28, 28, 3)
    painted = canvases.reshape(5, 3, 28, 5, 28, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 28, 28, 3)
    assert np.array_equal(painted[3:73], whole)
    assert not painted[:3].any()
    assert not painted[73:].any()


def test_blocks_outside_the_picture_are_refused(golden: Path) -> None:
    picture = Picture(frames_of(golden / "macroblock" / "cabac_main_b3.mp4", limit=1)[0].picture)
    with pytest.raises(AssertionError, match="expected them inside 280x196"):
        picture.paint(280, 196, np.array([(7, 0)]), np.zeros((1, 28, 28, 3), np.uint8), 0)
    with pytest.raises(AssertionError, match=r"room from tile 3 on canvases of \(4, 28, 28, 3\)"):
        picture.paint(280, 196, np.array([(0, 0), (0, 1)]), np.zeros((4, 28, 28, 3), np.uint8), 3)


@pytest.mark.parametrize(("colourspace", "full"), [(1, False), (5, False), (2, False), (1, True), (6, True)])
def test_colours_are_those_of_the_signalled_matrix(colourspace: int, full: bool) -> None:
    """FFmpeg's own scaler is the truth, on a picture without edges."""
    planes = np.concatenate([np.full(64 * 64, 90, np.uint8), np.full(32 * 32, 160, np.uint8), np.full(32 * 32, 80, np.uint8)])
    frame = av.VideoFrame.from_ndarray(planes.reshape(96, 64), format="yuv420p")
    frame.colorspace, frame.color_range = colourspace, 2 if full else 1
    expected = frame.reformat(28, 28, "rgb24").to_ndarray().astype(int)
    assert np.abs(Picture(frame)(28, 28).astype(int) - expected).max() <= 2


def test_a_very_small_picture_still_has_blocks() -> None:
    frame = av.VideoFrame.from_ndarray(np.full((6, 4), 128, np.uint8), format="yuv420p")
    assert Picture(frame)(28, 28).shape == (28, 28, 3)


@pytest.mark.parametrize(("source", "target"), [(640, 504), (1080, 280), (17, 28), (3, 28), (640, 640)])
def test_taps_spread_every_source_sample_evenly(source: int, target: int) -> None:
    taps = area_taps(source, source, target)
    assert np.array_equal(taps.weights.sum(1), np.full(target, 256))
    assert taps.start.min() >= 0
    assert taps.start.max() + taps.weights.shape[1] <= source
    shares = np.zeros(source)
    for start, weights in zip(taps.start, taps.weights, strict=True):
        shares[start : start + len(weights)] += weights / 256
    assert np.abs(shares - target / source).max() < 0.01 * max(1, target / source)
