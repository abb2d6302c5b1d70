"""Where the pixels of a frame are: still coded, decoded, or resized to a canvas.

In: a decoded picture, or a place in a sequence of packets that decodes it once somebody asks. Out: blocks of it on canvases, or the whole of
it at any size. It makes no difference to what is painted when it was decoded, or whether it was resized before.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from stream.codec.picture import Picture
from stream.codec.resample import copy_blocks


class Undecoded(Protocol):
    """Packets that are decoded in order, as far as needed."""

    def decode_to(self, index: int) -> None:
        """Decode up to and with the picture of that number; all that are asked for on the way are given theirs."""


class Pixels:
    """Of one frame. `give` is for whoever decodes it."""

    __slots__ = ("__weakref__", "_canvas", "_picture", "_place")

    def __init__(self, picture: Picture | None = None, place: tuple[Undecoded, int] | None = None) -> None:
        assert (picture is None) != (place is None), "expected a picture, or where it comes from"
        self._picture = picture
        self._place = place
        self._canvas: np.ndarray | None = None

    @property
    def is_full_size(self) -> bool:
        """Whether a decoded picture is held."""
        return self._picture is not None

    def give(self, picture: Picture) -> None:
        """It has been decoded."""
        self._picture, self._place = picture, None

    def shrink(self, canvas_wh: tuple[int, int]) -> None:
        """Let the decoded picture go, but for the canvas. What is not decoded yet stays as it is."""
        if self._picture is not None:
            self._canvas = self._picture(*canvas_wh)
            self._picture = None

    def paint(self, canvas_wh: tuple[int, int], rows_cols: np.ndarray, canvases: np.ndarray, first_tile: int) -> None:
        """Put blocks (row, col) [n, 2] of the frame at canvas size on `canvases`, as tiles `first_tile` and following."""
        self._decode()
        if self._picture is not None:
            self._picture.paint(*canvas_wh, rows_cols, canvases, first_tile)
            return
        assert self._canvas is not None, "expected a picture, at full or at canvas size"
        copy_blocks(self._canvas, np.ascontiguousarray(rows_cols, np.int64), canvases, first_tile)

    def __call__(self, width: int, height: int) -> np.ndarray:
        """The whole picture, uint8 [height, width, 3] RGB. Only of one that is not shrunk."""
        self._decode()
        assert self._picture is not None, "expected a picture at full size"
        return self._picture(width, height)

    def _decode(self) -> None:
        if self._place is not None:
            sequence, index = self._place
            sequence.decode_to(index)
