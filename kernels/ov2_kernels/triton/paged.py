"""Paged attention: one kernel for appends and decodes, which differ in the rows of a tile and in the number of splits.

In: ragged queries, pools of keys and values, page tables. Out: what each query read, or parts of it: the slots of a sequence may be
split over programs, each of which leaves a normalised part and its log-sum-exp (ov2_kernels.triton.merge).

A tile's rows are its queries times the query heads of one key head, so that keys are loaded once for the whole head group. A tile
of keys runs over slots of consecutive pages, whatever the size of a page; slots without a token are masked, never read.

Shape letters: T queries, H query heads, K key heads, D head size, N pages of the pool, Z slots of a page, B sequences, L pages of the
longest, S parts; inside kernels M rows and N keys of a tile.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ov2_kernels.triton.configs import Config, config_for
from ov2_kernels.triton.launch import dot_type, launch, num_processors, query_tiles
from ov2_kernels.triton.merge import merge, new_parts
from ov2_kernels.triton.softmax import finish, take_in

DECODE_ROWS = 16
"""Rows of the longest sequence up to which a batch counts as decode: what one tensor core instruction takes."""
LEAST_SPLIT_SLOTS = 256
"""A split reads at least so many slots; under that, merging costs more than it hides."""
MOST_SPLITS = 32
_PAGES_AT_ONCE = 256
"""Entries of a page table that are searched at once."""


@triton.jit(do_not_specialize=["num_pages", "num_splits", "first_part", "num_parts", "num_kv"])
def _attend_pages(
    q,
    k,
    v,
    k_scale,
    v_scale,
    out,
    lse,
    tiles,
    pages,
    valid,
    ends,
    q_stride_t,
    q_stride_h,
    num_pages,
    num_splits,
    first_part,
    num_parts,
    num_kv,
    scale,
    PAGE: tl.constexpr,
    GROUP: tl.constexpr,
    HEAD: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    PAGES_AT_ONCE: tl.constexpr,
    CAUSAL: tl.constexpr,
    SCALED: tl.constexpr,
    DOT: tl.constexpr,
):
    tile, kv, split = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.program_id(2)
    row = tl.load(tiles + tile * 4).to(tl.int64) * num_pages
    first = tl.load(tiles + tile * 4 + 1)
    end = tl.load(tiles + tile * 4 + 3)
    total = tl.load(ends + row + num_pages - 1)
    rows_M = tl.arange(0, BLOCK_M)
    query_M = first + rows_M // GROUP
    head_M = kv * GROUP + rows_M % GROUP
    is_row_M = (rows_M < (BLOCK_M // GROUP) * GROUP) & (query_M < end)
    if CAUSAL:
        newest_M = total - end + query_M
        newest = total - end + tl.minimum(first + BLOCK_M // GROUP, end) - 1
    else:
        newest_M = tl.full((BLOCK_M,), 0, tl.int32) + total - 1
        newest = total - 1
    pages_before = 0
    for at in range(0, num_pages, PAGES_AT_ONCE):
        entry_E = at + tl.arange(0, PAGES_AT_ONCE)
        end_E = tl.load(ends + row + entry_E, mask=entry_E < num_pages, other=2147483647)
        pages_before += tl.sum((end_E <= newest).to(tl.int32), 0)
    num_slots = tl.minimum(pages_before + 1, num_pages) * PAGE

    dims_D = tl.arange(0, HEAD)
    q_at_MD = query_M.to(tl.int64)[:, None] * q_stride_t + head_M[:, None] * q_stride_h + dims_D[None, :]
    q_MD = tl.load(q + q_at_MD, mask=is_row_M[:, None], other=0.0).to(DOT)
    acc_MD = tl.zeros((BLOCK_M, HEAD), tl.float32)
    top_M = tl.full((BLOCK_M,), float("-inf"), tl.float32)
    total_M = tl.zeros((BLOCK_M,), tl.float32)
    per_split = tl.cdiv(tl.cdiv(num_slots, BLOCK_N), num_splits) * BLOCK_N
    for at in range(split * per_split, tl.minimum((split + 1) * per_split, num_slots), BLOCK_N):
        slot_N = at + tl.arange(0, BLOCK_N)
        entry_N = slot_N // PAGE
        in_table_N = slot_N < num_slots
        page_N = tl.load(pages + row + entry_N, mask=in_table_N, other=0).to(tl.int64)
        valid_N = tl.load(valid + row + entry_N, mask=in_table_N, other=0)
        end_N = tl.load(ends + row + entry_N, mask=in_table_N, other=0)
        is_token_N = slot_N % PAGE < valid_N
        position_N = end_N - valid_N + slot_N % PAGE
        token_N = (page_N * PAGE + slot_N % PAGE) * num_kv + kv
        k_ND = tl.load(k + token_N[:, None] * HEAD + dims_D[None, :], mask=is_token_N[:, None], other=0.0)
        scores_MN = tl.dot(q_MD, tl.trans(k_ND.to(DOT)), input_precision="ieee") * scale
        value_scale_N = 1.0
        if SCALED:
            scores_MN = scores_MN * tl.load(k_scale + token_N, mask=is_token_N, other=0.0)[None, :]
            value_scale_N = tl.load(v_scale + token_N, mask=is_token_N, other=0.0)
        sees_MN = is_token_N[None, :] & (position_N[None, :] <= newest_M[:, None])
        scores_MN = tl.where(sees_MN, scores_MN, float("-inf"))
        v_ND = tl.load(v + token_N[:, None] * HEAD + dims_D[None, :], mask=is_token_N[:, None], other=0.0)
        acc_MD, top_M, total_M = take_in(scores_MN, v_ND, value_scale_N, acc_MD, top_M, total_M, DOT, SCALED)

    out_MD, lse_M = finish(acc_MD, top_M, total_M)
    part_M = (query_M.to(tl.int64) * (num_kv * GROUP) + head_M) * num_parts + first_part + split
    tl.store(out + part_M[:, None] * HEAD + dims_D[None, :], out_MD.to(out.dtype.element_ty), mask=is_row_M[:, None])
    if num_parts > 1:
        tl.store(lse + part_M, lse_M, mask=is_row_M)


class Pools(NamedTuple):
    """Keys and values of the device's pages, contiguous, and their scales where they are quantised."""

    k_NZKD: Tensor
    v_NZKD: Tensor
    k_scale_NZK: Tensor | None
    v_scale_NZK: Tensor | None

    @classmethod
    def of(cls, k_NZKD: Tensor, v_NZKD: Tensor, scales: tuple[Tensor, Tensor] | None) -> Pools:
        """Checked. Raises `ValueError` for elements that this device cannot read."""
        pools = cls(k_NZKD, v_NZKD, *(scales or (None, None)))
        assert all(x is None or x.is_contiguous() for x in pools), "pools: expected contiguous tensors"
        is_fp8 = k_NZKD.dtype == torch.float8_e4m3fn
        if is_fp8 and k_NZKD.is_cuda and torch.cuda.get_device_capability(k_NZKD.device) < (8, 9):
            raise ValueError(
                f"pools: expected a device of compute capability 8.9 for float8_e4m3fn, "
                f"got {torch.cuda.get_device_name(k_NZKD.device)}; use int8 pools"
            )
        return pools


class Walk(NamedTuple):
    """How one call of the kernel goes over its queries and slots."""

    config: Config
    queries_per_tile: int
    num_tiles: int
    num_splits: int


def plan(
    q_THD: Tensor, pools: Pools, starts: tuple[int, ...], num_entries: int, *, config: Config | None, num_splits: int | None
) -> Walk:
    """Small tiles for decodes, large ones for appends; and as many splits as it takes to keep the device busy."""
    num_heads, head_size = q_THD.shape[1:]
    _, page_tokens, num_kv, _ = pools.k_NZKD.shape
    group = num_heads // num_kv
    longest = max((end - begin for begin, end in pairwise(starts)), default=0)
    if config is None:
        operation = "decode" if longest * group <= DECODE_ROWS else "append"
        config = config_for(operation, head_size, q_THD.dtype, q_THD.device)
    config = config._replace(block_rows=max(config.block_rows, triton.next_power_of_2(group)))
    per_tile = config.block_rows // group
    num_tiles = query_tiles(starts, per_tile, q_THD.device).shape[0]
    if num_splits is None:
        wanted = -(-2 * num_processors(q_THD.device) // max(1, num_tiles * num_kv))
        num_splits = max(1, min(wanted, num_entries * page_tokens // LEAST_SPLIT_SLOTS, MOST_SPLITS))
    return Walk(config, per_tile, num_tiles, num_splits)


def attend(
    q_THD: Tensor,
    pools: Pools,
    starts: tuple[int, ...],
    pages_BL: Tensor,
    valid_BL: Tensor,
    walk: Walk,
    out: Tensor,
    lse: Tensor,
    *,
    causal: bool,
    first_part: int = 0,
    num_parts: int = 1,
) -> None:
    """Run `_attend_pages`: parts `first_part` and following of [T, H, parts, D] and, if there are several, [T, H, parts]."""
    if not walk.num_tiles:
        return
    _, page_tokens, num_kv, head_size = pools.k_NZKD.shape
    pages_BL, valid_BL = pages_BL.contiguous(), valid_BL.contiguous()
    k_scale_NZK, v_scale_NZK = (lse if x is None else x for x in (pools.k_scale_NZK, pools.v_scale_NZK))
    launch(
        _attend_pages,
        (walk.num_tiles, num_kv, walk.num_splits),
        q_THD,
        q_THD,
        pools.k_NZKD,
        pools.v_NZKD,
        k_scale_NZK,
        v_scale_NZK,
        out,
        lse,
        query_tiles(starts, walk.queries_per_tile, q_THD.device),
        pages_BL,
        valid_BL,
        valid_BL.cumsum(1, dtype=torch.int32),
        *q_THD.stride()[:2],
        pages_BL.shape[1],
        walk.num_splits,
        first_part,
        num_parts,
        num_kv,
        math.log2(math.e) / head_size**0.5,
        PAGE=page_tokens,
        GROUP=q_THD.shape[1] // num_kv,
        HEAD=head_size,
        BLOCK_M=walk.config.block_rows,
        BLOCK_N=walk.config.block_keys,
        PAGES_AT_ONCE=_PAGES_AT_ONCE,
        CAUSAL=causal,
        SCALED=pools.k_scale_NZK is not None,
        DOT=dot_type(q_THD.dtype),
        config=walk.config,
    )


def paged_attention(
    q_THD: Tensor,
    k_NZKD: Tensor,
    v_NZKD: Tensor,
    starts: tuple[int, ...],
    pages_BL: Tensor,
    valid_BL: Tensor,
    scales: tuple[Tensor, Tensor] | None = None,
    *,
    config: Config | None = None,
    num_splits: int | None = None,
    out_THD: Tensor | None = None,
) -> Tensor:
    """The kernels behind `ov2_kernels.paged_attention`. `out_THD`: where to write, if not to a tensor of its own."""
    pools = Pools.of(k_NZKD, v_NZKD, scales)
    q_THD = q_THD if q_THD.stride(-1) == 1 else q_THD.contiguous()
    if out_THD is None:
        out_THD = torch.empty(q_THD.shape, dtype=q_THD.dtype, device=q_THD.device)
    walk = plan(q_THD, pools, starts, pages_BL.shape[1], config=config, num_splits=num_splits)
    if not walk.num_tiles:
        return out_THD
    if walk.num_splits == 1:
        attend(q_THD, pools, starts, pages_BL, valid_BL, walk, out_THD, new_parts(q_THD[:0], 1)[1], causal=True)
        return out_THD
    parts_THSD, lse_THS = new_parts(q_THD, walk.num_splits)
    attend(q_THD, pools, starts, pages_BL, valid_BL, walk, parts_THSD, lse_THS, causal=True, num_parts=walk.num_splits)
    merge(parts_THSD, lse_THS, out_THD)
    return out_THD
