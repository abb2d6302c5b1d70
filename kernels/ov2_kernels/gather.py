"""Keys and values copied out of the pools, for the plain truths.

In: pools and page tables. Out: the tokens of a sequence in a row.

Shape letters: N pages of the pool, Z slots of a page, K key and value heads, D head size, L pages of a sequence, S tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ov2_kernels.scratch import room

Scales = tuple[Tensor, Tensor]
"""float32 [N, Z, K] of keys and of values: one scale per token and head of quantised pools."""


def page_slots(pages_L: Tensor, valid_L: Tensor, page_tokens: int) -> Tensor:
    """Index [S] into the flattened pool of every valid slot, in the order of the sequence."""
    offsets_Z = torch.arange(page_tokens, device=pages_L.device)
    slots_LZ = pages_L.long()[:, None] * page_tokens + offsets_Z
    return slots_LZ[offsets_Z < valid_L[:, None]]


def gather(k_NZKD: Tensor, v_NZKD: Tensor, slots_S: Tensor, scales: Scales | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Keys and values [S, K, D] at slots of the flattened pools, as `dtype`. They stand until the thread gathers again (scratch)."""
    k_SKD, v_SKD = _at(k_NZKD, slots_S, "keys"), _at(v_NZKD, slots_S, "values")
    if scales is None:
        return k_SKD.to(dtype), v_SKD.to(dtype)
    k_scale_SK, v_scale_SK = (scale.flatten(0, 1).index_select(0, slots_S) for scale in scales)
    return (k_SKD.float() * k_scale_SK[..., None]).to(dtype), (v_SKD.float() * v_scale_SK[..., None]).to(dtype)


def _at(pool_NZKD: Tensor, slots_S: Tensor, name: str) -> Tensor:
    """What the pool holds at some slots [S, K, D]."""
    if pool_NZKD.dtype == torch.float8_e4m3fn:  # index_select knows bytes, but no float8
        return _at(pool_NZKD.view(torch.uint8), slots_S, name).view(pool_NZKD.dtype)
    out_SKD = room(name, (slots_S.numel(), *pool_NZKD.shape[2:]), pool_NZKD)
    return torch.index_select(pool_NZKD.flatten(0, 1), 0, slots_S, out=out_SKD)
