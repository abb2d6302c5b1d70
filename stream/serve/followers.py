"""Everybody who follows the journal: what is told is made once and shared, and nobody holds the event loop.

In: the writer's news, queries. Out: server-sent events, in chunks. A follower reads at its own pace: one that is slow is late, and holds up
nobody. They go on in turns, so that other requests come between hundreds of them; what is in
memory no more is read from the journal in threads, few at a time; followers at the same place get the same bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from stream.errors import JournalError
from stream.journal import Entry, Query, Writer
from stream.serve.turns import Turns
from stream.serve.wire import journal_entry, server_sent_event

HEARTBEAT_S = 15.0
"""A comment this often tells proxies and clients that the connection lives."""
AT_ONCE = 100
"""Entries of one reading."""
CHUNK_BYTES = 16 << 10
"""What one follower is sent at a time: all that is held for one that does not read, beside what its connection holds."""
KEPT_CHUNKS = 64
READERS = 2
"""Readings of the journal at the same time."""

Chunk = tuple[bytes, int]
"""Events, and the position behind which the next chunk begins."""


@dataclass(slots=True, eq=False)
class _Idle:
    """One who waits for news: its turn, and then whether there is any."""

    turn: asyncio.Future[None]
    news: bool = True


class Followers:
    """For one event loop, begun by the first who follows. `has_ended`: whether everybody is let go with the next news."""

    def __init__(self, writer: Writer, has_ended: Callable[[], bool]) -> None:
        self._writer = writer
        self._has_ended = has_ended
        self._num = 0
        self._news_count = 0
        self._is_told = False
        self._idle: set[_Idle] = set()
        self._turns = Turns()
        self._chunks: OrderedDict[tuple[int, Query], Chunk] = OrderedDict()
        self._readings: dict[tuple[int, Query], asyncio.Task[Chunk]] = {}
        self._readers = asyncio.Semaphore(READERS)
        self._heartbeat: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop

    async def follow(self, query: Query, after: int | None) -> AsyncIterator[bytes]:
        """Events `entry` behind a position, or from now on, until the service stops; a comment now and then while nothing happens."""
        position = self._writer.last_put if after is None else after
        self._enter()
        try:
            yield b": following\n\n"
            while not self._has_ended():
                news_count = self._news_count
                events, reached = await self._chunk(position, query)
                if events:
                    yield events
                if reached > position:
                    position = reached
                    await self._turns.take()
                elif not await self._news(news_count):
                    yield b": still here\n\n"
        finally:
            self._leave()

    # what is told

    async def _chunk(self, position: int, query: Query) -> Chunk:
        """No events, and the same position, where there is no news; what cannot be read now comes with the next news."""
        key = position, query
        if (known := self._chunks.get(key)) is not None:
            return known
        found = self._writer.after(position, AT_ONCE)
        chunk = await self._read(key) if found is None else _chunk_of(found, position, query)
        if chunk[1] > position:
            self._chunks[key] = chunk
            if len(self._chunks) > KEPT_CHUNKS:
                self._chunks.popitem(last=False)
        return chunk

    async def _read(self, key: tuple[int, Query]) -> Chunk:
        """From the journal, once for all who are at the same place."""
        if (reading := self._readings.get(key)) is None:
            reading = self._readings[key] = asyncio.create_task(self._read_page(*key))
            reading.add_done_callback(lambda _: self._readings.pop(key))
        return await asyncio.shield(reading)

    async def _read_page(self, position: int, query: Query) -> Chunk:
        async with self._readers:
            try:
                return await asyncio.to_thread(self._page, position, query)
            except JournalError:
                return b"", position

    def _page(self, position: int, query: Query) -> Chunk:
        return _chunk_of(self._writer.read_after(position, AT_ONCE), position, query)

    # waiting

    async def _news(self, news_count: int) -> bool:
        """Wait for more news than so much; False when there was none for long."""
        if self._news_count != news_count:
            return True
        waiting = _Idle(asyncio.get_running_loop().create_future())
        self._idle.add(waiting)
        try:
            await waiting.turn
        finally:
            self._idle.discard(waiting)
        return waiting.news

    def _wake(self, *, news: bool) -> None:
        waiting, self._idle = self._idle, set()
        for one in waiting:
            one.news = news
        self._turns.queue(one.turn for one in waiting)

    def _hear(self) -> None:
        """The writer has news. From any thread."""
        if not self._is_told:
            self._is_told = True
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to tell
                self._loop.call_soon_threadsafe(self._take_news)

    def _take_news(self) -> None:
        self._is_told = False
        self._news_count += 1
        self._wake(news=True)

    def _beat(self) -> None:
        self._wake(news=False)
        self._heartbeat = self._loop.call_later(HEARTBEAT_S, self._beat)

    def _enter(self) -> None:
        self._num += 1
        if self._num == 1:
            self._loop = asyncio.get_running_loop()
            self._writer.listen(self._hear)
            self._heartbeat = self._loop.call_later(HEARTBEAT_S, self._beat)

    def _leave(self) -> None:
        self._num -= 1
        if not self._num:
            self._writer.unlisten(self._hear)
            self._chunks.clear()
            if self._heartbeat is not None:
                self._heartbeat.cancel()


def _chunk_of(entries: list[Entry], position: int, query: Query) -> Chunk:
    """As many events as a chunk holds, one at least."""
    events: list[bytes] = []
    size = 0
    for entry in entries:
        if query.takes(entry):
            event = server_sent_event("entry", journal_entry(entry), number=entry.position)
            if events and size + len(event) > CHUNK_BYTES:
                break
            events.append(event)
            size += len(event)
        position = entry.position
    return b"".join(events), position
