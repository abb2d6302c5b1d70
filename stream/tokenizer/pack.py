"""Chosen blocks become canvases.

In: source frames of a group (the first is the anchor) and chosen blocks. Out: `CanvasGroup`. Block layout: blocks of a canvas
in reading order, the four patches of a block together; the same order in `positions`.

Shape letters: N canvases, B and D block rows and columns of a canvas, M blocks of the group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from ov2.canvas import BLOCK_PATCHES, BLOCK_PX, MERGE
from stream.tokenizer.selection import in_reading_order

LARGEST_KEPT = 8 << 20
"""Bytes: more than the canvases of a group."""


def _keep_pages() -> None:
    """glibc gives back to the system at once what is as large as the largest block it gave back before, and every page of the next canvases
    is faulted in anew. A larger block that comes and goes once (none of it is touched) lets it keep theirs."""
    np.empty(LARGEST_KEPT, np.uint8)


_keep_pages()


class Source(Protocol):
    """A frame that blocks are taken from."""

    @property
    def frame_id(self) -> int: ...

    @property
    def media_s(self) -> float: ...

    def paint(self, canvas_wh: tuple[int, int], rows_cols: np.ndarray, canvases: np.ndarray, first_tile: int) -> None:
        """Put blocks (row, col) [n, 2] of the frame at canvas size on `canvases`, uint8 [N, H, W, 3] RGB, as tiles `first_tile` and
        following in reading order."""

    def let_go(self) -> None:
        """It is not painted any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvases:
    """Canvases with the source of every patch; fields as in `ov2.canvas.CanvasGroup`."""

    canvases: np.ndarray
    positions: np.ndarray
    runs: tuple[tuple[float, int], ...]


def canvas_size(width: int, height: int, max_pixels: int) -> tuple[int, int]:
    """(width, height) of canvases for frames of a size: scaled to at most `max_pixels`, sides cut to multiples of 28."""
    scale = min(1.0, math.sqrt(max_pixels / (width * height)))
    return _to_blocks(width * scale), _to_blocks(height * scale)


def _to_blocks(side_px: float) -> int:
    return max(BLOCK_PX, int(side_px) // BLOCK_PX * BLOCK_PX)


def pack(sources: Sequence[Source], chosen: np.ndarray, canvas_wh: tuple[int, int], *, lets_go: bool = False) -> Canvases:
    """The anchor `sources[0]` whole, then `chosen` blocks [n, 3] = (index into sources, row, col) by (frame, row, col).

    n must fill whole canvases. Pixels are asked for only where a block was chosen. `lets_go`: no source is painted again, so each is let go
    as soon as it is painted, and the decoder can put the next picture in the memory of one that is still in the cache.
    """
    width, height = canvas_wh
    num_rows, num_cols = height // BLOCK_PX, width // BLOCK_PX
    per_canvas = num_rows * num_cols
    assert len(chosen) % per_canvas == 0, f"expected whole canvases of {per_canvas} blocks, got {len(chosen)} blocks"
    anchor = np.zeros((per_canvas, 3), np.int64)
    anchor[:, 1], anchor[:, 2] = np.divmod(np.arange(per_canvas), num_cols)
    placed = np.concatenate((anchor, in_reading_order(chosen.astype(np.int64))))
    canvases = np.empty((len(placed) // per_canvas, height, width, 3), np.uint8)
    runs: list[tuple[float, int]] = []
    for low, high in _stretches(placed[:, 0]):
        source = sources[int(placed[low, 0])]
        source.paint(canvas_wh, placed[low:high, 1:], canvases, low)
        runs.append((source.media_s, high - low))
        if lets_go:
            source.let_go()
    frame_ids = np.array([source.frame_id for source in sources], np.int64)
    return Canvases(
        canvases=canvases,
        positions=patch_positions(placed, frame_ids),
        runs=tuple(runs),
    )


def _stretches(frames: np.ndarray) -> list[tuple[int, int]]:
    """[low, high) of every stretch of equal values."""
    edges = [0, *(np.flatnonzero(np.diff(frames)) + 1).tolist(), len(frames)]
    return list(pairwise(edges))


def patch_positions(placed: np.ndarray, frame_ids: np.ndarray) -> np.ndarray:
    """(frame_id, patch_row, patch_col) of every patch, int32 [M * 4, 3], of placed blocks [M, 3]."""
    positions = np.empty((len(placed), BLOCK_PATCHES, 3), np.int32)
    within = np.arange(BLOCK_PATCHES)
    positions[:, :, 0] = frame_ids[placed[:, 0], None]
    positions[:, :, 1] = placed[:, 1, None] * MERGE + within // MERGE
    positions[:, :, 2] = placed[:, 2, None] * MERGE + within % MERGE
    return positions.reshape(-1, 3)
