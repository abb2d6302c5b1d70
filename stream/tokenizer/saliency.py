"""Where in a picture something changed: motion and residual fused, then summed over blocks.

In: motion and residual of one frame, per pixel or per macroblock. Out: a map in [0, 1], and scores of 28x28 pixel blocks at
canvas size.

Shape letters: H and W pixels of the picture, R and C macroblock rows and columns, B and D block rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ov2.canvas import BLOCK_PX
from stream.codec.compiled import compiled, lean

MACROBLOCK_PX = 16
"""Side of a macroblock (H.264 3.85)."""
EVIDENCE_PERCENTILE = 95.0
BITS_PERCENTILE = 99.0
USUAL_RATE = 0.1
"""Share of a measured picture in the running mean of bits: at four pictures per second a memory of some seconds."""
RESIDUAL_LEAST = 1.0
"""Luma levels: less residual than this is not scaled up to full strength."""
MOTION_LEAST = 1e-6
QUARTER_PEL = 4.0
RESIDUAL_ZERO = 128.0
"""Value of no difference in a residual picture stored as uint8."""


def fused_map(
    mv_quarter_pel: np.ndarray, residual_y: np.ndarray, *, weight_motion: float = 1.0, weight_residual: float = 1.0
) -> np.ndarray:
    """Per-pixel saliency, float32 [H, W] in [0, 1], of motion vectors [R, C, 2] in quarter pixels and a residual picture
    uint8 [H, W] whose zero is 128. Each is divided by its 95th percentile and clipped, then they are averaged by weight."""
    motion_RC = np.hypot(mv_quarter_pel[..., 0], mv_quarter_pel[..., 1]).astype(np.float64) / QUARTER_PEL
    residual_HW = np.abs(residual_y.astype(np.float64) - RESIDUAL_ZERO)
    motion_RC = normalised(motion_RC, MOTION_LEAST)
    height, width = residual_y.shape
    motion_HW = motion_RC.repeat(MACROBLOCK_PX, axis=0).repeat(MACROBLOCK_PX, axis=1)[:height, :width]
    fused_HW = weight_motion * motion_HW + weight_residual * normalised(residual_HW, RESIDUAL_LEAST)
    fused: np.ndarray = (fused_HW / (weight_motion + weight_residual)).astype(np.float32)
    return fused


def fused_grid(
    motion_px_RC: np.ndarray,
    residual_RC: np.ndarray,
    *,
    weight_motion: float = 1.0,
    weight_residual: float = 1.0,
    ranked_residual: np.ndarray | None = None,
) -> np.ndarray:
    """The same on the macroblock grid, float32 [R, C]: motion magnitude in pixels and mean absolute luma residual.
    `ranked_residual`: the residuals in rising order, where the caller has sorted them already."""
    motion_px_RC, residual_RC = motion_px_RC.astype(np.float32, copy=False), residual_RC.astype(np.float32, copy=False)
    total = weight_motion + weight_residual
    ranked = np.sort(residual_RC, axis=None) if ranked_residual is None else ranked_residual
    motion_most = max(percentile(np.sort(motion_px_RC, axis=None), EVIDENCE_PERCENTILE), MOTION_LEAST)
    residual_most = max(percentile(ranked, EVIDENCE_PERCENTILE), RESIDUAL_LEAST)
    fused_RC: np.ndarray = np.empty_like(motion_px_RC)
    _fuse(motion_px_RC, residual_RC, motion_most, residual_most, weight_motion / total, weight_residual / total, fused_RC)
    return fused_RC


@lean
def _fuse(
    motion_RC: np.ndarray,
    residual_RC: np.ndarray,
    motion_most: float,
    residual_most: float,
    motion_share: float,
    residual_share: float,
    fused_RC: np.ndarray,
) -> None:
    """Both `normalised`, and added."""
    motion_scale, residual_scale = np.float32(motion_share / motion_most), np.float32(residual_share / residual_most)
    for row in range(fused_RC.shape[0]):
        for column in range(fused_RC.shape[1]):
            motion = min(motion_RC[row, column] * motion_scale, np.float32(motion_share))
            fused_RC[row, column] = motion + min(residual_RC[row, column] * residual_scale, np.float32(residual_share))


class UsualBits:
    """What every macroblock of a stream usually costs, and how much more a picture spends on it.

    Raw bits show texture: a hedge costs bits in every picture (docs/selection.md: they make the choice of blocks worse). What a macroblock
    costs above its own running mean shows change. Kept apart for P and B pictures; in keyframes everything costs, and nothing is
    learnt from them.
    """

    def __init__(self) -> None:
        self._usual: dict[str, np.ndarray] = {}

    def excess(self, bits_RC: np.ndarray, picture_type: str) -> np.ndarray:
        """Prior of a picture, float32 [R, C] in [0, 1]; nothing while there is nothing to compare with."""
        effort_RC = np.log1p(bits_RC, dtype=np.float32)
        usual_RC = self._usual.get(picture_type)
        if usual_RC is None or usual_RC.shape != effort_RC.shape:
            return np.zeros_like(effort_RC)
        return normalised(np.maximum(effort_RC - usual_RC, np.float32(0)), MOTION_LEAST, percent=BITS_PERCENTILE)

    def learn(self, bits_RC: np.ndarray, picture_type: str) -> None:
        """Take a picture into the running mean."""
        if picture_type == "I":
            return
        effort_RC = np.log1p(bits_RC, dtype=np.float32)
        usual_RC = self._usual.get(picture_type)
        if usual_RC is None or usual_RC.shape != effort_RC.shape:
            self._usual[picture_type] = effort_RC
        else:
            usual_RC += np.float32(USUAL_RATE) * (effort_RC - usual_RC)


def normalised(
    values: np.ndarray,
    least: float,
    *,
    percent: float = EVIDENCE_PERCENTILE,
) -> np.ndarray:
    """`values`, none negative, divided by their percentile (at least `least`) and cut at 1."""
    scaled: np.ndarray = values * (1.0 / max(percentile(np.sort(values, axis=None), percent), least))
    np.minimum(scaled, 1.0, out=scaled)
    return scaled


def percentile(ranked: np.ndarray, percent: float) -> float:
    """`np.percentile` (linear) of few values in rising order, at a tenth of its overhead: a vectorised sort beats a selection here."""
    at = (ranked.size - 1) * percent / 100.0
    below = int(at)
    low, high = float(ranked[below]), float(ranked[min(below + 1, ranked.size - 1)])
    return low + (high - low) * (at - below)


@dataclass(frozen=True, slots=True)
class BlockSums:
    """Sums over the blocks of a canvas, of a map that is constant on each macroblock of the picture.

    `rows` float64 [B, R] and `cols` [D, C] hold, for every block and macroblock, the canvas pixels they share along one side.
    """

    rows: np.ndarray
    cols: np.ndarray

    @classmethod
    def between(cls, picture_wh: tuple[int, int], canvas_wh: tuple[int, int]) -> BlockSums:
        """Sums for a picture of `picture_wh` pixels that is resized, whole, to a canvas of `canvas_wh` pixels."""
        (width, height), (canvas_width, canvas_height) = picture_wh, canvas_wh
        return cls(rows=_shared_px(height, canvas_height), cols=_shared_px(width, canvas_width))

    def __call__(self, grid_RC: np.ndarray) -> np.ndarray:
        """Sum of the map over every block's pixels, float64 [B, D]. Always in one order, so the same bits on every machine."""
        sums_BD = np.empty((len(self.rows), len(self.cols)))
        _add_up(self.rows, self.cols, grid_RC, sums_BD)
        return sums_BD


@compiled
def _add_up(rows_BR: np.ndarray, cols_DC: np.ndarray, grid_RC: np.ndarray, sums_BD: np.ndarray) -> None:
    """rows @ grid @ cols.T; every block shares pixels with a few macroblocks that lie together."""
    num_rows, num_cols = grid_RC.shape
    line_C = np.empty(num_cols)
    first_row = 0
    for block_row in range(len(rows_BR)):
        while rows_BR[block_row, first_row] == 0.0:
            first_row += 1
        line_C[:] = 0.0
        row = first_row
        while row < num_rows and rows_BR[block_row, row] != 0.0:
            for col in range(num_cols):
                line_C[col] += rows_BR[block_row, row] * grid_RC[row, col]
            row += 1
        first_col = 0
        for block_col in range(len(cols_DC)):
            while cols_DC[block_col, first_col] == 0.0:
                first_col += 1
            total, col = 0.0, first_col
            while col < num_cols and cols_DC[block_col, col] != 0.0:
                total += cols_DC[block_col, col] * line_C[col]
                col += 1
            sums_BD[block_row, block_col] = total


def _shared_px(source_px: int, canvas_px: int) -> np.ndarray:
    """Canvas pixels shared by each block and each macroblock along one side, float64 [blocks, macroblocks]."""
    num_macroblocks = -(-source_px // MACROBLOCK_PX)
    edges = np.minimum(np.arange(num_macroblocks + 1) * MACROBLOCK_PX, source_px) * (canvas_px / source_px)
    block_starts = np.arange(0, canvas_px, BLOCK_PX, dtype=np.float64)[:, None]
    overlap = np.minimum(edges[None, 1:], block_starts + BLOCK_PX) - np.maximum(edges[None, :-1], block_starts)
    shared: np.ndarray = np.maximum(overlap, 0.0)
    return shared


def warm_up() -> None:
    """Compile (or load from the cache) the fused grid, and the sums, for grids of either precision."""
    fused_grid(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32))
    sums = BlockSums.between((BLOCK_PX, BLOCK_PX), (BLOCK_PX, BLOCK_PX))
    sums(np.zeros((2, 2), np.float32))
    sums(np.zeros((2, 2)))
