"""Where entries of the journal are told: a broker, a webhook, a phone.

In: entries, one by one, in order. Out: they have arrived, or an error says why not. What a sink does not tell (a question, to
one that only rings) it takes and is done. The `Outbox` in front of it sees to order, repetition and bounds.
"""

from __future__ import annotations

from typing import Protocol

from stream.journal.entry import Entry


class Sink(Protocol):
    @property
    def name(self) -> str:
        """Of its cursor: a sink of the same name goes on where the last one stopped."""

    @property
    def in_flight(self) -> int:
        """How many entries may be on their way at once. 1 where the receiver would mix them up."""

    async def ready(self) -> None:
        """Return when it is worth trying: at once, or when there is a connection."""

    async def deliver(self, entry: Entry, *, duplicate: bool) -> None:
        """Return when the entry has arrived. `duplicate`: it may have arrived before; say so to whoever gets it.

        Raises `PublishError` to be tried again later, `DeliveryRefusedError` when it will never be taken."""
