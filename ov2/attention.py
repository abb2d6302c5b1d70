"""What a token sees when a whole sequence runs at once: training, and the offline reference of a session.

In: a causal sequence, a square mask, or a trunk with branches. Out: an `Attend` for the language model.

Shape letters: T tokens, P trunk tokens, B branch tokens (T = P + B), H query heads, K key and value heads, D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ov2.language import Attend


@dataclass(frozen=True, slots=True)
class TreeMask:
    """A causal trunk of `trunk` tokens, followed by branches that see parts of it.

    `branches_BT`: additive float [B, T], zero where a branch token sees, minus infinity elsewhere. The trunk never sees a
    branch. Cheaper than a square mask: the trunk runs causally, and only the branch rows carry a mask.
    """

    trunk: int
    branches_BT: Tensor

    @classmethod
    def of(cls, trunk: int, branches: Sequence[tuple[int, int]], *, like: Tensor | None = None) -> TreeMask:
        """From (seen, length) of each branch in order: it sees the first `seen` trunk tokens and itself, causally.

        `like` gives type and device (default: float32 on the CPU).
        """
        like = torch.empty(0) if like is None else like
        total = trunk + sum(length for _, length in branches)
        rows, first = [], trunk
        for seen, length in branches:
            assert 0 <= seen <= trunk, f"branch: expected to see at most {trunk} trunk tokens, got {seen}"
            row_LT = torch.full((length, total), -torch.inf, dtype=like.dtype, device=like.device)
            row_LT[:, :seen] = 0
            row_LT[:, first : first + length] = row_LT[:, first : first + length].triu(1)
            rows.append(row_LT)
            first += length
        return cls(trunk, torch.cat(rows) if rows else like.new_zeros(0, total))


def attend_to(mask: Tensor | TreeMask | None) -> Attend:
    """An `Attend` over one sequence: causal (None), a mask [T, T] (bool: True sees; float: added), or a tree."""
    if isinstance(mask, Tensor) and mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, -torch.inf)

    def attend(_layer: int, q_THD: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
        repeats = q_THD.shape[1] // k_TKD.shape[1]
        q, k, v = (x.transpose(0, 1)[None] for x in (q_THD, k_TKD, v_TKD))
        k, v = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
        return _attend(q, k, v, mask)[0].transpose(0, 1)

    return attend


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | TreeMask | None) -> Tensor:
    """Scaled dot product attention of [1, H, T, D]."""
    if mask is None:
        return scaled_dot_product_attention(q, k, v, is_causal=True)
    if isinstance(mask, Tensor):
        return scaled_dot_product_attention(q, k, v, attn_mask=mask.to(q.dtype))
    trunk_q, trunk_k, trunk_v = (x[:, :, : mask.trunk] for x in (q, k, v))
    parts = [scaled_dot_product_attention(trunk_q, trunk_k, trunk_v, is_causal=True)]
    if mask.branches_BT.shape[0]:
        branches_BT = mask.branches_BT.to(q.dtype)
        parts.append(scaled_dot_product_attention(q[:, :, mask.trunk :], k, v, attn_mask=branches_BT))
    return torch.cat(parts, dim=2)
