"""The training forward pass: packed samples through the model, attention along their trees.

In: a model and `Sample`s. Out: logits of the tokens that carry a label. Samples of a batch lie one after another in one sequence and never see
each other; a branch sees its own tokens and the trunk up to where it left it, so attention
is done piece by piece: the trunk is plain causal, every moment is one small masked block. No [T, T] mask is ever made.

Shape letters: T tokens of the sample, S trunk tokens that a branch sees, N tokens of a branch, H query heads, K key and value heads,
D head size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ov2.canvas import CanvasGroup
from ov2.model import OV2Model
from ov2.pixels import vision_inputs
from trainer.sample import Sample


@dataclass(frozen=True, slots=True)
class _Branch:
    """One moment: rows [start, end) of the sample, the trunk rows [0, trunk_end) it sees, and its mask [N, S + N]."""

    start: int
    end: int
    trunk_end: int
    mask: torch.Tensor


@dataclass(frozen=True, slots=True)
class TreeAttention:
    """Attention of a packed sample: an `ov2.language.Attend`."""

    trunk_end: int
    branches: tuple[_Branch, ...]

    def __call__(self, _layer: int, q_THD: torch.Tensor, k_TKD: torch.Tensor, v_TKD: torch.Tensor) -> torch.Tensor:
        """Attention of all rows, [T, H, D]."""
        repeats = q_THD.shape[1] // k_TKD.shape[1]
        q, k, v = (x.transpose(0, 1).unsqueeze(0) for x in (q_THD, k_TKD, v_TKD))
        k, v = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
        end = self.trunk_end
        pieces = [functional.scaled_dot_product_attention(q[:, :, :end], k[:, :, :end], v[:, :, :end], is_causal=True)]
        for branch in self.branches:
            own, seen = slice(branch.start, branch.end), branch.trunk_end
            keys = torch.cat((k[:, :, :seen], k[:, :, own]), dim=2)
            values = torch.cat((v[:, :, :seen], v[:, :, own]), dim=2)
            pieces.append(functional.scaled_dot_product_attention(q[:, :, own], keys, values, attn_mask=branch.mask))
        return torch.cat(pieces, dim=2).squeeze(0).transpose(0, 1)


def visible_segments(parents: np.ndarray) -> np.ndarray:
    """bool [S, S]: segment j lies on the path from i to the root (i itself included)."""
    visible = np.eye(len(parents), dtype=bool)
    for segment, parent in enumerate(parents):
        if parent >= 0:
            visible[segment] |= visible[parent]
    return visible


def tree_attention(sample: Sample, device: torch.device) -> TreeAttention:
    """Find trunk and branches of a sample, and make the branches' masks."""
    parents, segments = sample.parents, sample.segments
    trunk = 1
    while trunk < len(parents) and parents[trunk] == trunk - 1 and not _is_leaf(sample, trunk):
        trunk += 1
    trunk_end = int(np.searchsorted(segments, trunk))
    visible = visible_segments(parents)
    branches, first = [], trunk
    while first < len(parents):
        root = parents[first]
        last = first + 1
        while last < len(parents) and parents[last] in (first, root) and (parents[last] == first or _is_leaf(sample, first)):
            last += 1
        start, end = int(np.searchsorted(segments, first)), int(np.searchsorted(segments, last))
        seen = int(np.searchsorted(segments, root, side="right"))
        own = visible[segments[start:end]][:, segments[start:end]]
        order = np.arange(end - start)
        own &= (segments[start:end, None] != segments[None, start:end]) | (order[None, :] <= order[:, None])
        mask = np.concatenate((np.ones((end - start, seen), dtype=bool), own), axis=1)
        branches.append(_Branch(start, end, seen, torch.from_numpy(mask).to(device)))
        first = last
    return TreeAttention(trunk_end, tuple(branches))


def _is_leaf(sample: Sample, segment: int) -> bool:
    """Whether a segment is a question (questions end branches; they are the segments that carry labels)."""
    rows = np.searchsorted(sample.segments, [segment, segment + 1])
    return bool((sample.labels[rows[0] : rows[1]] >= 0).any())


@dataclass(frozen=True, slots=True)
class ForestAttention:
    """Attention of several samples that lie one after another: an `ov2.language.Attend`. `trees`: (rows, tree) of each."""

    trees: tuple[tuple[int, TreeAttention], ...]

    def __call__(self, layer: int, q_THD: torch.Tensor, k_TKD: torch.Tensor, v_TKD: torch.Tensor) -> torch.Tensor:
        """Attention of all rows, [T, H, D]."""
        sizes = [rows for rows, _ in self.trees]
        parts = zip(self.trees, *(torch.split(x, sizes) for x in (q_THD, k_TKD, v_TKD)), strict=True)
        return torch.cat([tree(layer, q, k, v) for (_, tree), q, k, v in parts])


def encode(model: OV2Model, groups: Iterable[CanvasGroup]) -> torch.Tensor:
    """Vision tokens [V, D] of groups of any sizes, in order."""
    device = next(model.parameters()).device
    parts = [vision_inputs(group) for group in groups]
    values, grid, places = (
        torch.cat([getattr(part, name) for part in parts]).to(device)
        for name in ("pixel_values", "image_grid_thw", "patch_positions")
    )
    return model.vision_tokens(values, grid, places)


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
