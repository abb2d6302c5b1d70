"""Canvases to the patches that the model reads.

In: a `CanvasGroup`. Out: normalised patches in block layout, the grid, and source positions with time counted from the group's
first frame. That is a promise of the prompt, not a convenience: the released rotation pairs neighbours with unlike frequencies,
so absolute time would leak into the vision tokens, and a camera's frame numbers grow for ever.

Shape letters: N canvases, H and W pixels, P patches, X values of a patch (channel, row, column).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ov2.canvas import BLOCK_PX, MERGE, PATCH_PX, CanvasGroup

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""RGB mean and deviation of the released preprocessor (OpenAI CLIP's)."""
CHANNEL_MAX = 255.0


@dataclass(frozen=True, slots=True)
class VisionInputs:
    """What `OV2Model.vision_tokens` takes: patches [P, X] float32, grid [1, 3], positions [P, 3] int64."""

    pixel_values: Tensor
    image_grid_thw: Tensor
    patch_positions: Tensor


def patches_from_canvases(canvases: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Patches [P, X] float32 and grid [[N, H/14, W/14]] of canvases uint8 [N, H, W, 3], RGB."""
    num, height, width, channels = canvases.shape
    pixels_NHWC = torch.from_numpy(np.ascontiguousarray(canvases)).float().div_(CHANNEL_MAX)
    pixels_NHWC = (pixels_NHWC - torch.tensor(mean)) / torch.tensor(std)
    split = pixels_NHWC.reshape(num, height // BLOCK_PX, MERGE, PATCH_PX, width // BLOCK_PX, MERGE, PATCH_PX, channels)
    patches_PX = split.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(-1, channels * PATCH_PX * PATCH_PX)
    return patches_PX, torch.tensor([[num, height // PATCH_PX, width // PATCH_PX]])


def vision_inputs(group: CanvasGroup, mean: Sequence[float], std: Sequence[float]) -> VisionInputs:
    """The model's view of one group: one grid row, its canvases together. `mean`, `std`: the checkpoint's
    (`OV2Model.normalisation`); there is no default, so that nobody looks at pictures in another way than it was trained on."""
    patches_PX, grid_13 = patches_from_canvases(group.canvases, mean, std)
    positions_P3 = torch.from_numpy(group.positions.astype(np.int64))
    positions_P3[:, 0] -= positions_P3[:, 0].min()
    return VisionInputs(patches_PX, grid_13, positions_P3)
