"""Attention of new tokens over keys and values kept in pages.

In: queries of the newest tokens of one sequence, the pools of keys and values, the sequence's pages in order and how many
slots of each hold a token. Out: what each query read. Slots past a page's valid length are never read.

Shape letters: T new tokens, H query heads, K key and value heads, D head size, N pages of the pool, Z slots of a page,
L pages of the sequence, S tokens of the sequence.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def page_slots(pages_L: Tensor, valid_L: Tensor, page_tokens: int) -> Tensor:
    """Index [S] into the flattened pool of every valid slot, in the order of the sequence."""
    offsets_Z = torch.arange(page_tokens, device=pages_L.device)
    slots_LZ = pages_L[:, None] * page_tokens + offsets_Z
    return slots_LZ[offsets_Z < valid_L[:, None]]


def paged_attention(q_THD: Tensor, k_NZKD: Tensor, v_NZKD: Tensor, pages_L: Tensor, valid_L: Tensor) -> Tensor:
    """Attend causally. The T queries belong to the last T tokens of the sequence, whose keys and values are already in their
    pages: query i sees every token but the T - 1 - i newest. H is a multiple of K. Returns [T, H, D].

    The plain truth: the valid slots are gathered, and query heads that share a key head run as rows of one batch.
    """
    num_new, num_heads, head = q_THD.shape
    num_kv = k_NZKD.shape[2]
    slots_S = page_slots(pages_L, valid_L, k_NZKD.shape[1])
    k_KSD = k_NZKD.flatten(0, 1).index_select(0, slots_S).transpose(0, 1)
    v_KSD = v_NZKD.flatten(0, 1).index_select(0, slots_S).transpose(0, 1)
    q_KRD = q_THD.view(num_new, num_kv, -1, head).permute(1, 2, 0, 3).reshape(num_kv, -1, head)
    mask_RS = _newest_hidden(num_new, num_heads // num_kv, slots_S.numel(), q_THD) if num_new > 1 else None
    out_KRD = scaled_dot_product_attention(q_KRD[None], k_KSD[None], v_KSD[None], attn_mask=mask_RS)[0]
    return out_KRD.view(num_kv, -1, num_new, head).permute(2, 0, 1, 3).reshape(num_new, num_heads, head)


def _newest_hidden(num_new: int, repeats: int, num_seen: int, like: Tensor) -> Tensor:
    """Additive mask [repeats * T, S]: minus infinity above the diagonal of the last T columns."""
    mask_TS = like.new_zeros(num_new, num_seen)
    mask_TS[:, num_seen - num_new :] = torch.full((num_new, num_new), -torch.inf, dtype=like.dtype, device=like.device).triu(1)
    return mask_TS.repeat(repeats, 1)
