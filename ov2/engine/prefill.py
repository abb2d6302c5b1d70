"""Tokens that go into new segments of a context, a few at a time.

In: a context, chunks of tokens and vision tokens, one per segment. Out: scheduled tokens, at most so many at a time, in order; each time
the commit. An answer is a prefill that grows by one token at a time; a renewal is one of many chunks, several of which are scheduled
together.

Shape letters: V vision tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ov2.forward import ScheduledTokens
from ov2.kv_sequence import KVSequence, Run
from ov2.segment import EncodedGroup


class Chunk(NamedTuple):
    """Tokens of one segment."""

    ids: list[int]
    vision_VD: Tensor | None = None
    group: EncodedGroup | None = None


class ChunkedPrefill:
    """`left` tokens are still to be written. Close it: its context's pages go back, and nothing more may be written."""

    def __init__(self, context: KVSequence, chunks: Sequence[Chunk], image_pad: int) -> None:
        self.context = context
        self.is_closed = False
        self._chunks, self._image_pad = list(chunks), image_pad
        self._done = self._next = _Cursor()

    @property
    def left(self) -> int:
        return sum(len(chunk.ids) for chunk in self._chunks[self._done.chunk :]) - self._done.ids

    def add(self, token: int) -> None:
        """One more token at the end."""
        if self._done.chunk == len(self._chunks):
            last = self._chunks[-1]
            self._done = _Cursor(len(self._chunks) - 1, len(last.ids), len(last.vision_VD) if last.vision_VD is not None else 0)
        self._chunks[-1].ids.append(token)

    def next(self, most: int) -> ScheduledTokens:
        """The next tokens, at most so many. Raises `PagesError` when no page is free for them."""
        place, runs = self._done, []
        while most and place.chunk < len(self._chunks):
            chunk = self._chunks[place.chunk]
            ids = chunk.ids[place.ids : place.ids + most]
            num_vision = ids.count(self._image_pad) if chunk.vision_VD is not None else 0
            vision_VD = (
                chunk.vision_VD[place.vision : place.vision + num_vision]
                if chunk.vision_VD is not None and num_vision
                else None
            )
            runs.append(Run(ids, vision_VD, chunk.group, goes_on=place.ids > 0))
            most -= len(ids)
            is_whole = place.ids + len(ids) == len(chunk.ids)
            place = (
                _Cursor(place.chunk + 1) if is_whole else _Cursor(place.chunk, place.ids + len(ids), place.vision + num_vision)
            )
        self._next = place
        return self.context.write(runs)

    def commit(self, scheduled: ScheduledTokens) -> None:
        """They are written."""
        self.context.commit(scheduled)
        self._done = self._next

    def close(self) -> None:
        """Closing twice is fine."""
        self.is_closed = True
        self.context.close()


class _Cursor(NamedTuple):
    """How far a prefill is: the chunk, and the tokens and vision tokens of it that are written."""

    chunk: int = 0
    ids: int = 0
    vision: int = 0
