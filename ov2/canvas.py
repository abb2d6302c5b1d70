"""What the model eats: one group of canvases, as the tokenizer made it.

In: nothing. Out: `CanvasGroup`, the one type that crosses from `stream` (which makes it) to `ov2` (which reads it).

Shape letters: N canvases of a group, H and W pixels of a canvas, P patches of the whole group (N * H/14 * W/14).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ov2.errors import CanvasError

PATCH_PX = 14
"""Side of a patch, pixels: the released encoder's `patch_size`."""
MERGE = 2
"""Patches along one side of a block: the released `spatial_merge_size`."""
BLOCK_PX = PATCH_PX * MERGE
"""Side of a block, pixels. One block becomes one vision token."""
BLOCK_PATCHES = MERGE * MERGE


@dataclass(frozen=True, slots=True, kw_only=True)
class CanvasGroup:
    """Canvases of one group, with the source of every patch.

    - `canvases`: uint8 [N, H, W, 3], RGB; H and W are multiples of 28. The first is the I-canvas (the anchor frame, whole);
      the others are P-canvases, filled with blocks of later frames.
    - `positions`: int32 [P, 3] = (frame_id, patch_row, patch_col) of each patch's source picture, in block layout: blocks in
      reading order, the four patches of a block together.
    - `runs`: (media seconds, number of blocks) of every stretch of blocks that come from one source frame, in order; the
      blocks add up to P / 4.
    - `start_s`, `end_s`: media seconds covered; `wall_s`: UTC epoch seconds of `end_s`.
    - `closed_by`: quota, max_span, onset (a still group before something that begins, or the first of that), still (what went on is over),
      discontinuity, forced, end, or `open` for a peek. `is_active`: something happened in it, as far as anybody looked.

    Raises `CanvasError` when the parts do not fit together.
    """

    canvases: np.ndarray
    positions: np.ndarray
    runs: tuple[tuple[float, int], ...]
    group_id: int
    start_s: float
    end_s: float
    wall_s: float
    closed_by: str
    cost: float = 0.0
    is_active: bool = True

    def __post_init__(self) -> None:
        shape = self.canvases.shape
        if self.canvases.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or not shape[0]:
            raise CanvasError(f"canvases: expected uint8 [n, H, W, 3] with n > 0, got {self.canvases.dtype} {list(shape)}")
        if shape[1] % BLOCK_PX or shape[2] % BLOCK_PX:
            raise CanvasError(f"canvases: expected sides that are multiples of {BLOCK_PX}, got {shape[1]}x{shape[2]}")
        if self.positions.shape != (self.num_blocks * BLOCK_PATCHES, 3) or self.positions.dtype != np.int32:
            raise CanvasError(
                f"positions: expected int32 [{self.num_blocks * BLOCK_PATCHES}, 3], "
                f"got {self.positions.dtype} {list(self.positions.shape)}"
            )
        if sum(blocks for _, blocks in self.runs) != self.num_blocks:
            raise CanvasError(f"runs: expected {self.num_blocks} blocks in all, got {sum(b for _, b in self.runs)}")

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Patches along the height and the width of one canvas."""
        return self.canvases.shape[1] // PATCH_PX, self.canvases.shape[2] // PATCH_PX

    @property
    def num_canvases(self) -> int:
        return int(self.canvases.shape[0])

    @property
    def num_blocks(self) -> int:
        """Blocks of the whole group: its number of vision tokens."""
        n, height, width, _ = self.canvases.shape
        return int(n * (height // BLOCK_PX) * (width // BLOCK_PX))
