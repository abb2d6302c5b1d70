"""Parts of attention, each over some of the keys, merged to what attention over all of them gives.

In: normalised parts and the base-2 logarithm of each part's weights. Out: what each query read. Exact, in any order.

Shape letters: T queries, H heads, S parts, D head size.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ov2_kernels.triton.configs import Config
from ov2_kernels.triton.launch import launch

_MERGE = Config(1, 1, 4, 1)


@triton.jit(do_not_specialize=["num_parts"])
def _merge_parts(parts, lse, out, num_parts, HEAD: tl.constexpr, MOST_PARTS: tl.constexpr):
    """One query and head per program: the mean of its parts, each with the weight that its log-sum-exp says."""
    row = tl.program_id(0).to(tl.int64)
    part_S, dims_D = tl.arange(0, MOST_PARTS), tl.arange(0, HEAD)
    is_part_S = part_S < num_parts
    lse_S = tl.load(lse + row * num_parts + part_S, mask=is_part_S, other=float("-inf"))
    weight_S = tl.exp2(lse_S - tl.max(lse_S, 0))
    part_at_SD = (row * num_parts + part_S)[:, None] * HEAD + dims_D[None, :]
    part_SD = tl.load(parts + part_at_SD, mask=is_part_S[:, None], other=0.0)
    out_D = tl.sum(part_SD * weight_S[:, None], 0) / tl.sum(weight_S, 0)
    tl.store(out + row * HEAD + dims_D, out_D.to(out.dtype.element_ty))


def merge(parts_THSD: Tensor, lse_THS: Tensor, out_THD: Tensor) -> None:
    """Parts of every query and head to one."""
    num_queries, num_heads, num_parts, head_size = parts_THSD.shape
    most = triton.next_power_of_2(num_parts)
    launch(
        _merge_parts,
        (num_queries * num_heads,),
        out_THD,
        parts_THSD,
        lse_THS,
        out_THD,
        num_parts,
        HEAD=head_size,
        MOST_PARTS=most,
        config=_MERGE,
    )


def new_parts(q_THD: Tensor, num_parts: int) -> tuple[Tensor, Tensor]:
    """Room for float32 parts [T, H, S, D] and their log-sum-exps [T, H, S]."""
    num_queries, num_heads, head_size = q_THD.shape
    parts_THSD = torch.empty(num_queries, num_heads, num_parts, head_size, dtype=torch.float32, device=q_THD.device)
    return parts_THSD, parts_THSD.new_empty(num_queries, num_heads, num_parts)
