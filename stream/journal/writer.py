"""The thread that writes the journal, so that nobody else waits for it.

In: what happened, from any thread, without waiting. Out: entries, visible once they are committed: written first, then told.
While the journal cannot be written (a full disk, a Redis that is away) entries are visible at once and wait in bounded memory;
they are written as soon as it is possible again. When the memory is full the oldest drops: counted, and announced by an entry.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from ov2.log_limit import LogLimit
from stream.errors import JournalError
from stream.journal.clock import SteadyClock
from stream.journal.entry import Entry, position_of
from stream.journal.journal import Cursor, Journal, Query
from stream.journal.losses import Losses

LARGEST_WRITE = 500
RECENT_ENTRIES = 1000
"""Written entries that readers get without the journal; who is further behind reads there. An entry takes some 5 kB of memory."""
FULL = "the memory that entries wait in was full (journal.held_entries)"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterSettings:
    """`held_entries`: bound of what waits for the journal. `cursor_every_s`: how late a cursor may be written. `retry_s`: pause after a
    failed write. `retain_every_s`: between two rounds of forgetting."""

    held_entries: int = 10_000
    cursor_every_s: float = 0.5
    retry_s: float = 0.5
    retain_every_s: float = 10.0
    retention_s: float = 30 * 86_400.0
    max_bytes: int = 512 * 2**20


class Writer:
    """`start()`, `put()` from any thread, `stop()`. Listeners are called from threads, and must not wait.

    - `degraded`: why the journal cannot be written, empty while it can.
    - `opened`: whether it could be read since the start: positions and cursors are known. `opened_at`: its last position then.
    - `over_bytes`: the journal is larger than it may be, and what fills it has not been delivered.
    """

    def __init__(
        self, journal: Journal, settings: WriterSettings | None = None, *, clock: Callable[[], float] | None = None
    ) -> None:
        self.journal = journal
        self.settings = settings or WriterSettings()
        self.degraded = ""
        self.opened = False
        self.over_bytes = False
        self.used_bytes = 0
        self.num_written = 0
        self.num_dropped = 0
        self.num_failures = 0
        self.clock = clock or SteadyClock()
        self._listeners: list[Callable[[], None]] = []
        self._state = threading.Condition()
        self._recent: deque[Entry] = deque()
        self._pending: deque[Entry] = deque()
        self._num_writing = 0
        self._lost = Losses("journal", FULL)
        self._floor = 0
        self._last = 0
        self.opened_at = 0
        self._stored: dict[str, Cursor] = {}
        self._cursors: dict[str, Cursor] = {}
        self._sinks: dict[str, int] = {}
        self._live: set[str] = set()
        self._dirty: set[str] = set()
        self._waiting: list[Callable[[], None]] = []
        self._closing = False
        self._log_limit = LogLimit()
        self._retain_at_s = 0.0
        self._thread = threading.Thread(target=self._main, name="journal", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, if it can be written, and close the journal."""
        with self._state:
            self._closing = True
            self._state.notify()
        self._thread.join()
        self.journal.close()

    def listen(self, news: Callable[[], None]) -> None:
        """`news` is called when there may be new entries to read."""
        self._listeners.append(news)

    def unlisten(self, news: Callable[[], None]) -> None:
        self._listeners.remove(news)

    @property
    def num_pending(self) -> int:
        return len(self._pending)

    @property
    def last_put(self) -> int:
        """Position of the newest entry, written or not."""
        return self._pending[-1].position if self._pending else self._last

    def stored(self, sink: str) -> Cursor | None:
        """Where a sink was when the journal was opened."""
        return self._stored.get(sink)

    def put(self, kind: str, camera: str, name: str, body: Mapping[str, Any]) -> Entry:
        """Take what happened; `name` is its id, `body` is copied as JSON has it (`TypeError` where it has not). Returns the entry, which
        is not written yet."""
        body = json.loads(json.dumps(body))
        with self._state:
            self._last = max(self._last + 1, position_of(self.clock()))
            entry = Entry(position=self._last, kind=kind, camera=camera, id=name, body=body)
            if len(self._pending) - self._num_writing >= self.settings.held_entries:
                self._lost.add(self._pending[self._num_writing])
                del self._pending[self._num_writing]
                self.num_dropped += 1
            self._pending.append(entry)
            self._state.notify()
            degraded = bool(self.degraded)
        if degraded:
            self.tell()
        return entry

    def after(self, position: int, limit: int) -> list[Entry] | None:
        """Visible entries behind a position, in order; None where memory does not reach back so far and the journal must be read."""
        with self._state:
            if position < self._floor:
                return None
            found: list[Entry] = []
            for entry in chain(reversed(self._pending) if self.degraded else (), reversed(self._recent)):
                if entry.position <= position:
                    break
                found.append(entry)
            return found[: -limit - 1 : -1]

    def read_after(self, position: int, limit: int) -> list[Entry]:
        """The same, from memory or from the journal: this may wait, and raise `JournalError`."""
        found = self.after(position, limit)
        return list(self.journal.page(Query(after=position, limit=limit)).entries) if found is None else found

    def register(self, sink: str) -> Cursor | None:
        """Announce a sink: what it has not got is kept. Returns its cursor, None while the journal has not been opened. A sink that
        the journal does not know gets what happens from its first registration on."""
        with self._state:
            begins = self._sinks.setdefault(sink, self._last)
            if not self.opened:
                return None
            if sink not in self._cursors:
                self._cursors[sink] = Cursor(delivered=max(begins, self.opened_at))
                self._dirty.add(sink)
            return self._cursors[sink]

    def delivered(self, sink: str, position: int) -> None:
        """A sink has got everything up to here. It is written with what is written next, or soon."""
        with self._state:
            cursor = self._cursors.get(sink, Cursor(delivered=0))
            self._cursors[sink] = replace(cursor, delivered=position, attempted=max(position, cursor.attempted))
            self._dirty.add(sink)

    def claim(self, sink: str, position: int, done: Callable[[], None]) -> None:
        """A sink will try everything up to here. `done` is called when that is written, or cannot be written now."""
        with self._state:
            cursor = self._cursors.get(sink, Cursor(delivered=0))
            if cursor.attempted < position and not self.degraded:
                self._cursors[sink] = replace(cursor, attempted=position)
                self._dirty.add(sink)
                self._waiting.append(done)
                self._state.notify()
                return
        done()

    def set_live(self, sink: str, live: bool) -> None:
        """A sink that has got everything takes what comes at once: each write then claims it for that sink."""
        with self._state:
            (self._live.add if live else self._live.discard)(sink)

    def _main(self) -> None:
        while True:
            with self._state:
                closing = self._closing
            try:
                if self._step():
                    continue
            except Exception as error:  # nothing may end this thread: cameras would fill memory and nobody be told
                log.exception("journal %s: an error of our own", self.journal.address)
                self._fail(JournalError(f"journal: {type(error).__name__}: {error}"))
            if closing and (self.degraded or not self._pending):
                return
            self._pause()

    def _step(self) -> bool:
        """Open, write, forget. Returns whether more waits to be written."""
        if not self._open():
            return False
        if self._write():
            return True
        self._retain()
        return False

    def _pause(self) -> None:
        """Until there is something to write; after a failure, a while."""
        with self._state:
            if self.degraded:
                self._state.wait_for(lambda: self._closing, self.settings.retry_s)
            else:
                self._state.wait_for(lambda: self._pending or self._waiting or self._closing, self.settings.cursor_every_s)

    def _open(self) -> bool:
        """Learn positions and cursors, once. What was put before gets places behind what the journal holds."""
        if self.opened:
            return True
        try:
            last, cursors = self.journal.last(), self.journal.cursors()
        except JournalError as error:
            self._fail(error)
            return False
        with self._state:
            if self._pending and self._pending[0].position <= last:
                moved = [replace(entry, position=last + 1 + index) for index, entry in enumerate(self._pending)]
                self._pending = deque(moved)
            self._last = max(self._last, last, self._pending[-1].position if self._pending else 0)
            self._floor = self.opened_at = last
            self._stored, self._cursors = cursors, {**cursors, **self._cursors}
            self.opened = True
        self.tell()
        return True

    def _write(self) -> bool:
        """One transaction. Returns whether it succeeded and more waits."""
        with self._state:
            batch = list(islice(self._pending, LARGEST_WRITE))
            self._num_writing = len(batch)
            for sink in self._live & self._cursors.keys() if batch else ():
                self._cursors[sink] = replace(self._cursors[sink], attempted=batch[-1].position)
                self._dirty.add(sink)
            dirty, self._dirty = self._dirty, set()
            waiting, self._waiting = self._waiting, []
            cursors = {sink: self._cursors[sink] for sink in dirty}
        try:
            self.journal.write(batch, cursors)
        except JournalError as error:
            with self._state:
                self._dirty |= dirty
            self._fail(error)
            more = False
        else:
            self._written(batch)
            more = bool(self._pending)
        for done in waiting:
            done()
        return more

    def _written(self, batch: list[Entry]) -> None:
        with self._state:
            self._num_writing = 0
            for entry in batch:
                assert self._pending.popleft() is entry
                self._recent.append(entry)
            while len(self._recent) > min(RECENT_ENTRIES, self.settings.held_entries):
                self._floor = self._recent.popleft().position
            self.num_written += len(batch)
            recovered, self.degraded = self.degraded, self.degraded if self._pending else ""
            lost = self._lost
            if lost.number and not self.degraded:
                self._lost = Losses("journal", FULL)
        if recovered and not self.degraded:
            log.warning("journal %s: it can be written again; %d entries were lost", self.journal.address, lost.number)
        if lost is not self._lost:
            self.put("dropped", "", f"dropped-{self._last}", lost.body())
        if batch:
            self.tell()

    def _fail(self, error: JournalError) -> None:
        """Go on from memory, loudly."""
        with self._state:
            self._num_writing = 0
            self.degraded = str(error)
            self.num_failures += 1
            waiting, self._waiting = self._waiting, []
        for done in waiting:
            done()
        if self._log_limit.allows():
            log.error("%s; %d entries wait in memory, %d were lost", error, len(self._pending), self.num_dropped)
        self.tell()

    def _retain(self) -> None:
        """Forget what is too old or too much, but nothing that a sink still waits for."""
        now_s = time.monotonic()
        if self.degraded or now_s < self._retain_at_s:
            return
        settings = self.settings
        with self._state:
            before = position_of(self.clock() - settings.retention_s)
            waiting_for = [self._cursors[sink].delivered for sink in self._sinks if sink in self._cursors]
            keep_after = min([self._last, *waiting_for])
        with suppress(JournalError):  # the next write fails as well, and tells
            self.used_bytes = self.journal.retain(before=before, keep_after=keep_after, max_bytes=settings.max_bytes)
            too_much = self.used_bytes > settings.max_bytes
            oldest = self.journal.page(Query(limit=1)).entries if too_much else ()
            self.over_bytes = bool(oldest) and oldest[0].position > keep_after
            self._retain_at_s = now_s + (settings.cursor_every_s if too_much else settings.retain_every_s)

    def tell(self) -> None:
        """Have every listener look again."""
        for news in list(self._listeners):
            news()
