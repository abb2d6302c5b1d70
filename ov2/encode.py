"""Groups of canvases through the vision tower, several at once.

In: groups of one or many streams. Out: `EncodedGroup`s in their order. Groups attend to themselves alone, so running them together
changes nothing but the time it takes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ov2.canvas import CanvasGroup
from ov2.model import OV2Model
from ov2.pixels import vision_inputs
from ov2.segment import EncodedGroup


@torch.inference_mode()
def encode(model: OV2Model, groups: Sequence[CanvasGroup]) -> list[EncodedGroup]:
    """Vision tokens of each group."""
    inputs = [vision_inputs(group, *model.normalisation) for group in groups]
    tokens_VD = model.vision_tokens(
        torch.cat([one.pixel_values for one in inputs]),
        torch.cat([one.image_grid_thw for one in inputs]),
        torch.cat([one.patch_positions for one in inputs]),
    )
    return [
        EncodedGroup(
            group_id=group.group_id,
            vision_tokens=vision_VD.clone(),  # not a view, which would keep the tokens of all of them
            runs=group.runs,
            start_s=group.start_s,
            end_s=group.end_s,
        )
        for group, vision_VD in zip(groups, torch.split(tokens_VD, [group.num_blocks for group in groups]), strict=True)
    ]
