"""Attention of many branches over one shared prefix: its keys and values are read once for all of them.

In: queries of each branch, the pools, the prefix's pages, each branch's own pages. Out: what each query read: the prefix and the own
pages are attended to apart, and merged by the log-sum-exp of their scores, which is exact.

Shape letters: T new tokens of all branches, H query heads, K key and value heads, D head size, N pages of the pool, Z slots of a page,
B branches, L pages, S tokens, R rows (query heads of one key head times new tokens), C rows that run together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ov2_kernels.dispatch import runs_kernel
from ov2_kernels.gather import Scales, gather, page_slots
from ov2_kernels.padded import PaddedBatch, is_worth_padding
from ov2_kernels.paged_attention import host_starts, paged_attention_truth
from ov2_kernels.scratch import room

ROWS_AT_ONCE = 128
"""Rows whose scores are held at once: a few megabytes, whatever the number of questions."""


def cascade_attention(
    q_THD: Tensor,
    k_NZKD: Tensor,
    v_NZKD: Tensor,
    starts_B1: Tensor | Sequence[int],
    prefix_pages_L: Tensor,
    prefix_valid_L: Tensor,
    pages_BL: Tensor,
    valid_BL: Tensor,
    *,
    scales: Scales | None = None,
) -> Tensor:
    """Attend to the whole prefix, then causally to the branch's own pages. Returns [T, H, D].

    Equals `paged_attention` over the prefix's pages followed by the branch's own, to rounding. Arguments as there; `prefix_pages_L` and
    `prefix_valid_L` int32 [L], and L may be 0. The own pages of a branch hold at least its own new tokens.
    Raises `ValueError` on CUDA for a head size other than 32, 64 or 128.
    """
    starts = host_starts(starts_B1, q_THD.shape[0])
    tables = prefix_pages_L, prefix_valid_L, pages_BL, valid_BL
    if runs_kernel(q_THD, k_NZKD, v_NZKD):
        from ov2_kernels.triton import cascade

        return cascade.cascade_attention(q_THD, k_NZKD, v_NZKD, starts, *tables, scales)
    return cascade_attention_truth(q_THD, k_NZKD, v_NZKD, starts, *tables, scales)


def cascade_attention_truth(
    q_THD: Tensor,
    k_NZKD: Tensor,
    v_NZKD: Tensor,
    starts: tuple[int, ...],
    prefix_pages_L: Tensor,
    prefix_valid_L: Tensor,
    pages_BL: Tensor,
    valid_BL: Tensor,
    scales: Scales | None = None,
) -> Tensor:
    """The plain truth, in float32: one gather of the prefix, and one product with the queries of all branches as rows."""
    if not prefix_pages_L.numel() or not q_THD.shape[0]:
        return paged_attention_truth(q_THD, k_NZKD, v_NZKD, starts, pages_BL, valid_BL, scales)
    num_new, num_heads, head = q_THD.shape
    num_kv = k_NZKD.shape[2]
    slots_S = page_slots(prefix_pages_L, prefix_valid_L, k_NZKD.shape[1])
    k_SKD, v_SKD = gather(k_NZKD, v_NZKD, slots_S, scales, torch.float32)
    q_KRD = q_THD.float().view(num_new, num_kv, -1, head).permute(1, 2, 0, 3).flatten(1, 2)
    read_KRD, lse_KR1 = _attend(q_KRD, k_SKD.transpose(0, 1), v_SKD.transpose(0, 1))
    read_THD, lse_TH1 = (
        x.view(num_kv, -1, num_new, x.shape[-1]).permute(2, 0, 1, 3).reshape(num_new, num_heads, -1)
        for x in (read_KRD, lse_KR1)
    )
    own_THD, own_lse_TH1 = _attend_own(q_THD.float(), k_NZKD, v_NZKD, starts, pages_BL, valid_BL, scales)
    return torch.lerp(own_THD, read_THD, torch.sigmoid(lse_TH1 - own_lse_TH1)).to(q_THD.dtype)


def _attend_own(
    q_THD: Tensor,
    k_NZKD: Tensor,
    v_NZKD: Tensor,
    starts: tuple[int, ...],
    pages_BL: Tensor,
    valid_BL: Tensor,
    scales: Scales | None,
) -> tuple[Tensor, Tensor]:
    """Every branch over its own pages: what it read [T, H, D], and the log-sum-exp of its scores [T, H, 1]."""
    num_branches = pages_BL.shape[0]
    at_once = num_branches if is_worth_padding(starts, pages_BL, k_NZKD.shape[1]) else 1
    parts = []
    for b in range(0, num_branches, at_once):
        first, end = starts[b], starts[b + at_once]
        if first < end:
            own = tuple(start - first for start in starts[b : b + at_once + 1])
            tables = pages_BL[b : b + at_once], valid_BL[b : b + at_once]
            batch = PaddedBatch.of(q_THD[first:end], k_NZKD, v_NZKD, own, *tables, scales)
            parts.append([batch.ragged(x) for x in _attend(batch.q_BKRD, batch.k_BKSD, batch.v_BKSD, batch.mask_B1RS)])
    read, lse = (torch.cat(part) if len(parts) > 1 else part[0] for part in zip(*parts, strict=True))
    return read, lse


def _attend(q_RD: Tensor, k_SD: Tensor, v_SD: Tensor, mask_RS: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """What rows read [..., R, D] and the log-sum-exp of their scores [..., R, 1]; a mask is added to scores, and every row sees a
    token."""
    outs, lses = [], []
    q_RD, k_DS = q_RD * q_RD.shape[-1] ** -0.5, k_SD.transpose(-1, -2)
    for first in range(0, q_RD.shape[-2], ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        q_CD = q_RD[..., rows, :]
        scores_CS = torch.matmul(q_CD, k_DS, out=room("scores", (*q_CD.shape[:-1], k_SD.shape[-2]), q_CD))
        if mask_RS is not None:
            scores_CS += mask_RS[..., rows, :]
        top_C1 = scores_CS.amax(-1, keepdim=True)
        scores_CS = scores_CS.sub_(top_C1).exp_()
        total_C1 = scores_CS.sum(-1, keepdim=True)
        outs.append(scores_CS @ v_SD / total_C1)
        lses.append(top_C1 + total_C1.log())
    return torch.cat(outs, -2), torch.cat(lses, -2)
