"""Patches straight from a picture's planes are those of painted canvases: the same bytes, normalised."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from kernel_cases import DEVICE
from ov2_kernels import PictureTaps, patchify
from ov2_kernels.triton import patchify as kernel
from torch import Tensor

from ov2.pixels import CLIP_MEAN, CLIP_STD, patches_from_canvases
from stream.codec.picture import Picture, _taps

MEAN, STD = torch.tensor(CLIP_MEAN), torch.tensor(CLIP_STD)


def random_frame(width: int, height: int, colourspace: int = 1) -> av.VideoFrame:
    """Noise, flat stretches, and the extremes that the colour matrix must clamp."""
    rng = np.random.default_rng((width, height))
    frame = av.VideoFrame(width, height, "yuv420p")
    frame.colorspace = colourspace
    for plane in frame.planes:
        samples = rng.choice(
            [rng.integers(0, 256, plane.buffer_size), np.full(plane.buffer_size, 255), np.zeros(plane.buffer_size)]
        )
        noisy = rng.integers(0, 256, plane.buffer_size)
        plane.update(np.where(rng.random(plane.buffer_size) < 0.7, noisy, samples).astype(np.uint8).tobytes())
    return frame


def inputs_of(frame: av.VideoFrame, width: int, height: int) -> tuple[tuple[Tensor, ...], PictureTaps, Tensor]:
    """Planes as views of the decoder's buffers, taps and matrix as the stream makes them."""
    picture = Picture(frame)
    flat, pitches, matrix = picture._read()
    half = (frame.height + 1) // 2, (frame.width + 1) // 2
    sizes = ((frame.height, frame.width), half, half)
    planes = tuple(
        torch.from_numpy(plane.copy()).as_strided(size, (pitch, 1))
        for plane, pitch, size in zip(flat, pitches, sizes, strict=True)
    )
    starts, weights = _taps(frame.width, frame.height, width, height)
    tables = [torch.from_numpy(table) for pair in zip(starts, weights, strict=True) for table in pair]
    return planes, PictureTaps(*tables), torch.from_numpy(matrix)


def painted(frame: av.VideoFrame, width: int, height: int, blocks: np.ndarray) -> np.ndarray:
    canvases = np.zeros((1, 28, 28 * len(blocks), 3), np.uint8)
    Picture(frame).paint(width, height, blocks, canvases, 0)
    return canvases


def run_kernel(frame: av.VideoFrame, width: int, height: int, blocks: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
    planes, taps, matrix = inputs_of(frame, width, height)
    out_PX = torch.full((4 * len(blocks), 588), torch.nan, dtype=dtype, device=DEVICE)
    on_device = [x.to(DEVICE) for x in (matrix, torch.from_numpy(blocks), MEAN, STD)]
    taps = PictureTaps(*(x.to(DEVICE) for x in taps))
    return kernel.patchify(tuple(x.to(DEVICE) for x in planes), taps, *on_device, dtype, out_PX=out_PX).cpu()


SIZES = [(640, 360, 504, 280), (61, 47, 56, 28), (120, 90, 140, 112), (1920, 1080, 504, 280)]
"""Source and canvas sizes: smaller, odd, larger than the source, and many taps."""


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_patches_equal_those_of_painted_canvases_bit_for_bit(size: tuple[int, int, int, int]) -> None:
    source_width, source_height, width, height = size
    frame = random_frame(source_width, source_height)
    rows, columns = height // 28, width // 28
    blocks = np.array([(row, column) for row in range(rows) for column in range(columns)])
    blocks = np.random.default_rng(0).permutation(blocks)[:7]
    expected, _ = patches_from_canvases(painted(frame, width, height, blocks), CLIP_MEAN, CLIP_STD)
    planes, taps, matrix = inputs_of(frame, width, height)
    assert torch.equal(patchify(planes, taps, matrix, torch.from_numpy(blocks), MEAN, STD), expected)
    assert torch.equal(run_kernel(frame, width, height, blocks), expected)


def test_a_decoded_picture_gives_the_same_patches_too(golden: Path) -> None:
    film = sorted(golden.rglob("*.mp4"))[0]
    with av.open(str(film)) as container:
        frame = next(container.decode(video=0))
    blocks = np.array([(0, 0), (1, 1), (1, 0)])
    expected, _ = patches_from_canvases(painted(frame, 84, 56, blocks), CLIP_MEAN, CLIP_STD)
    assert torch.equal(run_kernel(frame, 84, 56, blocks), expected)


def test_patches_come_in_the_type_that_the_model_computes_in() -> None:
    frame, blocks = random_frame(64, 48), np.array([(0, 1)])
    expected, _ = patches_from_canvases(painted(frame, 56, 28, blocks), CLIP_MEAN, CLIP_STD)
    assert torch.equal(run_kernel(frame, 56, 28, blocks, torch.float16), expected.half())
    planes, taps, matrix = inputs_of(frame, 56, 28)
    truth = patchify(planes, taps, matrix, torch.from_numpy(blocks), MEAN, STD, torch.bfloat16)
    assert torch.equal(truth, expected.bfloat16())


def test_no_blocks_give_no_patches() -> None:
    frame, none = random_frame(64, 48), np.zeros((0, 2), np.int64)
    planes, taps, matrix = inputs_of(frame, 56, 28)
    assert patchify(planes, taps, matrix, torch.from_numpy(none), MEAN, STD).shape == (0, 588)
    assert run_kernel(frame, 56, 28, none).shape == (0, 588)
