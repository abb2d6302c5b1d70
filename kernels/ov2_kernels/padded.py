"""Ragged sequences as one padded batch: how the plain truths run many short sequences at once.

In: ragged queries, pools, page tables. Out: a batch whose mask says which token a row sees; and back to ragged order. Slots without
a token are replaced by one that has a token, and masked: what they hold is never read.

Shape letters: B sequences, T new tokens (inside a batch: of the longest), H query heads, K key and value heads, G query heads of one
key head, D head size, R rows (G times T), N pages of the pool, Z slots of a page, L pages and S slots of the longest sequence.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ov2_kernels.gather import Scales, gather

PADDED_SLOTS, PADDED_SCORES = 8192, 2**19
"""Several sequences run as one batch while it has at most so many slots in its page tables and so many scores per head, padding counted.
Above, the batch leaves the processor's cache, or is mostly padding (one append among decodes), and a call per sequence costs less."""


def is_worth_padding(starts: tuple[int, ...], pages_BL: Tensor, page_tokens: int) -> bool:
    """Whether sequences run faster together than one by one."""
    num_slots = pages_BL.numel() * page_tokens
    most_new = max((end - first for first, end in pairwise(starts)), default=0)
    return pages_BL.shape[0] > 1 and num_slots <= PADDED_SLOTS and 0 < most_new * num_slots <= PADDED_SCORES


class PaddedBatch(NamedTuple):
    """`mask_B1RS` is added to scores: zero or minus infinity. `places_T`: where each query stands among B times T."""

    q_BKRD: Tensor
    k_BKSD: Tensor
    v_BKSD: Tensor
    mask_B1RS: Tensor
    places_T: Tensor
    most_new: int

    @classmethod
    def of(
        cls,
        q_THD: Tensor,
        k_NZKD: Tensor,
        v_NZKD: Tensor,
        starts: tuple[int, ...],
        pages_BL: Tensor,
        valid_BL: Tensor,
        scales: Scales | None,
    ) -> PaddedBatch:
        """Sequences whose queries belong to their last tokens; those without queries are left out."""
        busy = [b for b, (first, end) in enumerate(pairwise(starts)) if first < end]
        if len(busy) < len(starts) - 1:
            pages_BL, valid_BL = pages_BL[busy], valid_BL[busy]
        num_new = [starts[b + 1] - starts[b] for b in busy]
        num_batch, most_new = len(busy), max(num_new)
        num_kv, head = k_NZKD.shape[2:]
        new_T = torch.arange(most_new, device=q_THD.device)
        num_new_B = torch.tensor(num_new, device=q_THD.device)
        first_B = torch.tensor([starts[b] for b in busy], device=q_THD.device)
        q_BTHD = q_THD[(first_B[:, None] + new_T).clamp_(max=q_THD.shape[0] - 1)]
        slots_BS, is_token_BS = _slots(pages_BL, valid_BL, k_NZKD.shape[1])
        k_SKD, v_SKD = gather(k_NZKD, v_NZKD, slots_BS.flatten(), scales, q_THD.dtype)
        count_BS = is_token_BS.cumsum(1)
        seen_BT = count_BS[:, -1:] - num_new_B[:, None] + 1 + new_T
        sees_BTS = is_token_BS[:, None] & (count_BS[:, None] <= seen_BT[:, :, None])
        mask_BTS = torch.zeros(sees_BTS.shape, dtype=q_THD.dtype, device=q_THD.device).masked_fill_(~sees_BTS, -torch.inf)
        return cls(
            q_BTHD.view(num_batch, most_new, num_kv, -1, head).permute(0, 2, 3, 1, 4).flatten(2, 3),
            k_SKD.view(num_batch, -1, num_kv, head).transpose(1, 2),
            v_SKD.view(num_batch, -1, num_kv, head).transpose(1, 2),
            mask_BTS.repeat(1, q_THD.shape[1] // num_kv, 1)[:, None],
            (new_T < num_new_B[:, None]).flatten().nonzero().flatten(),
            most_new,
        )

    def ragged(self, rows_BKRX: Tensor) -> Tensor:
        """What rows hold, in the order of the queries: [T, H, X]."""
        num_batch, num_kv, _, size = rows_BKRX.shape
        rows_BKGTX = rows_BKRX.view(num_batch, num_kv, -1, self.most_new, size)
        return rows_BKGTX.permute(0, 3, 1, 2, 4).flatten(2, 3).flatten(0, 1)[self.places_T]


def _slots(pages_BL: Tensor, valid_BL: Tensor, page_tokens: int) -> tuple[Tensor, Tensor]:
    """Slots [B, S] of the flattened pool, and which of them hold a token; the others repeat one that does."""
    offsets_Z = torch.arange(page_tokens, device=pages_BL.device)
    is_token_BS = (offsets_Z < valid_BL[:, :, None]).flatten(1)
    slots_BS = (pages_BL.long()[:, :, None] * page_tokens + offsets_Z).flatten(1)
    any_token_B1 = is_token_BS.to(torch.uint8).argmax(1, keepdim=True)
    return torch.where(is_token_BS, slots_BS, slots_BS.gather(1, any_token_B1)), is_token_BS
