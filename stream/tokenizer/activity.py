"""How much of a frame really changes, in luma levels: what tells a still scene from a lively one.

In: the evidence of a frame. Out: the number of active blocks. The scores by which blocks compete are normalised within each frame, so
that noise looks like evidence where there is nothing else; this is absolute. The residual alone would not do: of something that moves
evenly, little is left after motion compensation.
"""

from __future__ import annotations

import numpy as np

from ov2.canvas import BLOCK_PX
from stream.tokenizer.saliency import BlockSums, percentile
from stream.units import FrameEvidence

NOISE_RATIO = 3.0
"""Residual of noise stays below this many times the frame's median residual."""
NOISE_MOST = 8.0
"""Luma levels; a higher median is not noise but a new scene."""


def noise_level(ranked_residual: np.ndarray) -> float:
    """Residual, luma levels, that noise alone may leave in a macroblock; from the frame's residuals in rising order."""
    return min(NOISE_RATIO * percentile(ranked_residual, 50.0), NOISE_MOST)


def num_active_blocks(evidence: FrameEvidence, sums: BlockSums, least: float) -> int:
    """Blocks whose mean luma change is more than `least` levels."""
    return int(np.count_nonzero(sums(evidence.change) > least * BLOCK_PX * BLOCK_PX))
