"""How much of a frame really changes, in luma levels: what tells a still scene from a lively one.

In: a decoded frame, the one before it, and its evidence. Out: the number of active blocks. The scores by which blocks compete
are normalised within each frame, so that noise looks like evidence where there is nothing else; this is absolute. The residual
alone would not do: of something that moves evenly, little is left after motion compensation.

Shape letters: R and C macroblock rows and columns.
"""

from __future__ import annotations

import numpy as np

from ov2.canvas import BLOCK_PX
from stream.codec.compiled import compiled
from stream.codec.decode import DecodedFrame
from stream.tokenizer.saliency import MACROBLOCK_PX, BlockSums, percentile
from stream.units import FrameEvidence

NOISE_RATIO = 3.0
"""Residual of noise stays below this many times the frame's median residual."""
NOISE_MOST = 8.0
"""Luma levels; a higher median is not noise but a new scene."""
MOVED_PX = 0.25
"""A macroblock that moves less than this was compared in place already."""
_EVERY_ROW = 2
"""Rows from one compared row to the next."""


def noise_level(ranked_residual: np.ndarray) -> float:
    """Residual, luma levels, that noise alone may leave in a macroblock; from the frame's residuals in rising order."""
    return min(NOISE_RATIO * percentile(ranked_residual, 50.0), NOISE_MOST)


def num_active_blocks(
    frame: DecodedFrame, previous: DecodedFrame | None, evidence: FrameEvidence, sums: BlockSums, least: float
) -> int:
    """Blocks whose mean luma change is more than `least` levels."""
    change_RC = _change(frame, previous, evidence)
    return int(np.count_nonzero(sums(change_RC) > least * BLOCK_PX * BLOCK_PX))


def _change(frame: DecodedFrame, previous: DecodedFrame | None, evidence: FrameEvidence) -> np.ndarray:
    """Mean absolute luma change in place, float32 [R, C]: where nothing moves the residual, which was compared in place already."""
    change_RC = evidence.residual.copy()
    if previous is not None and (frame.width, frame.height) == (previous.width, previous.height):
        now, then = frame.luma, previous.luma
        change_where_moved(
            now.levels, now.pitch, then.levels, then.pitch, frame.width, frame.height, evidence.motion_px, change_RC
        )
    return change_RC


@compiled
def change_where_moved(
    now: np.ndarray,
    pitch: int,
    then: np.ndarray,
    pitch_then: int,
    width: int,
    height: int,
    motion_RC: np.ndarray,
    change_RC: np.ndarray,
) -> None:
    """Mean |now - then| of each macroblock that moves, into `change_RC`; every second row is enough."""
    rows, cols = change_RC.shape
    for row in range(rows):
        for col in range(cols):
            if motion_RC[row, col] < MOVED_PX:
                continue
            top, left = row * MACROBLOCK_PX, col * MACROBLOCK_PX
            bottom, num_cols = min(height, top + MACROBLOCK_PX), min(MACROBLOCK_PX, width - left)
            total, num_rows = np.int32(0), 0
            for y in range(top, bottom, _EVERY_ROW):
                here, there = np.uintp(y * pitch + left), np.uintp(y * pitch_then + left)
                for x in range(np.uintp(num_cols)):
                    total += abs(np.int32(now[here + np.uintp(x)]) - np.int32(then[there + np.uintp(x)]))
                num_rows += 1
            change_RC[row, col] = total / (num_rows * num_cols)


def warm_up() -> None:
    """Compile (or load from the cache) what runs per candidate."""
    luma = np.zeros(16 * 16, np.uint8)
    luma.flags.writeable = False
    grid = np.ones((1, 1), np.float32)
    change_where_moved(luma, 16, luma, 16, 16, 16, grid, grid)
