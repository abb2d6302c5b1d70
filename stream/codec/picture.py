"""The decoded picture behind a frame's evidence: resized when asked, and only where asked.

In: a PyAV frame. Out: uint8 RGB, the whole picture or 28x28 blocks of it, at any size; the blocks are bit for bit what the
whole picture holds there. Holds the decoder's picture buffer for as long as it lives.
"""

from __future__ import annotations

from functools import lru_cache

import av
import numpy as np

from stream.codec.buffers import flat
from stream.codec.resample import Taps, area_taps, colour_matrix, resample

BLOCK_PX = 28
_BT709, _BT2020_NCL, _BT2020_CL = 1, 9, 10
"""matrix_coefficients (H.264 table E-5)."""
_FULL_RANGE = 2
"""FFmpeg's AVCOL_RANGE_JPEG."""
_LEAST_PX = 8
"""Smaller pictures, which the resampler does not take, are brought to this size first."""
_PLANAR_420 = ("yuv420p", "yuvj420p")


class Picture:
    """RGB pixels of one decoded frame."""

    __slots__ = ("_frame", "_matrix", "_pitches", "_planes", "height", "width")

    def __init__(self, frame: av.VideoFrame) -> None:
        self.width: int = frame.width
        self.height: int = frame.height
        self._frame = frame
        self._planes: tuple[np.ndarray, ...] = ()
        self._pitches = (0, 0, 0)
        self._matrix = np.empty(0)

    def __call__(self, width: int, height: int) -> np.ndarray:
        """The whole picture, uint8 [height, width, 3]."""
        num_rows = BLOCK_PX if height % BLOCK_PX == 0 else height
        tops = np.arange(0, height, num_rows)
        strips = self._pixels(width, height, np.stack([tops, np.zeros_like(tops)], 1), num_rows, width)
        return strips.reshape(height, width, 3)

    def blocks(self, width: int, height: int, rows_columns: np.ndarray) -> np.ndarray:
        """Blocks (row, column) [n, 2] of the picture resized to width x height: uint8 [n, 28, 28, 3]."""
        corners = np.asarray(rows_columns, np.int64).reshape(-1, 2) * BLOCK_PX
        assert not len(corners) or (corners.min() >= 0 and (corners.max(0) + BLOCK_PX <= (height, width)).all()), (
            f"blocks: expected them inside {width}x{height}, got {rows_columns}"
        )
        return self._pixels(width, height, corners, BLOCK_PX, BLOCK_PX)

    def _pixels(self, width: int, height: int, corners: np.ndarray, num_rows: int, num_columns: int) -> np.ndarray:
        if not self._planes:
            self._read_planes()
        out = np.empty((len(corners), num_rows, num_columns, 3), np.uint8)
        y, u, v = self._planes
        rows, columns, half_rows, half_columns = _taps(self.width, self.height, width, height)
        resample(y, u, v, self._pitches, *rows, *columns, *half_rows, *half_columns, self._matrix, corners, out)
        return out

    def _read_planes(self) -> None:
        frame = self._frame
        planar = frame
        if frame.format.name not in _PLANAR_420 or min(frame.width, frame.height) < _LEAST_PX:
            self.width, self.height = max(frame.width, _LEAST_PX), max(frame.height, _LEAST_PX)
            planar = frame.reformat(self.width, self.height, "yuv420p")
        self._planes = tuple(flat(plane) for plane in planar.planes)
        y, u, v = planar.planes
        self._pitches = (y.line_size, u.line_size, v.line_size)
        full_range = planar.color_range == _FULL_RANGE or planar.format.name == "yuvj420p"
        self._matrix = _matrix(int(planar.colorspace), full_range)


@lru_cache(maxsize=32)
def _taps(width: int, height: int, out_width: int, out_height: int) -> tuple[Taps, Taps, Taps, Taps]:
    """Taps for the rows and columns of luma, then of chroma. Chroma holds half as many samples, rounded up
    (H.264 6.2), and goes to half the output's."""
    return (
        area_taps(height, height, out_height),
        area_taps(width, width, out_width),
        area_taps((height + 1) // 2, height / 2, (out_height + 1) // 2),
        area_taps((width + 1) // 2, width / 2, (out_width + 1) // 2),
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
    Picture(av.VideoFrame(64, 64, "yuv420p"))(28, 28)
