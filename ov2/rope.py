"""Rotary position angles of the vision encoder: 3-D (time, row, column).

In: positions. Out: cosines and sines, computed in float32 and cast once. Nothing here has state.

Shape letters: P patches, D head size.
"""

from __future__ import annotations

import torch
from torch import Tensor

SPLIT = (4, 6, 6)
"""Shares of half a head that turn with time, row and column, in sixteenths."""
SPLIT_PARTS = sum(SPLIT)


def split_sizes(head_size: int) -> tuple[int, int, int]:
    """Number of frequencies for time, row and column: 4:6:6 of half the head. The half must be a multiple of 8."""
    half = head_size // 2
    return half * SPLIT[0] // SPLIT_PARTS, half * SPLIT[1] // SPLIT_PARTS, half * SPLIT[2] // SPLIT_PARTS


def _frequencies(size: int, theta: float, device: torch.device) -> Tensor:
    """1 / theta^(i/size) for i below size."""
    return theta ** (-torch.arange(size, dtype=torch.float32, device=device) / size)


def patch_angles(positions_P3: Tensor, head_size: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and sine [P, D] of (t, row, column): three bands side by side, the whole repeated once."""
    bands = [
        positions_P3[:, axis, None].float() * _frequencies(size, theta, positions_P3.device)
        for axis, size in enumerate(split_sizes(head_size))
    ]
    angles_PD = torch.cat(bands * 2, dim=-1)
    return angles_PD.cos().to(dtype), angles_PD.sin().to(dtype)
