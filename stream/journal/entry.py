"""One line of the journal.

In: what happened, as JSON. Out: an `Entry` with its place in the journal. The place is one integer, microseconds of the journal's
own clock since the epoch, and strictly grows: it orders, it dates, and it names the entry for cursors and pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MICROSECONDS = 1_000_000
KINDS = ("boundary", "watch", "question", "answer", "dropped")
"""What an entry may be: the kinds of events, then what else is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`kind`: one of `KINDS`. `camera`: its name, empty where none is concerned. `id`: of the event, question or answer: several
    entries may tell of one event. `body`: the JSON object that is told."""

    position: int
    kind: str
    camera: str
    id: str
    body: Mapping[str, Any]

    def __post_init__(self) -> None:
        assert self.kind in KINDS, f"kind: expected one of {KINDS}, got {self.kind!r}"
        assert self.position > 0

    @property
    def time_s(self) -> float:
        """When the journal took it, UTC epoch seconds of its steady clock."""
        return self.position / MICROSECONDS


def position_of(time_s: float) -> int:
    """The first place of a moment."""
    return int(time_s * MICROSECONDS)
