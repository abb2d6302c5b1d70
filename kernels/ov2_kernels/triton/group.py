"""Group attention: flash attention over packed groups of any lengths, with the 3D rotary embedding applied as q and k are loaded.

In: q, k, v [P, H, D] (slices of one projection: any strides, values of a head adjacent), angles [P, D], lengths on the host.
Out: [P, H, D]. One program reads one tile of queries of one head, and all keys of that tile's group.

Shape letters: P patches, H heads, D head size, M queries and N keys of a tile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from ov2_kernels.triton.configs import Config, config_for
from ov2_kernels.triton.launch import dot_type, launch, query_tiles, starts_of
from ov2_kernels.triton.softmax import finish, take_in


@triton.jit
def _rotated(x, cos, sin, patch_N, is_patch_N, stride_p, HEAD: tl.constexpr, NUM: tl.constexpr):
    """Rows of x, turned by their angles, float32 [N, D]."""
    dims_D = tl.arange(0, HEAD)
    mask_N1 = is_patch_N[:, None]
    at_ND = patch_N.to(tl.int64)[:, None] * HEAD + dims_D[None, :]
    x_ND = tl.load(x + patch_N.to(tl.int64)[:, None] * stride_p + dims_D[None, :], mask=mask_N1, other=0.0).to(tl.float32)
    cos_ND = tl.load(cos + at_ND, mask=mask_N1, other=0.0).to(tl.float32)
    sin_ND = tl.load(sin + at_ND, mask=mask_N1, other=0.0).to(tl.float32)
    even_NE, odd_NE = tl.split(tl.reshape(x_ND, (NUM, HEAD // 2, 2)))
    turned_ND = tl.reshape(tl.join(-odd_NE, even_NE), (NUM, HEAD))
    return x_ND * cos_ND + turned_ND * sin_ND


@triton.jit(do_not_specialize=["num_heads"])
def _attend_groups(
    q,
    k,
    v,
    cos,
    sin,
    out,
    tiles,
    q_stride_p,
    q_stride_h,
    k_stride_p,
    k_stride_h,
    v_stride_p,
    v_stride_h,
    num_heads,
    scale,
    HEAD: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    DOT: tl.constexpr,
):
    tile, head = tl.program_id(0), tl.program_id(1).to(tl.int64)
    first = tl.load(tiles + tile * 4 + 1)
    begin = tl.load(tiles + tile * 4 + 2)
    end = tl.load(tiles + tile * 4 + 3)
    dims_D = tl.arange(0, HEAD)
    query_M = first + tl.arange(0, BLOCK_M)
    q_MD = _rotated(q + head * q_stride_h, cos, sin, query_M, query_M < end, q_stride_p, HEAD, BLOCK_M).to(DOT)
    acc_MD = tl.zeros((BLOCK_M, HEAD), tl.float32)
    top_M = tl.full((BLOCK_M,), float("-inf"), tl.float32)
    total_M = tl.zeros((BLOCK_M,), tl.float32)
    for at in range(begin, end, BLOCK_N):
        key_N = at + tl.arange(0, BLOCK_N)
        is_key_N = key_N < end
        k_ND = _rotated(k + head * k_stride_h, cos, sin, key_N, is_key_N, k_stride_p, HEAD, BLOCK_N).to(DOT)
        scores_MN = tl.dot(q_MD, tl.trans(k_ND), input_precision="ieee") * scale
        scores_MN = tl.where(is_key_N[None, :], scores_MN, float("-inf"))
        v_at_ND = key_N.to(tl.int64)[:, None] * v_stride_p + head * v_stride_h + dims_D[None, :]
        v_ND = tl.load(v + v_at_ND, mask=is_key_N[:, None], other=0.0)
        acc_MD, top_M, total_M = take_in(scores_MN, v_ND, 1.0, acc_MD, top_M, total_M, DOT, False)
    out_MD, _lse_M = finish(acc_MD, top_M, total_M)
    out_at_MD = (query_M.to(tl.int64)[:, None] * num_heads + head) * HEAD + dims_D[None, :]
    tl.store(out + out_at_MD, out_MD.to(out.dtype.element_ty), mask=(query_M < end)[:, None])


def group_attention(
    q_PHD: Tensor,
    k_PHD: Tensor,
    v_PHD: Tensor,
    cos_PD: Tensor,
    sin_PD: Tensor,
    lengths: Sequence[int],
    *,
    config: Config | None = None,
    out_PHD: Tensor | None = None,
) -> Tensor:
    """The kernel behind `ov2_kernels.group_attention`. `out_PHD`: where to write, if not to a tensor of its own."""
    num_patches, num_heads, head_size = q_PHD.shape
    starts = starts_of(lengths)
    assert starts[-1] == num_patches, f"lengths: expected {num_patches} patches in all, got {starts[-1]}"
    config = config or config_for("group", head_size, q_PHD.dtype, q_PHD.device)
    q_PHD, k_PHD, v_PHD = (x if x.stride(-1) == 1 else x.contiguous() for x in (q_PHD, k_PHD, v_PHD))
    if out_PHD is None:
        out_PHD = torch.empty(q_PHD.shape, dtype=q_PHD.dtype, device=q_PHD.device)
    tiles_M4 = query_tiles(starts, config.block_rows, q_PHD.device)
    if not tiles_M4.shape[0]:
        return out_PHD
    launch(
        _attend_groups,
        (tiles_M4.shape[0], num_heads),
        q_PHD,
        q_PHD,
        k_PHD,
        v_PHD,
        cos_PD.contiguous(),
        sin_PD.contiguous(),
        out_PHD,
        tiles_M4,
        *q_PHD.stride()[:2],
        *k_PHD.stride()[:2],
        *v_PHD.stride()[:2],
        num_heads,
        math.log2(math.e) / head_size**0.5,
        HEAD=head_size,
        BLOCK_M=config.block_rows,
        BLOCK_N=config.block_keys,
        DOT=dot_type(q_PHD.dtype),
        config=config,
    )
    return out_PHD
