"""Tokens that go into a new segment of a context, a few at a time.

In: a context, tokens, vision tokens. Out: writings of at most so many tokens, in order; after each its commit. An answer is a passage
that grows by one token at a time.

Shape letters: V vision tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ov2.context import Context
from ov2.segment import EncodedGroup
from ov2.writing import Writing


class Passage:
    """`left` tokens are still to be written. Close it: its context's pages go back."""

    def __init__(
        self,
        context: Context,
        ids: Sequence[int],
        image_pad: int,
        vision_VD: Tensor | None = None,
        group: EncodedGroup | None = None,
    ) -> None:
        self.context = context
        self._ids, self._image_pad = list(ids), image_pad
        self._vision_VD, self._group = vision_VD, group
        self._num_written = self._num_vision = 0

    @property
    def left(self) -> int:
        return len(self._ids) - self._num_written

    def add(self, token: int) -> None:
        """One more token at the end."""
        self._ids.append(token)

    def next(self, most: int) -> Writing:
        """The next tokens, at most so many. Raises `PagesError` when no page is free for them."""
        ids = self._ids[self._num_written : self._num_written + most]
        vision_VD = None
        if self._vision_VD is not None and (num_vision := ids.count(self._image_pad)):
            vision_VD = self._vision_VD[self._num_vision : self._num_vision + num_vision]
        if self._num_written:
            return self.context.more(ids, vision_VD)
        return self.context.begin(ids, vision_VD, self._group)

    def commit(self, writing: Writing) -> None:
        """They are written."""
        self.context.commit(writing)
        self._num_written += writing.num_tokens
        self._num_vision += writing.vision_VD.shape[0] if writing.vision_VD is not None else 0

    def close(self) -> None:
        """Closing twice is fine."""
        self.context.close()
