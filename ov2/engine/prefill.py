"""Tokens that go into new segments of a context, a few at a time.

In: a context, pieces of tokens and vision tokens, one per segment. Out: writings of at most so many tokens, in order; after each its
commit. An answer is a passage that grows by one token at a time; a renewal is one of many pieces, several of which go in one writing.

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

    def __init__(self, context: KVSequence, pieces: Sequence[Chunk], image_pad: int) -> None:
        self.context = context
        self.is_closed = False
        self._pieces, self._image_pad = list(pieces), image_pad
        self._done = self._next = _Cursor()

    @property
    def left(self) -> int:
        return sum(len(piece.ids) for piece in self._pieces[self._done.piece :]) - self._done.ids

    def add(self, token: int) -> None:
        """One more token at the end."""
        if self._done.piece == len(self._pieces):
            last = self._pieces[-1]
            self._done = _Cursor(len(self._pieces) - 1, len(last.ids), len(last.vision_VD) if last.vision_VD is not None else 0)
        self._pieces[-1].ids.append(token)

    def next(self, most: int) -> ScheduledTokens:
        """The next tokens, at most so many. Raises `PagesError` when no page is free for them."""
        place, runs = self._done, []
        while most and place.piece < len(self._pieces):
            piece = self._pieces[place.piece]
            ids = piece.ids[place.ids : place.ids + most]
            num_vision = ids.count(self._image_pad) if piece.vision_VD is not None else 0
            vision_VD = (
                piece.vision_VD[place.vision : place.vision + num_vision]
                if piece.vision_VD is not None and num_vision
                else None
            )
            runs.append(Run(ids, vision_VD, piece.group, goes_on=place.ids > 0))
            most -= len(ids)
            is_whole = place.ids + len(ids) == len(piece.ids)
            place = (
                _Cursor(place.piece + 1) if is_whole else _Cursor(place.piece, place.ids + len(ids), place.vision + num_vision)
            )
        self._next = place
        return self.context.write(runs)

    def commit(self, writing: ScheduledTokens) -> None:
        """They are written."""
        self.context.commit(writing)
        self._done = self._next

    def close(self) -> None:
        """Closing twice is fine."""
        self.is_closed = True
        self.context.close()


class _Cursor(NamedTuple):
    """How far a passage is: the piece, and the tokens and vision tokens of it that are written."""

    piece: int = 0
    ids: int = 0
    vision: int = 0
