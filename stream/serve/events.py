"""The journal over HTTP: pages, and a stream that follows it.

In: what a client wants to see. Out: entries as JSON, or as server-sent events. A follower reads the journal at its own pace: one
that is slow is late, and holds up nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stream.errors import JournalError
from stream.journal import Entry, Query, Writer
from stream.journal.entry import position_of
from stream.journal.journal import LARGEST_PAGE
from stream.serve.delivery import Delivery
from stream.serve.errors import RETRY_AFTER_S, UnreadableError
from stream.serve.wire import JournalPage, journal_entry, server_sent_event

HEARTBEAT_S = 15.0
"""A comment this often tells proxies and clients that the connection lives."""
AT_ONCE = 100
FARTHEST_S = 1e12
"""Seconds since the epoch that still make a position."""

Kind = Literal["boundary", "watch", "question", "answer", "dropped"]


class FollowRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    camera: str | None = None
    kind: Kind | None = None
    after: int | None = Field(default=None, ge=0, le=1 << 61, description="go on behind this position")

    def query(self) -> Query:
        return Query(camera=self.camera, kind=self.kind)


class EventsRequest(FollowRequest):
    id: str | None = None
    since: float | None = Field(default=None, ge=0, le=FARTHEST_S, description="UTC epoch seconds")
    until: float | None = Field(default=None, ge=0, le=FARTHEST_S, description="UTC epoch seconds")
    limit: int = Field(default=100, ge=1, le=LARGEST_PAGE)
    order: Literal["oldest", "newest"] = Field(default="oldest", description="which end a page begins at")

    def query(self) -> Query:
        return Query(
            camera=self.camera,
            kind=self.kind,
            id=self.id,
            since=None if self.since is None else position_of(self.since),
            until=None if self.until is None else position_of(self.until),
            after=self.after,
            limit=self.limit,
            newest_first=self.order == "newest",
        )


async def events_page(delivery: Delivery, wanted: EventsRequest) -> JournalPage:
    """Raises `UnreadableError`."""
    try:
        page = await asyncio.to_thread(delivery.writer.journal.page, wanted.query())
    except JournalError as error:
        raise UnreadableError(str(error), expected="a readable journal", retry_after_s=RETRY_AFTER_S) from error
    return JournalPage(entries=[journal_entry(entry) for entry in page.entries], next=page.next)


async def events_after(delivery: Delivery, wanted: FollowRequest, last_event_id: int | None) -> AsyncIterator[bytes]:
    """Server-sent events `entry`, until the client leaves or the service stops."""
    after = last_event_id if last_event_id is not None else wanted.after
    query = wanted.query()
    yield b": following\n\n"
    async for entry in _follow(delivery, delivery.writer.last_put if after is None else after):
        if entry is None:
            yield b": still here\n\n"
        elif query.takes(entry):
            yield server_sent_event("entry", journal_entry(entry), number=entry.position)


async def _follow(delivery: Delivery, position: int) -> AsyncIterator[Entry | None]:
    """Every entry behind a position, as soon as it may be told; None now and then while nothing happens."""
    writer, loop, news = delivery.writer, asyncio.get_running_loop(), asyncio.Event()

    def hear() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to tell
            loop.call_soon_threadsafe(news.set)

    writer.listen(hear)
    told_s = time.monotonic()
    try:
        while not delivery.closing:
            news.clear()
            for entry in await _read(writer, position):
                position, told_s = entry.position, time.monotonic()
                news.set()
                yield entry
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await news.wait()
            if time.monotonic() - told_s >= HEARTBEAT_S:
                told_s = time.monotonic()
                yield None
    finally:
        writer.unlisten(hear)


async def _read(writer: Writer, position: int) -> list[Entry]:
    """What cannot be read now comes with the next news."""
    found = writer.after(position, AT_ONCE)
    if found is not None:
        return found
    with contextlib.suppress(JournalError):
        return await asyncio.to_thread(writer.read_after, position, AT_ONCE)
    return []
