"""What a journal does, whatever it is made of.

In: entries in the order of their positions, and how far each sink has got. Out: pages of them. Every call blocks and may raise
`JournalError`; the `Writer` is the one that writes, so that nobody else waits for a disk or a network. Pages may be read from any
thread at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stream.journal.damage import Damage
from stream.journal.entry import Entry

LARGEST_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a sink has got: everything up to `delivered` has arrived; what follows, up to `attempted`, may have."""

    delivered: int
    attempted: int = 0

    def __post_init__(self) -> None:
        assert self.delivered >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which entries: all conditions hold. `since` and `until` are positions, both included. `after` goes on behind an entry: later
    ones, or earlier ones with `newest_first`."""

    camera: str | None = None
    kind: str | None = None
    id: str | None = None
    since: int | None = None
    until: int | None = None
    after: int | None = None
    limit: int = 100
    newest_first: bool = False

    def __post_init__(self) -> None:
        assert 1 <= self.limit <= LARGEST_PAGE

    @property
    def bounds(self) -> tuple[int, int]:
        """First and last position that may be found, `after` included."""
        low, high = self.since or 0, (1 << 62) if self.until is None else self.until
        if self.after is None:
            return low, high
        return (low, min(high, self.after - 1)) if self.newest_first else (max(low, self.after + 1), high)

    def takes(self, entry: Entry) -> bool:
        low, high = self.bounds
        wanted = ((self.camera, entry.camera), (self.kind, entry.kind), (self.id, entry.id))
        return low <= entry.position <= high and all(want in (None, has) for want, has in wanted)


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in the order that was asked for. `next` is the `after` of the page behind, None on the last one."""

    entries: tuple[Entry, ...]
    next: int | None


class Journal(Protocol):
    """One writer at a time; readers as many as there are."""

    @property
    def address(self) -> str:
        """Where it is kept, without credentials, and without the folder."""

    @property
    def damage(self) -> Damage:
        """What of it is not as it was written."""

    @property
    def num_aside(self) -> int:
        """Old, damaged files that are kept beside it."""

    def last(self) -> int:
        """The largest position ever used, by an entry or a cursor; 0 for a new journal."""

    def write(self, entries: Sequence[Entry], cursors: Mapping[str, Cursor]) -> None:
        """All of it or nothing, durable on return. The same entries again do no harm: what was written stays written once.
        With nothing to write it looks whether the journal is still whole."""

    def page(self, query: Query) -> Page:
        """Damaged entries are left out, and counted: a page is full wherever there are enough whole ones."""

    def count(self, after: int) -> int:
        """Entries behind a position."""

    def cursors(self) -> dict[str, Cursor]: ...

    def retain(self, *, before: int, keep_after: int, max_bytes: int) -> int:
        """Forget what is older than `before`, and the oldest while more than `max_bytes` are used; never what lies behind
        `keep_after`. Returns the bytes that are used afterwards. Bounded work: a large rest waits for the next call."""

    def close(self) -> None: ...
