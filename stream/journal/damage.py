"""What of a journal is not as it was written.

In: rows that were met, files that were recovered. Out: counts, and a line for people, both without a word of what the rows hold.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from ov2.log_limit import LogLimit

MOST_KNOWN = 10_000
"""Rows that are told apart; more are counted again each time they are met."""
log = logging.getLogger(__name__)


class Recovered(NamedTuple):
    """A file that was made anew: why, entries that could be read, entries that were seen and could not, and the name of the old file."""

    why: str
    num_kept: int
    num_lost: int
    aside: str


class Damage:
    """Safe for any thread. `num_rows`: rows that are damaged and left out, each counted once. `num_recovered`: files that were made anew since
    the start. `num_lost`: entries that were seen in them and could not be read."""

    def __init__(self) -> None:
        self.num_rows = 0
        self.num_recovered = 0
        self.num_lost = 0
        self._known: set[object] = set()
        self._last: Recovered | None = None
        self._log_limit = LogLimit()

    def row(self, address: str, name: object) -> None:
        """A row was left out. `name`: what it is told apart by."""
        if name in self._known:
            return
        if len(self._known) < MOST_KNOWN:
            self._known.add(name)
        self.num_rows += 1
        if self._log_limit.allows():
            log.error("journal %s: %d damaged rows are left out", address, self.num_rows)

    def recovered(self, address: str, what: Recovered) -> None:
        self._known.clear()
        self.num_rows = 0
        self.num_recovered += 1
        self.num_lost += what.num_lost
        self._last = what
        log.error("journal %s: %s", address, _told(what))

    @property
    def told(self) -> str:
        """One line; empty while nothing is wrong."""
        parts = [_told(self._last)] if self._last is not None else []
        if self.num_rows:
            parts.append(f"{self.num_rows} damaged rows are left out")
        return "; ".join(parts)


def _told(what: Recovered) -> str:
    return (
        f"expected a whole file, got {what.why}; {what.num_kept} entries were recovered, {what.num_lost} could not be read; "
        f"the old file is kept as {what.aside}"
    )
