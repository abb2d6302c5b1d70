"""Attention of the vision encoder: every patch sees all patches of its own group, and no other.

In: queries, keys and values of many groups, packed one after another, and the 3D rotary angles. Out: what each patch read.

Shape letters: P patches of all groups, H heads, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ov2_kernels.dispatch import runs_kernel


def rotate_interleaved(x_PHD: Tensor, cos_PD: Tensor, sin_PD: Tensor) -> Tensor:
    """Rotary embedding over even and odd neighbours: x * cos + (-x_odd, x_even) * sin."""
    turned = torch.stack((-x_PHD[..., 1::2], x_PHD[..., 0::2]), dim=-1).flatten(-2)
    return x_PHD * cos_PD[:, None] + turned * sin_PD[:, None]


def group_attention(
    q_PHD: Tensor, k_PHD: Tensor, v_PHD: Tensor, cos_PD: Tensor, sin_PD: Tensor, lengths: Sequence[int]
) -> Tensor:
    """Rotate queries and keys, then attend within groups of `lengths` patches (they add up to P). Returns [P, H, D].

    On CUDA tensors one kernel does both. Raises `ValueError` there for a head size other than 32, 64 or 128.
    """
    if runs_kernel(q_PHD, k_PHD, v_PHD):
        from ov2_kernels.triton import group

        return group.group_attention(q_PHD, k_PHD, v_PHD, cos_PD, sin_PD, lengths)
    return group_attention_truth(q_PHD, k_PHD, v_PHD, cos_PD, sin_PD, lengths)


def group_attention_truth(
    q_PHD: Tensor, k_PHD: Tensor, v_PHD: Tensor, cos_PD: Tensor, sin_PD: Tensor, lengths: Sequence[int]
) -> Tensor:
    """The plain truth: neighbouring groups of one length run as one batch, so sort groups by length to make few batches."""
    q_PHD = rotate_interleaved(q_PHD, cos_PD, sin_PD)
    k_PHD = rotate_interleaved(k_PHD, cos_PD, sin_PD)
    outs, first = [], 0
    for length, same in groupby(lengths):
        end = first + length * len(list(same))
        q, k, v = (x[first:end].reshape(-1, length, *x.shape[1:]).transpose(1, 2) for x in (q_PHD, k_PHD, v_PHD))
        outs.append(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1))
        first = end
    assert first == q_PHD.shape[0], f"lengths: expected {q_PHD.shape[0]} patches in all, got {first}"
    return torch.cat(outs)
