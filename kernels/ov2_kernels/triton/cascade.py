"""Cascade attention: the paged kernel once over the shared prefix, for all queries as one sequence, and once over each branch's own
pages; then one merge of all parts.

In: ragged queries of branches, pools, the prefix's pages and each branch's. Out: what each query read.

Shape letters: as in ov2_kernels.triton.paged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ov2_kernels.triton.configs import Config
from ov2_kernels.triton.merge import merge, new_parts
from ov2_kernels.triton.paged import Pools, attend, paged_attention, plan


def cascade_attention(
    q_THD: Tensor,
    k_NZKD: Tensor,
    v_NZKD: Tensor,
    starts: tuple[int, ...],
    prefix_pages_L: Tensor,
    prefix_valid_L: Tensor,
    pages_BL: Tensor,
    valid_BL: Tensor,
    scales: tuple[Tensor, Tensor] | None = None,
    *,
    config: Config | None = None,
    num_splits: int | None = None,
    out_THD: Tensor | None = None,
) -> Tensor:
    """The kernels behind `ov2_kernels.cascade_attention`. `out_THD`: where to write, if not to a tensor of its own."""
    if not prefix_pages_L.numel():
        return paged_attention(
            q_THD, k_NZKD, v_NZKD, starts, pages_BL, valid_BL, scales, config=config, num_splits=num_splits, out_THD=out_THD
        )
    pools = Pools.of(k_NZKD, v_NZKD, scales)
    q_THD = q_THD if q_THD.stride(-1) == 1 else q_THD.contiguous()
    if out_THD is None:
        out_THD = torch.empty(q_THD.shape, dtype=q_THD.dtype, device=q_THD.device)
    everyone = (0, q_THD.shape[0])
    prefix = plan(q_THD, pools, everyone, prefix_pages_L.numel(), config=config, num_splits=num_splits)
    own = plan(q_THD, pools, starts, pages_BL.shape[1], config=config, num_splits=num_splits)
    if not own.num_tiles:
        return out_THD
    parts = prefix.num_splits + own.num_splits
    parts_THSD, lse_THS = new_parts(q_THD, parts)
    attend(
        q_THD, pools, everyone, prefix_pages_L[None], prefix_valid_L[None], prefix, parts_THSD, lse_THS,
        causal=False, num_parts=parts,
    )  # fmt: skip
    attend(
        q_THD, pools, starts, pages_BL, valid_BL, own, parts_THSD, lse_THS,
        causal=True, first_part=prefix.num_splits, num_parts=parts,
    )  # fmt: skip
    merge(parts_THSD, lse_THS, out_THD)
    return out_THD
