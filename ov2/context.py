"""A sequence of segments over shared pages: what a session keeps, and what a branch of it is.

In: token ids and vision tokens. Out: hidden states of the new tokens. A token sees what stands in the context when it is
written; what is dropped later stays as it was for those who saw it.

Shape letters: T new tokens, H query heads, K key and value heads, D head size or width, L pages, V vision tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from ov2_kernels import paged_attention
from torch import Tensor

from ov2.model import OV2Model
from ov2.pages import PagePool
from ov2.segment import EncodedGroup, Segment


class Context:
    """Segments in order, and the next free position. Close it: its pages go back to the pool."""

    def __init__(self, model: OV2Model, pool: PagePool) -> None:
        self._model, self._pool = model, pool
        self.segments: tuple[Segment, ...] = ()
        self.next_position = 0

    @property
    def num_tokens(self) -> int:
        """Tokens that a new token would see."""
        return sum(segment.num_tokens for segment in self.segments)

    def append(self, ids: Sequence[int], vision_VD: Tensor | None = None, group: EncodedGroup | None = None) -> Tensor:
        """A new segment, in pages of its own. Returns the hidden states [T, D] of its tokens."""
        segment = Segment(ids=(), first_position=self.next_position, pages=(), group=group)
        return self._write(self.segments, segment, ids, vision_VD)

    def extend(self, ids: Sequence[int]) -> Tensor:
        """More tokens at the end of the last segment, which must be this context's own (a branch writing its answer)."""
        return self._write(self.segments[:-1], self.segments[-1], ids, None)

    def drop(self, index: int) -> None:
        """Forget one segment."""
        self._pool.release(self.segments[index].pages)
        self.segments = self.segments[:index] + self.segments[index + 1 :]

    def fork(self) -> Context:
        """A branch: the same segments by reference. Append to it before extending it."""
        branch = Context(self._model, self._pool)
        for segment in self.segments:
            self._pool.share(segment.pages)
        branch.segments, branch.next_position = self.segments, self.next_position
        return branch

    def close(self) -> None:
        """Forget all segments. Closing twice is fine."""
        segments, self.segments = self.segments, ()
        for segment in segments:
            self._pool.release(segment.pages)

    def _write(self, before: tuple[Segment, ...], segment: Segment, ids: Sequence[int], vision_VD: Tensor | None) -> Tensor:
        """Run the language model over new tokens at the end of `segment`, and put the longer segment in its place."""
        length = segment.num_tokens + len(ids)
        taken = self._pool.take(-(-length // self._pool.page_tokens) - len(segment.pages))
        longer = replace(segment, ids=(*segment.ids, *ids), pages=segment.pages + taken)
        try:
            hidden_TD = self._run((*before, longer), ids, vision_VD)
        except BaseException:
            self._pool.release(taken)
            raise
        self.segments = (*before, longer)
        self.next_position += len(ids)
        return hidden_TD

    @torch.inference_mode()
    def _run(self, segments: tuple[Segment, ...], ids: Sequence[int], vision_VD: Tensor | None) -> Tensor:
        """Hidden states of the last `len(ids)` tokens of `segments`; their keys and values go into the pages."""
        device, page_tokens, pool = self._model.device, self._pool.page_tokens, self._pool
        table = torch.tensor(_page_table(segments, page_tokens), dtype=torch.int32).to(device)
        pages_1L, valid_1L = table[0, None], table[1, None]
        offsets_T = torch.arange(segments[-1].num_tokens - len(ids), segments[-1].num_tokens, device=device)
        own_pages = torch.tensor(segments[-1].pages, device=device)
        slots_T = own_pages[offsets_T // page_tokens] * page_tokens + offsets_T % page_tokens

        def attend(layer: int, q_THD: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
            pool.write(layer, slots_T, k_TKD, v_TKD)
            return paged_attention(q_THD, pool.k_NZKD[layer], pool.v_NZKD[layer], (0, len(ids)), pages_1L, valid_1L)

        x_TD = self._model.embed(torch.tensor(ids, device=device), vision_VD)
        return self._model.run_language(x_TD, segments[-1].first_position + offsets_T, attend)


def _page_table(segments: Sequence[Segment], page_tokens: int) -> tuple[list[int], list[int]]:
    """Pages of the segments in order, and the valid slots of each: all are full but the last of each segment."""
    pages: list[int] = []
    valid: list[int] = []
    for segment in segments:
        if segment.pages:
            pages += segment.pages
            valid += [page_tokens] * (len(segment.pages) - 1)
            valid.append(segment.num_tokens - page_tokens * (len(segment.pages) - 1))
    return pages, valid
