"""Groups of canvases through the vision tower, several at once.

In: groups of one or many streams. Out: `EncodedGroup`s in their order, or their vision tokens alone. Groups attend to themselves alone,
so running them together changes nothing but the time it takes. Serving and training both look at pictures through `vision_tokens`.

Shape letters: V vision tokens, D width of the language model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from ov2.canvas import CanvasGroup
from ov2.model import OV2Model
from ov2.pixels import vision_inputs
from ov2.segment import EncodedGroup


def vision_tokens(model: OV2Model, groups: Iterable[CanvasGroup]) -> torch.Tensor:
    """Vision tokens [V, D] of groups of any sizes, in order, their pixels normalised as the checkpoint says. Gradients flow."""
    inputs = [vision_inputs(group, *model.normalisation) for group in groups]
    return model.vision_tokens(
        torch.cat([one.pixel_values for one in inputs]),
        torch.cat([one.image_grid_thw for one in inputs]),
        torch.cat([one.patch_positions for one in inputs]),
    )


@torch.inference_mode()
def encode(model: OV2Model, groups: Sequence[CanvasGroup]) -> list[EncodedGroup]:
    """Vision tokens of each group."""
    tokens_VD = vision_tokens(model, groups)
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
