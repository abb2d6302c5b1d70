"""A sequence of segments over shared pages: what a session keeps, and what a branch of it is.

In: token ids and vision tokens. Out: scheduled tokens, which `ov2.forward.forward` runs, alone or with those of other contexts. A token sees
what stands in the context when it is written; what is dropped later stays as it was for those who saw it.

Shape letters: T new tokens, D width, V vision tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ov2.errors import PagesError
from ov2.forward import ScheduledTokens, forward, places_of
from ov2.model import OV2Model
from ov2.pages import PagePool
from ov2.prompt import system_tokens
from ov2.segment import EncodedGroup, Segment
from ov2.session_settings import Limits
from ov2.text import TextTokenizer


class Run(NamedTuple):
    """Tokens of one segment: of a new one, or, where it `goes_on`, of the last."""

    ids: Sequence[int]
    vision_VD: Tensor | None = None
    group: EncodedGroup | None = None
    goes_on: bool = False


class KVSequence:
    """Segments in order, and the next free position. Close it: its pages go back to the pool."""

    def __init__(self, model: OV2Model, pool: PagePool) -> None:
        self._model, self._pool = model, pool
        self.segments: tuple[Segment, ...] = ()
        self.next_position = 0

    @property
    def num_tokens(self) -> int:
        """Tokens that a new token would see."""
        return sum(segment.num_tokens for segment in self.segments)

    def begin(self, ids: Sequence[int], vision_VD: Tensor | None = None, group: EncodedGroup | None = None) -> ScheduledTokens:
        """Tokens of a new segment, in pages of its own. `commit` them once they are written, or `cancel`."""
        return self.write([Run(ids, vision_VD, group)])

    def more(self, ids: Sequence[int], vision_VD: Tensor | None = None) -> ScheduledTokens:
        """Tokens at the end of the last segment, which must be this context's own."""
        return self.write([Run(ids, vision_VD, goes_on=True)])

    def write(self, runs: Sequence[Run]) -> ScheduledTokens:
        """Several of them, one after another: each sees the ones before it. Raises `PagesError` when too few pages are free."""
        first = len(self.segments) - runs[0].goes_on
        before, position = self.segments[:first], self.next_position
        written: list[Segment] = []
        taken: tuple[int, ...] = ()
        for run_ in runs:
            if run_.goes_on:
                segment = self.segments[-1]
            else:
                segment = Segment(ids=(), first_position=position, pages=(), group=run_.group)
            length = segment.num_tokens + len(run_.ids)
            try:
                pages = self._pool.take(-(-length // self._pool.page_tokens) - len(segment.pages))
            except PagesError:
                self._pool.release(taken)
                raise
            taken += pages
            written.append(replace(segment, ids=(*segment.ids, *run_.ids), pages=segment.pages + pages))
            position = segment.first_position + length
        vision = [run_.vision_VD for run_ in runs if run_.vision_VD is not None]
        return ScheduledTokens(
            before=before,
            segments=tuple(written),
            counts=tuple(len(run_.ids) for run_ in runs),
            ids=[token for run_ in runs for token in run_.ids],
            vision_VD=torch.cat(vision) if vision else None,
            taken=taken,
        )

    def commit(self, scheduled: ScheduledTokens) -> None:
        """The tokens are written: they belong to the context now."""
        last = scheduled.segments[-1]
        self.segments = (*scheduled.before, *scheduled.segments)
        self.next_position = last.first_position + last.num_tokens

    def cancel(self, scheduled: ScheduledTokens) -> None:
        """They were not written, or not in all layers: pages taken for them go back, and the slots of older pages may be written again."""
        self._pool.forget(places_of([scheduled], self._pool.page_tokens)[1])
        self._pool.release(scheduled.taken)

    def append(self, ids: Sequence[int], vision_VD: Tensor | None = None, group: EncodedGroup | None = None) -> Tensor:
        """`begin`, written now. Returns the hidden states [T, D]."""
        return self._write(self.begin(ids, vision_VD, group))

    def extend(self, ids: Sequence[int]) -> Tensor:
        """`more`, written now."""
        return self._write(self.more(ids))

    def drop(self, index: int) -> None:
        """Forget one segment."""
        self._pool.release(self.segments[index].pages)
        self.segments = self.segments[:index] + self.segments[index + 1 :]

    def skip(self, num_positions: int) -> None:
        """Leave positions free."""
        self.next_position += num_positions

    def fork(self, keep: Callable[[Segment], bool] = lambda segment: True) -> KVSequence:
        """A branch: the same segments, or those to keep, by reference. Append to it before extending it."""
        branch = KVSequence(self._model, self._pool)
        branch.segments = tuple(segment for segment in self.segments if keep(segment))
        branch.next_position = self.next_position
        for segment in branch.segments:
            self._pool.share(segment.pages)
        return branch

    def fork_first(self) -> KVSequence:
        """A branch of the first segment alone, which goes on right behind it."""
        first = self.segments[0]
        branch = self.fork(lambda segment: segment is first)
        branch.next_position = first.first_position + first.num_tokens
        return branch

    def take_behind_first(self, branch: KVSequence) -> None:
        """Share what a branch of the first segment wrote behind it; the branch may be closed. Positions go on where they were."""
        own, older = self.segments, branch.segments[1:]
        assert not older or older[-1].first_position + older[-1].num_tokens <= self._free_until(), "recall: positions are taken"
        for segment in older:
            self._pool.share(segment.pages)
        self.segments = (*own[:1], *older, *own[1:])

    def _free_until(self) -> int:
        """The first position behind the first segment that is taken."""
        return self.segments[1].first_position if len(self.segments) > 1 else self.next_position

    def adopt(self, branch: KVSequence) -> None:
        """Take the last segment of a branch as this context's own; the branch may be closed."""
        segment = branch.segments[-1]
        self._pool.share(segment.pages)
        self.segments = (*self.segments, segment)
        self.next_position = branch.next_position

    def close(self) -> None:
        """Forget all segments. Closing twice is fine."""
        segments, self.segments = self.segments, ()
        for segment in segments:
            self._pool.release(segment.pages)

    def abandon(self) -> None:
        """Forget all segments, and leave their pages to a pool that is reset."""
        self.segments = ()

    def _write(self, scheduled: ScheduledTokens) -> Tensor:
        try:
            (hidden_TD,) = forward(self._model, self._pool, [scheduled])
        except BaseException:
            self.cancel(scheduled)
            raise
        self.commit(scheduled)
        return hidden_TD


def begin_sequence(model: OV2Model, pool: PagePool, text: TextTokenizer, limits: Limits) -> KVSequence:
    """How every window begins: the system text, and room for recall behind it."""
    sequence = KVSequence(model, pool)
    sequence.append(system_tokens(text))
    sequence.skip(limits.recall_tokens)
    return sequence
