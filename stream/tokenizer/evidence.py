"""Block scores of a candidate frame, and how many canvases a group earns.

In: the `FrameEvidence` of a decoded frame. Out: scores by which blocks of a group compete, and the number of active blocks, by
which a group earns its canvases.

Shape letters: R and C macroblock rows and columns, B and D block rows and columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ov2.canvas import BLOCK_PX
from stream.codec.effort import SteadyEffort
from stream.tokenizer.activity import noise_level, num_active_blocks
from stream.tokenizer.pack import canvas_size
from stream.tokenizer.saliency import BlockSums, UsualBits, fused_grid
from stream.tokenizer.settings import TokenizerSettings
from stream.units import FrameEvidence

HALF = 0.5
"""Mean strength of a block that is active."""
LAST_SHARE = 0.2
"""Part of an earned canvas that has to be there for the last one."""


@dataclass(frozen=True, slots=True)
class BlockEvidence:
    """Of one frame: `scores` float32 [B, D] and the number of active blocks."""

    scores: np.ndarray
    num_active: int


class Scorer:
    """Scores frames of one size, by settings that leave nothing open."""

    def __init__(self, settings: TokenizerSettings, picture_wh: tuple[int, int]) -> None:
        assert settings.max_pixels is not None, "expected a planned size"
        self.canvas_wh = canvas_size(*picture_wh, settings.max_pixels)
        self.grid = (self.canvas_wh[1] // BLOCK_PX, self.canvas_wh[0] // BLOCK_PX)
        self.sums = BlockSums.between(picture_wh, self.canvas_wh)
        self._settings = settings
        self._usual_bits = UsualBits()

    @property
    def blocks_per_canvas(self) -> int:
        return self.grid[0] * self.grid[1]

    def judge(self, evidence: FrameEvidence | SteadyEffort | None) -> BlockEvidence | None:
        """Scores and activity of a frame; None for one that is not worth its timestamp."""
        if not isinstance(evidence, FrameEvidence):
            return self._coded(evidence) if evidence is not None else None
        s = self._settings
        ranked_residual = np.sort(evidence.residual, axis=None)
        least = noise_level(ranked_residual) + s.still_residual
        active = num_active_blocks(evidence, self.sums, least)
        if not active and s.still_share:
            return None
        return BlockEvidence(self.scores(evidence, ranked_residual), active)

    def _coded(self, effort: SteadyEffort) -> BlockEvidence | None:
        """By what slice data tells alone. A block that is larger than what is at work in it counts all the same."""
        if not effort.area and effort.peak < 1.0:
            return None  # no macroblock is at work
        num_active = int(np.count_nonzero(self.sums(effort.strength) > HALF * BLOCK_PX * BLOCK_PX))
        num_active = max(num_active, int(effort.peak >= 1.0))
        return BlockEvidence(self.sums(effort.score).astype(np.float32), num_active) if num_active else None

    def learn(self, evidence: FrameEvidence | SteadyEffort | None) -> None:
        """Remember what a frame that was judged for good tells of the stream."""
        if isinstance(evidence, FrameEvidence) and evidence.bits is not None and self._settings.weight_bits:
            self._usual_bits.learn(evidence.bits, evidence.picture_type)

    def scores(self, evidence: FrameEvidence, ranked_residual: np.ndarray | None = None) -> np.ndarray:
        """Fused motion and residual summed over each block, plus the prior of unusual bits where bits are known, float32
        [B, D].
        `ranked_residual`: the residuals in rising order, where the caller has sorted them already."""
        s = self._settings
        fused_RC = fused_grid(
            evidence.motion_px,
            evidence.residual,
            weight_motion=s.weight_motion,
            weight_residual=s.weight_residual,
            ranked_residual=ranked_residual,
        )
        if evidence.bits is not None and s.weight_bits:
            fused_RC = fused_RC + s.weight_bits * self._usual_bits.excess(evidence.bits, evidence.picture_type)
        scores: np.ndarray = self.sums(fused_RC).astype(np.float32)
        return scores


def full_p_canvases(num_frames: int, settings: TokenizerSettings) -> int:
    """All P-canvases of a group that so many frames can fill."""
    assert settings.canvases_per_group is not None, "expected a planned number"
    return min(settings.canvases_per_group - 1, num_frames)


def num_p_canvases(num_active: int, num_frames: int, blocks_per_canvas: int, settings: TokenizerSettings) -> int:
    """P-canvases of a group with `num_active` active blocks in `num_frames` frames that have any.

    Every `still_share` of a canvas that is active earns one, the last one from a fifth of that on: encoder noise earns none, a
    door that opens one, a person who walks by all. Never more than the frames can fill.
    """
    most = full_p_canvases(num_frames, settings)
    share = settings.still_share * blocks_per_canvas
    return min(most, math.ceil(num_active / share - LAST_SHARE)) if share else most
