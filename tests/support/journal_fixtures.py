"""A writer with its outbox for the tests of delivery, and a sink that keeps what it gets. No test in here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from stream.errors import DeliveryRefusedError, PublishError
from stream.events.event import Change, Event, Evidence
from stream.events.outbox import Outbox, OutboxSettings
from stream.events.sink import Sink
from stream.journal import Entry, Journal, Writer, WriterSettings
from stream.journal.sqlite import SqliteJournal

WAIT_S = 60.0


class KeepingSink:
    """Keeps what it gets, fails while `down`, never takes what is in `poison`."""

    def __init__(self, name: str = "kept", in_flight: int = 4) -> None:
        self.name, self.in_flight = name, in_flight
        self.down = False
        self.poison: set[str] = set()
        self.got: list[tuple[str, bool]] = []
        self.entries: list[Entry] = []
        self.num_tried = 0

    async def ready(self) -> None: ...

    async def deliver(self, entry: Entry, *, duplicate: bool) -> None:
        self.num_tried += 1
        if self.down:
            raise PublishError("kept: expected to be up, it is down")
        if entry.id in self.poison:
            raise DeliveryRefusedError("kept: expected something else")
        self.got.append((entry.id, duplicate))
        self.entries.append(entry)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.got]


@asynccontextmanager
async def delivering(
    place: Path | Journal, *sinks: Sink, bounds: OutboxSettings | None = None, settings: WriterSettings | None = None
) -> AsyncIterator[tuple[Writer, list[Outbox]]]:
    """The journal in this folder, with an outbox per sink."""
    journal = SqliteJournal(place / "journal.sqlite") if isinstance(place, Path) else place
    writer = Writer(journal, settings or WriterSettings(retry_s=0.05, cursor_every_s=0.05))
    writer.start()
    outboxes = [Outbox(writer, sink, bounds, pause=lambda seconds: asyncio.sleep(min(seconds, 0.02))) for sink in sinks]
    for outbox in outboxes:
        outbox.start()
    try:
        yield writer, outboxes
    finally:
        for outbox in outboxes:
            await outbox.stop()
        await asyncio.to_thread(writer.stop)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, WAIT_S))


async def until(test: Callable[[], bool]) -> None:
    """Give others their turn until something holds; `run` bounds the wait."""
    while not test():
        await asyncio.sleep(0.001)


def event(name: str = "1700000000.000000-abcdef", *, camera: str = "front", watch: str | None = None) -> Event:
    return Event(
        id=name,
        camera=camera,
        kind="watch" if watch else "boundary",
        watch=watch,
        label="activity",
        start_time=1.0,
        score=6.0,
        top_score=6.0,
        frame_time=1.5,
        frame_age_ms=20.0,
        evidence=(Evidence(start=1.0, end=1.5, frames=5),),
    )


def change(
    name: str = "1700000000.000000-abcdef", *, kind: str = "new", camera: str = "front", watch: str | None = None
) -> Change:
    told = event(name, camera=camera, watch=watch)
    return Change(kind, told, told)  # type: ignore[arg-type]
