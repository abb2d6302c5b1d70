"""Which groups a question brings back: a stretch of time that the model can read at once.

In: rows of the memory, with scores for what the question names. Out: a stretch: rows in order of time, within a budget of
tokens and the trained time span.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.memory.index import Row

GAP_S = 2.0
"""A stretch ends where nothing was kept for longer: the camera was away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What the model can read at once."""

    num_tokens: int
    span_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Rows next to each other. `is_all`: nothing that was asked for is left out."""

    rows: tuple[Row, ...]
    is_all: bool = True

    @property
    def start(self) -> float:
        return self.rows[0].start

    @property
    def end(self) -> float:
        return self.rows[-1].end


def stretches_between(rows: Sequence[Row], scores_G: np.ndarray | None, room: Room) -> Stretch | None:
    """As much of the rows as fits: all, or what lies around the best score, or, without one, the latest. None for no rows."""
    if not rows:
        return None
    best = len(rows) - 1 if scores_G is None else latest_best(scores_G)
    return stretch_around(rows, best, room, gap_s=float("inf"))


def stretch_around(rows: Sequence[Row], hit: int, room: Room, *, gap_s: float = GAP_S) -> Stretch:
    """The row of a hit, and its neighbours on both sides in turn, while they fit."""
    first = last = hit
    num_tokens = rows[hit].num_tokens
    early = late = True
    while early or late:
        if early:
            early = first > 0 and _fits(rows, first - 1, last, num_tokens + rows[first - 1].num_tokens, room)
            early = early and rows[first].start - rows[first - 1].end <= gap_s
            if early:
                first -= 1
                num_tokens += rows[first].num_tokens
        if late:
            late = last + 1 < len(rows) and _fits(rows, first, last + 1, num_tokens + rows[last + 1].num_tokens, room)
            late = late and rows[last + 1].start - rows[last].end <= gap_s
            if late:
                last += 1
                num_tokens += rows[last].num_tokens
    return Stretch(rows=tuple(rows[first : last + 1]), is_all=last - first + 1 == len(rows))


def _fits(rows: Sequence[Row], first: int, last: int, num_tokens: int, room: Room) -> bool:
    return num_tokens <= room.num_tokens and rows[last].end - rows[first].start <= room.span_s


NEAR_BEST = 0.8
"""Of hits nearly as good as the best, the latest is taken."""


def latest_best(scores_G: np.ndarray) -> int:
    best = float(scores_G.max())
    good = scores_G >= (best * NEAR_BEST if best > 0 else best)
    return int(np.nonzero(good)[0][-1])
