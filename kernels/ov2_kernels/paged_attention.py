"""Attention of new tokens over keys and values kept in pages, for a ragged batch of sequences.

In: queries of the newest tokens of each sequence, the pools of keys and values, each sequence's pages in order and how many slots of
each hold a token. Out: what each query read. Slots past a page's valid length are never read.

Shape letters: T new tokens of all sequences, H query heads, K key and value heads, D head size, N pages of the pool, Z slots of a
page, B sequences, L pages of the longest sequence, S tokens of a sequence, R rows (new tokens times query heads of one key head).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ov2_kernels.dispatch import runs_kernel
from ov2_kernels.gather import Scales, gather, page_slots
from ov2_kernels.padded import PaddedBatch, is_worth_padding


def paged_attention(
    q_THD: Tensor,
    k_NZKD: Tensor,
    v_NZKD: Tensor,
    starts_B1: Tensor | Sequence[int],
    pages_BL: Tensor,
    valid_BL: Tensor,
    *,
    scales: Scales | None = None,
) -> Tensor:
    """Attend causally. Returns [T, H, D]; H is a multiple of K.

    - `starts_B1` int32 [B + 1]: sequence b has queries starts[b] to starts[b + 1], which may be none. It belongs on the host, where
      launches are planned: one on a device is waited for.
    - `pages_BL`, `valid_BL` int32 [B, L], beside the pools: page l of sequence b holds valid[b, l] tokens, 0 for padding. Any page
      may be partly filled.

    The queries of a sequence belong to its last tokens, whose keys and values are already in their pages: query i of n sees every
    token but the n - 1 - i newest. Pools are of the queries' type, or int8 or float8_e4m3fn with `scales` (`quantise_kv`).
    Raises `ValueError` on CUDA for a head size other than 32, 64 or 128.
    """
    starts = host_starts(starts_B1, q_THD.shape[0])
    if runs_kernel(q_THD, k_NZKD, v_NZKD):
        from ov2_kernels.triton import paged

        return paged.paged_attention(q_THD, k_NZKD, v_NZKD, starts, pages_BL, valid_BL, scales)
    return paged_attention_truth(q_THD, k_NZKD, v_NZKD, starts, pages_BL, valid_BL, scales)


def paged_attention_truth(
    q_THD: Tensor,
    k_NZKD: Tensor,
    v_NZKD: Tensor,
    starts: tuple[int, ...],
    pages_BL: Tensor,
    valid_BL: Tensor,
    scales: Scales | None = None,
) -> Tensor:
    """The plain truth: tokens are gathered once, and query heads that share a key head run as rows of one batch. Short
    sequences are padded to one batch; long ones run one by one."""
    if is_worth_padding(starts, pages_BL, k_NZKD.shape[1]):
        batch = PaddedBatch.of(q_THD, k_NZKD, v_NZKD, starts, pages_BL, valid_BL, scales)
        out_BKRD = scaled_dot_product_attention(batch.q_BKRD, batch.k_BKSD, batch.v_BKSD, attn_mask=batch.mask_B1RS)
        return batch.ragged(out_BKRD)
    outs = []
    for b, (first, end) in enumerate(pairwise(starts)):
        if first < end:
            slots_S = page_slots(pages_BL[b], valid_BL[b], k_NZKD.shape[1])
            k_SKD, v_SKD = gather(k_NZKD, v_NZKD, slots_S, scales, q_THD.dtype)
            outs.append(_attend_newest(q_THD[first:end], k_SKD, v_SKD))
    return torch.cat(outs) if len(outs) > 1 else outs[0] if outs else torch.empty_like(q_THD)


def host_starts(starts_B1: Tensor | Sequence[int], num_queries: int) -> tuple[int, ...]:
    """The starts as integers, checked against the number of queries."""
    starts = tuple(starts_B1.tolist() if isinstance(starts_B1, Tensor) else starts_B1)
    assert (starts[0], starts[-1]) == (0, num_queries), f"starts: expected 0 to {num_queries}, got {starts}"
    return starts


def _attend_newest(q_THD: Tensor, k_SKD: Tensor, v_SKD: Tensor) -> Tensor:
    """One sequence whose last tokens the queries belong to."""
    num_new, num_heads, head = q_THD.shape
    num_seen, num_kv = k_SKD.shape[:2]
    q_KRD = q_THD.view(num_new, num_kv, -1, head).permute(1, 2, 0, 3).reshape(num_kv, -1, head)
    mask_RS = _newest_hidden(num_new, num_heads // num_kv, num_seen, q_THD) if num_new > 1 else None
    k_KSD, v_KSD = k_SKD.transpose(0, 1), v_SKD.transpose(0, 1)
    out_KRD = scaled_dot_product_attention(q_KRD[None], k_KSD[None], v_KSD[None], attn_mask=mask_RS)[0]
    return out_KRD.view(num_kv, -1, num_new, head).permute(2, 0, 1, 3).reshape(num_new, num_heads, head)


def _newest_hidden(num_new: int, repeats: int, num_seen: int, like: Tensor) -> Tensor:
    """Additive mask [repeats * T, S]: minus infinity above the diagonal of the last T columns."""
    mask_TS = like.new_zeros(num_new, num_seen)
    mask_TS[:, num_seen - num_new :] = torch.full((num_new, num_new), -torch.inf, dtype=like.dtype, device=like.device).triu(1)
    return mask_TS.repeat(repeats, 1)
