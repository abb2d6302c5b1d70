"""The decoded picture behind a frame's evidence: resized when asked, and only where asked.

In: a PyAV frame. Out: uint8 RGB, the whole picture at any size, or 28x28 blocks of it painted on canvases; the blocks are bit for
bit what the whole picture holds there. Holds the decoder's picture buffer for as long as it lives.
"""

from __future__ import annotations

from functools import lru_cache

import av
import numpy as np

from stream.codec.buffers import flat
from stream.codec.colour import colour_matrix
from stream.codec.resample import BLOCK_PX, area_taps, copy_blocks, resample, resample_blocks

_BT709, _BT2020_NCL, _BT2020_CL = 1, 9, 10
"""matrix_coefficients (H.264 table E-5)."""
_FULL_RANGE = 2
"""FFmpeg's AVCOL_RANGE_JPEG."""
_LEAST_PX = 8
"""Smaller pictures, which the resampler does not take, are brought to this size first."""
_PLANAR_420 = ("yuv420p", "yuvj420p")
_Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


class Picture:
    """RGB pixels of one decoded frame."""

    __slots__ = ("_frame", "_samples", "height", "width")

    def __init__(self, frame: av.VideoFrame) -> None:
        self.width: int = frame.width
        self.height: int = frame.height
        self._frame = frame
        self._samples: tuple[_Planes, tuple[int, int, int], np.ndarray] | None = None

    def __call__(self, width: int, height: int) -> np.ndarray:
        """The whole picture, uint8 [height, width, 3]."""
        planes, pitches, matrix = self._samples or self._read()
        out = np.empty((height, width, 3), np.uint8)
        resample(planes, pitches, *_taps(self.width, self.height, width, height), matrix, out)
        return out

    def paint(self, width: int, height: int, rows_columns: np.ndarray, canvases: np.ndarray, first_tile: int) -> None:
        """Put blocks (row, column) [n, 2] of the picture resized to width x height on `canvases`, uint8 [N, H, W, 3] with sides that
        are multiples of 28, as tiles `first_tile` and following, in reading order from canvas to canvas."""
        blocks = np.ascontiguousarray(rows_columns, np.int64)
        planes, pitches, matrix = self._samples or self._read()
        starts, weights = _taps(self.width, self.height, width, height)
        has_room = resample_blocks(planes, pitches, starts, weights, matrix, blocks, canvases, first_tile)
        assert has_room, (
            f"blocks: expected them inside {width}x{height}, and room from tile {first_tile} on canvases of {canvases.shape}, "
            f"got {rows_columns.tolist()}"
        )

    def _read(self) -> tuple[_Planes, tuple[int, int, int], np.ndarray]:
        """Planes, bytes from row to row of each, and the colour matrix."""
        frame = self._frame
        planar = frame
        if frame.format.name not in _PLANAR_420 or min(frame.width, frame.height) < _LEAST_PX:
            self.width, self.height = max(frame.width, _LEAST_PX), max(frame.height, _LEAST_PX)
            planar = frame.reformat(self.width, self.height, "yuv420p")
        y, u, v = planar.planes
        full_range = planar.color_range == _FULL_RANGE or planar.format.name == "yuvj420p"
        matrix = _matrix(int(planar.colorspace), full_range)
        self._samples = (flat(y), flat(u), flat(v)), (y.line_size, u.line_size, v.line_size), matrix
        return self._samples


_Four = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@lru_cache(maxsize=32)
def _taps(width: int, height: int, out_width: int, out_height: int) -> tuple[_Four, _Four]:
    """Starts and weights of the taps for the rows and columns of luma, then of chroma. Chroma holds half as many samples, rounded
    up (H.264 6.2), and goes to half the output's."""
    rows, columns = area_taps(height, height, out_height), area_taps(width, width, out_width)
    half_rows = area_taps((height + 1) // 2, height / 2, (out_height + 1) // 2)
    half_columns = area_taps((width + 1) // 2, width / 2, (out_width + 1) // 2)
    return (
        (rows.start, columns.start, half_rows.start, half_columns.start),
        (rows.weights, columns.weights, half_rows.weights, half_columns.weights),
    )


@lru_cache(maxsize=8)
def _matrix(colourspace: int, full_range: bool) -> np.ndarray:
    """Unspecified counts as BT.601, as in FFmpeg's own scaler."""
    if colourspace == _BT709:
        return colour_matrix(0.2126, 0.0722, full_range=full_range)
    if colourspace in (_BT2020_NCL, _BT2020_CL):
        return colour_matrix(0.2627, 0.0593, full_range=full_range)
    return colour_matrix(0.299, 0.114, full_range=full_range)


def warm_up() -> None:
    """Compile (or load from the cache) the resampler."""
    picture = Picture(av.VideoFrame(64, 64, "yuv420p"))
    canvases, block = np.zeros((1, BLOCK_PX, BLOCK_PX, 3), np.uint8), np.zeros((1, 2), np.int64)
    picture.paint(BLOCK_PX, BLOCK_PX, block, canvases, 0)
    copy_blocks(picture(BLOCK_PX, BLOCK_PX), block, canvases, 0)
