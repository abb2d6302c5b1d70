"""Keys and values in one byte per number, with one scale per token and head.

In: keys or values of new tokens. Out: what goes into a quantised pool, and its scales.

Shape letters: T tokens, K key and value heads, D head size.
"""

from __future__ import annotations

import torch
from torch import Tensor

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
