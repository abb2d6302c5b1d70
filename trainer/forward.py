"""The training forward pass: packed samples through the model, attention along their trees.

In: a model and `Sample`s. Out: logits of the tokens that carry a label. Samples of a batch lie one after another in one sequence and never
see each other; a branch sees its own tokens and the trunk up to where it left it, so attention is done piece by piece: the trunk is plain
causal, every moment is one small masked block. No [T, T] mask is ever made.

Shape letters: T tokens of the sample, S trunk tokens that a branch sees, N tokens of a branch, H query heads, K key and value heads,
D head size (width of the language model in `vision_VD`), V vision tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ov2.model import OV2Model
from trainer.sample import Sample, Tree


@dataclass(frozen=True, slots=True)
class TreeAttention:
    """Attention of a packed sample: an `ov2.language.Attend`. `masks`: bool [N, S + N] of each branch."""

    tree: Tree
    masks: tuple[torch.Tensor, ...]

    def __call__(self, _layer: int, q_THD: torch.Tensor, k_TKD: torch.Tensor, v_TKD: torch.Tensor) -> torch.Tensor:
        """Attention of all rows, [T, H, D]."""
        repeats = q_THD.shape[1] // k_TKD.shape[1]
        q, k, v = (x.transpose(0, 1).unsqueeze(0) for x in (q_THD, k_TKD, v_TKD))
        k, v = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
        end = self.tree.trunk_end
        pieces = [functional.scaled_dot_product_attention(q[:, :, :end], k[:, :, :end], v[:, :, :end], is_causal=True)]
        for branch, mask in zip(self.tree.branches, self.masks, strict=True):
            own, seen = slice(branch.start, branch.end), branch.seen
            keys = torch.cat((k[:, :, :seen], k[:, :, own]), dim=2)
            values = torch.cat((v[:, :, :seen], v[:, :, own]), dim=2)
            pieces.append(functional.scaled_dot_product_attention(q[:, :, own], keys, values, attn_mask=mask))
        return torch.cat(pieces, dim=2).squeeze(0).transpose(0, 1)


def visible_segments(parents: np.ndarray) -> np.ndarray:
    """bool [S, S]: segment j lies on the path from i to the root (i itself included)."""
    visible = np.eye(len(parents), dtype=bool)
    for segment, parent in enumerate(parents):
        if parent >= 0:
            visible[segment] |= visible[parent]
    return visible


def tree_attention(sample: Sample, device: torch.device) -> TreeAttention:
    """The attention of a sample's tree, with the branches' masks."""
    visible, masks = visible_segments(sample.parents), []
    for branch in sample.tree.branches:
        segments, order = sample.segments[branch.start : branch.end], np.arange(branch.end - branch.start)
        own = visible[segments][:, segments] & (order[None, :] <= order[:, None])
        masks.append(np.concatenate((np.ones((len(order), branch.seen), dtype=bool), own), axis=1))
    return TreeAttention(sample.tree, tuple(torch.from_numpy(mask).to(device) for mask in masks))


@dataclass(frozen=True, slots=True)
class ForestAttention:
    """Attention of several samples that lie one after another: an `ov2.language.Attend`. `trees`: (rows, tree) of each."""

    trees: tuple[tuple[int, TreeAttention], ...]

    def __call__(self, layer: int, q_THD: torch.Tensor, k_TKD: torch.Tensor, v_TKD: torch.Tensor) -> torch.Tensor:
        """Attention of all rows, [T, H, D]."""
        sizes = [rows for rows, _ in self.trees]
        parts = zip(self.trees, *(torch.split(x, sizes) for x in (q_THD, k_TKD, v_TKD)), strict=True)
        return torch.cat([tree(layer, q, k, v) for (_, tree), q, k, v in parts])


def labelled_logits(model: OV2Model, samples: Sequence[Sample], vision_VD: torch.Tensor) -> torch.Tensor:
    """Logits [labelled rows of all samples in order, vocabulary], given the samples' vision tokens."""
    device = vision_VD.device
    ids, positions, labels = (
        torch.from_numpy(np.concatenate([getattr(sample, name) for sample in samples])).to(device)
        for name in ("input_ids", "positions", "labels")
    )
    attend = ForestAttention(tuple((len(sample.input_ids), tree_attention(sample, device)) for sample in samples))
    hidden = model.run_language(model.embed(ids, vision_VD), positions, attend)
    return model.head(hidden[labels >= 0])
