"""From tensors to a launch: who runs a kernel, the element type of its products, and the tiles of a ragged batch.

In: tensors, and starts of sequences on the host. Out: a kernel in flight, and tables for it on the device.

Shape letters: M tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ov2_kernels.triton.configs import Config

_DOT_TYPES = {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16, torch.float32: tl.float32}
INTERPRETED_PROCESSORS = 4
"""What Triton's interpreter on the CPU counts as, so that it splits keys as a GPU would."""


def launch(kernel: Any, grid: tuple[int, ...], like: Tensor, *args: Any, config: Config, **constants: Any) -> None:
    """Run a kernel on the device of `like`."""
    with torch.cuda.device_of(like):
        kernel[grid](*args, **constants, num_warps=config.num_warps, num_stages=config.num_stages)


def dot_type(dtype: torch.dtype) -> tl.dtype:
    """Element type of products. The interpreter holds bfloat16 as bit patterns and would multiply those: there it is float32."""
    if dtype == torch.bfloat16 and triton.knobs.runtime.interpret:
        return tl.float32
    return _DOT_TYPES[dtype]


def num_processors(device: torch.device) -> int:
    if device.type != "cuda":
        return INTERPRETED_PROCESSORS
    return torch.cuda.get_device_properties(device).multi_processor_count


@lru_cache(maxsize=64)
def query_tiles(starts: tuple[int, ...], per_tile: int, device: torch.device) -> Tensor:
    """int32 [M, 4] = (sequence, first query of the tile, first and end of the sequence's queries), on the device. Cached, because all
    layers of a step, and all steps of a decode, ask for the same."""
    rows = [
        (sequence, first, begin, end)
        for sequence, (begin, end) in enumerate(pairwise(starts))
        for first in range(begin, end, per_tile)
    ]
    return torch.tensor(rows, dtype=torch.int32).reshape(-1, 4).to(device)


def starts_of(lengths: Sequence[int]) -> tuple[int, ...]:
    """Where each of some lengths in a row begins, and the end."""
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    return tuple(starts)
