"""Keys and values in one byte per number, with one scale per token and head.

In: keys or values of new tokens. Out: what goes into a quantised pool, and its scales; and what slots of a pool hold.

Shape letters: T tokens, K key and value heads, D head size, N pages of the pool, Z slots of a page, S slots that are read.
"""

from __future__ import annotations

import torch
from torch import Tensor

Scales = tuple[Tensor, Tensor]
"""float32 [N, Z, K] of keys and of values: one scale per token and head of quantised pools."""
LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
"""Types of a quantised pool, and the number that the largest of a token's values becomes."""


def quantise_kv(x_TKD: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Values [T, K, D] of `dtype` and float32 scales [T, K]: values times scale is x, to half a step.

    Raises `ValueError` for another type than int8 and float8_e4m3fn.
    """
    if dtype not in LARGEST:
        raise ValueError(f"quantised pools: expected {' or '.join(map(str, LARGEST))}, got {dtype}; choose one of these")
    largest_TK = x_TKD.float().abs().amax(-1)
    scale_TK = torch.where(largest_TK > 0, largest_TK / LARGEST[dtype], 1.0)
    scaled_TKD = x_TKD.float() / scale_TK[..., None]
    if dtype == torch.int8:
        scaled_TKD = scaled_TKD.round()
    return scaled_TKD.clamp(-LARGEST[dtype], LARGEST[dtype]).to(dtype), scale_TK


def gather(k_NZKD: Tensor, v_NZKD: Tensor, slots_S: Tensor, scales: Scales | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Keys and values [S, K, D] at slots of the flattened pools, as `dtype`."""
    k_SKD, v_SKD = (_at(pool, slots_S) for pool in (k_NZKD, v_NZKD))
    if scales is None:
        return k_SKD.to(dtype), v_SKD.to(dtype)
    k_scale_SK, v_scale_SK = (_at(scale, slots_S) for scale in scales)
    return (k_SKD.float() * k_scale_SK[..., None]).to(dtype), (v_SKD.float() * v_scale_SK[..., None]).to(dtype)


def _at(pool: Tensor, slots_S: Tensor) -> Tensor:
    """Rows of the flattened pool; index_select knows no float8, but bytes."""
    is_fp8 = pool.dtype == torch.float8_e4m3fn
    rows = pool.view(torch.uint8) if is_fp8 else pool
    read = rows.flatten(0, 1).index_select(0, slots_S)
    return read.view(pool.dtype) if is_fp8 else read
