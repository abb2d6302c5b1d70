"""From the journal to one sink: everything, in order, at least once, across crashes and outages.

In: the journal's writer, a sink. Out: deliveries. The journal knows how far the sink has got, and how far it may have got: what
lies between is told again after a crash, marked as a duplicate. A sink that fails is tried again after a growing pause with
jitter. A line that is too long or too old loses its oldest entries: counted, logged, and announced by an entry of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ov2.log_limit import LogLimit
from stream.backoff import Backoff
from stream.errors import DeliveryRefusedError, JournalError, PublishError
from stream.events.ending import end
from stream.events.sink import Sink
from stream.journal import Entry, Losses, Writer
from stream.journal.entry import position_of

BACKOFF_MIN_S = 0.25
BACKOFF_MAX_S = 30.0
BATCH = 64
DROP_CHUNK = 1000
READY_S = 0.05
"""A sink that is not ready by then is not live: what is written meanwhile is not claimed for it."""
TOO_MANY = "more waited than journal.outbox_entries"
TOO_OLD = "it waited longer than journal.outbox_hours"
TOO_LARGE = "the journal was larger than journal.max_mb"
REFUSED = "the receiver will not take it"
UNTELLABLE = "it is not what an entry of its kind says"
UNREADABLE = "the journal could not be read when the service started"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSettings:
    """Bounds of what waits for a sink, looked at every `bounds_every_s`. `patience_s`: how long a journal that cannot be opened at the
    start holds up the sink."""

    max_entries: int = 100_000
    max_age_s: float = 72 * 3600.0
    patience_s: float = 10.0
    bounds_every_s: float = 5.0


class Outbox:
    """`start()` in an event loop, then `await stop()`. Raises nothing: what goes wrong is logged once a second and tried again."""

    def __init__(
        self,
        writer: Writer,
        sink: Sink,
        settings: OutboxSettings | None = None,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.sink = sink
        self.settings = settings or OutboxSettings()
        self.num_delivered = 0
        self.num_repeated = 0
        self.num_dropped = 0
        self._writer = writer
        self._pause = pause
        self._position = 0
        self._tried = 0
        self._is_blind = True
        self._place = asyncio.Lock()
        self._news = asyncio.Event()
        self._progress = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._log_limit = LogLimit()

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer.listen(self._hear)
        self._writer.register(self.sink.name)
        self._tasks = [
            self._loop.create_task(self._main(), name=f"outbox-{self.sink.name}"),
            self._loop.create_task(self._keep_bounds(), name=f"outbox-bounds-{self.sink.name}"),
        ]

    async def stop(self) -> None:
        """What has not arrived stays in the journal."""
        self._writer.unlisten(self._hear)
        self._writer.set_live(self.sink.name, False)
        await end(self._tasks)

    async def drained(self) -> None:
        """Wait until everything that was put has arrived."""
        while self._position < self._writer.last_put:
            self._progress.clear()
            await self._progress.wait()

    def _hear(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to tell
                self._loop.call_soon_threadsafe(self._news.set)

    async def _main(self) -> None:
        await self._begin()
        backoff = Backoff(first_s=BACKOFF_MIN_S, longest_s=BACKOFF_MAX_S, least_share=0.1)
        while True:
            try:
                await self._ready()
                await self._round()
                backoff.succeeded()
            except (PublishError, JournalError) as error:
                self._writer.set_live(self.sink.name, False)
                self._log(error)
                await self._pause(backoff.pause_s())

    async def _begin(self) -> None:
        """Where the sink stopped last time. A journal that does not open is waited for, but not for ever: alerts are for now."""
        cursor = self._writer.register(self.sink.name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.patience_s):
                while cursor is None:
                    self._news.clear()
                    cursor = self._writer.register(self.sink.name)
                    if cursor is None:
                        await self._news.wait()
        if cursor is not None:
            self._position, self._tried, self._is_blind = cursor.delivered, cursor.attempted, False

    async def _ready(self) -> None:
        ready = asyncio.ensure_future(self.sink.ready())
        try:
            done, _ = await asyncio.wait({ready}, timeout=READY_S)
            if not done:
                self._writer.set_live(self.sink.name, False)
            await ready
        finally:
            ready.cancel()

    async def _round(self) -> None:
        """Send what waits, or wait for something to send."""
        self._news.clear()
        async with self._place:
            if self._is_blind and self._writer.opened:  # it was not when we began
                await self._see()
            batch = await self._read(self._position, BATCH)
            if batch:
                await self._claim(batch[-1].position)
                await self._send(batch)
                return
        self._writer.set_live(self.sink.name, True)
        await self._news.wait()

    async def _read(self, position: int, limit: int) -> list[Entry]:
        found = self._writer.after(position, limit)
        return await asyncio.to_thread(self._writer.read_after, position, limit) if found is None else found

    async def _claim(self, position: int) -> None:
        """Have it written, before anything is sent, that this much may have been sent."""
        loop, claimed = asyncio.get_running_loop(), asyncio.Event()

        def done() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to tell
                loop.call_soon_threadsafe(claimed.set)

        self._writer.claim(self.sink.name, position, done)
        await claimed.wait()

    async def _send(self, batch: list[Entry]) -> None:
        """In order, a few on their way at once; those behind one that failed are tried again with it."""
        window: deque[tuple[Entry, asyncio.Task[None]]] = deque()
        try:
            for entry in batch:
                if len(window) >= self.sink.in_flight:
                    await self._arrived(*window.popleft())
                duplicate = entry.position <= self._tried
                self.num_repeated += duplicate
                self._tried = max(self._tried, entry.position)
                window.append((entry, asyncio.create_task(self.sink.deliver(entry, duplicate=duplicate))))
            while window:
                await self._arrived(*window.popleft())
        finally:
            await end(task for _, task in window)

    async def _arrived(self, entry: Entry, task: asyncio.Task[None]) -> None:
        try:
            await task
        except DeliveryRefusedError as error:
            self._log(error)
            self._announce([entry], REFUSED)
        except PublishError:
            raise
        except Exception as error:  # one entry must not end the line of those behind it
            log.exception("outbox %s: entry %d cannot be told", self.sink.name, entry.position)
            self._announce([entry], f"{UNTELLABLE} ({type(error).__name__})")
        else:
            self.num_delivered += 1
        self._advance(entry.position)

    def _advance(self, position: int) -> None:
        self._position = position
        self._writer.delivered(self.sink.name, position)
        self._progress.set()

    async def _keep_bounds(self) -> None:
        """Drop the oldest of a line that is too long or too old, whether or not the sink is there."""
        while True:
            await self._pause(self.settings.bounds_every_s)
            async with self._place:
                if self._is_blind:
                    continue
                with contextlib.suppress(JournalError):  # it is looked at again
                    await self._drop_surplus()

    async def _drop_surplus(self) -> None:
        settings, writer = self.settings, self._writer
        oldest = position_of(writer.clock() - settings.max_age_s)
        await self._drop_while(lambda entry, number: entry.position < oldest, TOO_OLD)
        waiting = await asyncio.to_thread(writer.journal.count, self._position)
        await self._drop_while(lambda entry, number: number < waiting - settings.max_entries, TOO_MANY)
        if writer.over_bytes:
            await self._drop_while(lambda entry, number: number < DROP_CHUNK, TOO_LARGE)

    async def _drop_while(self, test: Callable[[Entry, int], bool], why: str) -> None:
        """`test` gets an entry, and how many were dropped before it."""
        position, lost = self._position, Losses(self.sink.name, why)
        while batch := await self._read(position, DROP_CHUNK):
            for entry in batch:
                if not test(entry, lost.num_entries):
                    break
                lost.add(entry)
                position = entry.position
            if position != batch[-1].position:
                break
        if lost.num_entries:
            self._announce_losses(lost)
            self._advance(position)

    async def _see(self) -> None:
        """The journal is there at last. What waited in it from the last run is lost to this sink: newer entries have been told."""
        first, last = self._writer.stored(self.sink.name), self._writer.opened_at
        self._is_blind = False
        self._position = max(self._position, last)
        lost = Losses(self.sink.name, UNREADABLE)
        position = last if first is None else first.delivered
        while position < last and (batch := await self._read(position, DROP_CHUNK)):
            for entry in batch:
                if entry.position <= last:
                    lost.add(entry)
            position = batch[-1].position
        if lost.number:
            self._announce_losses(lost)
        self._writer.delivered(self.sink.name, self._position)

    def _announce(self, entries: list[Entry], why: str) -> None:
        lost = Losses(self.sink.name, why)
        for entry in entries:
            lost.add(entry)
        self._announce_losses(lost)

    def _announce_losses(self, lost: Losses) -> None:
        self.num_dropped += lost.num_entries
        body = lost.body()
        log.error("outbox %s: %d entries were dropped: %s", self.sink.name, lost.number, body["why"])
        self._writer.put("dropped", "", f"dropped-{self.sink.name}-{self._position}", body)

    def _log(self, error: Exception) -> None:
        if self._log_limit.allows():
            log.warning("outbox %s: %s; trying again", self.sink.name, error)
