"""New tokens on their way into contexts: many contexts in one pass of the language model.

In: scheduled tokens of many contexts, each with what they see. Out: their hidden states; keys and values are in the pages. Contexts that
see the same segments in front of their own (questions about one window) read those once, by cascade attention; the others run
as one ragged batch.

Shape letters: T new tokens of all contexts, D head size or width, H query heads, K key and value heads, B contexts that run together,
L pages, V vision tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import torch
from ov2_kernels import cascade_attention, paged_attention
from torch import Tensor

from ov2.model import OV2Model
from ov2.pages import PagePool
from ov2.segment import Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledTokens:
    """`ids` are the last tokens of `segments`, of each as many as `counts` says; they see the segments `before` and, causally, these.
    All but the first of several are new. `taken`: pages that they got for the tokens."""

    before: tuple[Segment, ...]
    segments: tuple[Segment, ...]
    counts: tuple[int, ...]
    ids: Sequence[int] = field(repr=False)
    vision_VD: Tensor | None = field(default=None, repr=False)
    taken: tuple[int, ...] = ()

    @property
    def num_tokens(self) -> int:
        return len(self.ids)


class _Batch(NamedTuple):
    """Scheduled tokens that run together; all of them see the whole prefix."""

    scheduled: list[ScheduledTokens]
    prefix: tuple[Segment, ...]


@torch.inference_mode()
def forward(model: OV2Model, pool: PagePool, scheduled: Sequence[ScheduledTokens]) -> list[Tensor]:
    """Hidden states [T, D] of the new tokens of each, in their order."""
    batches = _batches(scheduled)
    ordered = [each for batch in batches for each in batch.scheduled]
    device = model.device
    ids_T = torch.tensor([token for each in ordered for token in each.ids], device=device)
    positions_T, slots_T = (torch.tensor(column, device=device) for column in places_of(ordered, pool.page_tokens))
    vision = [each.vision_VD for each in ordered if each.vision_VD is not None]
    x_TD = model.embed(ids_T, torch.cat(vision) if vision else None)
    reads = [_read(batch, pool, device) for batch in batches]

    def attend(layer: int, q_THD: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
        pool.write(layer, slots_T, k_TKD, v_TKD)
        outs, first = [], 0
        for num_tokens, read in reads:
            outs.append(read(layer, q_THD[first : first + num_tokens]))
            first += num_tokens
        return torch.cat(outs) if len(outs) > 1 else outs[0]

    hidden_TD = model.run_language(x_TD, positions_T, attend)
    split = dict(zip(map(id, ordered), torch.split(hidden_TD, [each.num_tokens for each in ordered]), strict=True))
    return [split[id(each)] for each in scheduled]


def _batches(scheduled: Sequence[ScheduledTokens]) -> list[_Batch]:
    """Those that see the same segments together; in the last batch those that share with nobody."""
    sharing: dict[tuple[int, ...], list[ScheduledTokens]] = {}
    for each in scheduled:
        sharing.setdefault(tuple(map(id, each.before)), []).append(each)
    shared = [_Batch(same, same[0].before) for before, same in sharing.items() if before and len(same) > 1]
    alone = [each for before, same in sharing.items() if not before or len(same) == 1 for each in same]
    return [*shared, _Batch(alone, ())] if alone else shared


_Read = Callable[[int, Tensor], Tensor]


def _read(batch: _Batch, pool: PagePool, device: torch.device) -> tuple[int, _Read]:
    """The number of tokens of a batch, and attention of one layer over the pages that it sees."""
    starts = (0, *accumulate(each.num_tokens for each in batch.scheduled))
    if batch.prefix:
        prefix_21L = _table([batch.prefix], pool.page_tokens, device)
        own_2BL = _table([each.segments for each in batch.scheduled], pool.page_tokens, device)
        return starts[-1], _cascade(pool, starts, prefix_21L, own_2BL)
    seen_2BL = _table([(*each.before, *each.segments) for each in batch.scheduled], pool.page_tokens, device)
    return starts[-1], _paged(pool, starts, seen_2BL)


def _cascade(pool: PagePool, starts: tuple[int, ...], prefix_21L: Tensor, own_2BL: Tensor) -> _Read:
    def read(layer: int, q_THD: Tensor) -> Tensor:
        k_NZKD, v_NZKD, scales = pool.layer(layer)
        return cascade_attention(
            q_THD, k_NZKD, v_NZKD, starts, prefix_21L[0, 0], prefix_21L[1, 0], own_2BL[0], own_2BL[1], scales=scales
        )

    return read


def _paged(pool: PagePool, starts: tuple[int, ...], seen_2BL: Tensor) -> _Read:
    def read(layer: int, q_THD: Tensor) -> Tensor:
        k_NZKD, v_NZKD, scales = pool.layer(layer)
        return paged_attention(q_THD, k_NZKD, v_NZKD, starts, seen_2BL[0], seen_2BL[1], scales=scales)

    return read


def _table(seen: Sequence[Sequence[Segment]], page_tokens: int, device: torch.device) -> Tensor:
    """Pages and their valid slots, int32 [2, B, L]: all pages are full but the last of each segment; rows are padded with zeros."""
    rows = [pages_of(segments, page_tokens) for segments in seen]
    longest = max(len(pages) for pages, _ in rows)
    padded = [[column + [0] * (longest - len(column)) for column in row] for row in rows]
    return torch.tensor(padded, dtype=torch.int32).view(len(rows), 2, longest).transpose(0, 1).contiguous().to(device)


def pages_of(segments: Sequence[Segment], page_tokens: int) -> tuple[list[int], list[int]]:
    """Pages of segments in order, and the valid slots of each."""
    pages: list[int] = []
    valid: list[int] = []
    for segment in segments:
        if segment.pages:
            pages += segment.pages
            valid += [page_tokens] * (len(segment.pages) - 1)
            valid.append(segment.num_tokens - page_tokens * (len(segment.pages) - 1))
    return pages, valid


def places_of(scheduled: Sequence[ScheduledTokens], page_tokens: int) -> tuple[list[int], list[int]]:
    """Position of every new token, and its slot of the flattened pool."""
    positions: list[int] = []
    slots: list[int] = []
    for each in scheduled:
        for segment, count in zip(each.segments, each.counts, strict=True):
            for offset in range(segment.num_tokens - count, segment.num_tokens):
                positions.append(segment.first_position + offset)
                slots.append(segment.pages[offset // page_tokens] * page_tokens + offset % page_tokens)
    return positions, slots
