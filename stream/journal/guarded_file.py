"""One SQLite file in WAL mode that is whole whenever it is used, or is made anew.

In: work for a connection: one writes, another reads, and neither waits for the other. Out: what the work returns. The file is opened and looked
through when it is first used. Whoever meets damage has the file recovered (recovery.py), and works with the new one.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from stream.errors import JournalError
from stream.journal.damage import Damage
from stream.journal.recovery import finish, recover
from stream.journal.sqlite_file import PAGE_BYTES, header_damage, wal_damage
from stream.journal.sqlite_schema import DamagedError, check, is_damage, prepare

BUSY_S = 5.0
CACHE_KIB = 16 * 1024
WAL_BYTES = 8 * 2**20
"""The write-ahead log is cut back to this after a checkpoint."""
CHECKED_BYTES = 32 * 2**20
"""A file up to this size is looked through before it is used; a larger one meanwhile."""
AGAIN_S = 30.0
"""Between two tries to recover a file, where the first found no room."""
CLOSE_S = 2.0
"""Longest wait for a check that is under way."""
Done = TypeVar("Done")


class _Line:
    """A connection, and who may use it now."""

    def __init__(self) -> None:
        self.connection: sqlite3.Connection | None = None
        self.lock = threading.Lock()

    def let_go(self) -> None:
        """A connection that failed is not trusted again."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class GuardedFile:
    """`read` and `write` from any thread, then `close`. Raises `JournalError` for what a full or broken disk says, and while the file is
    being recovered for longer than `BUSY_S`. `found`: what is wrong with it, until it is recovered."""

    def __init__(self, path: Path, damage: Damage, *, checked_bytes: int = CHECKED_BYTES) -> None:
        self.found = ""
        self._path, self._damage, self._checked_bytes = path, damage, checked_bytes
        self._writing, self._reading = _Line(), _Line()
        self._opening = threading.Lock()
        self._checking: threading.Thread | None = None
        self._checker: sqlite3.Connection | None = None
        self._is_checked = False
        self._num_recoveries = 0
        self._again_s = 0.0

    def read(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """Rows, their text as bytes."""
        return self._do(self._reading, lambda connection: connection.execute(query, values).fetchall())

    def write(self, work: Callable[[sqlite3.Connection], Done]) -> Done:
        """`work` may be called twice."""
        return self._do(self._writing, work)

    def close(self) -> None:
        self._end_check(CLOSE_S)
        for line in (self._writing, self._reading):
            with line.lock:
                line.let_go()

    def failed(self, error: Exception) -> JournalError:
        why = error.strerror if isinstance(error, OSError) else error  # without the path, for it may be told over HTTP
        return JournalError(
            f"journal {self._path.name}: expected to read and write it, got {why}; make room in the data folder, or set journal.url"
        )

    def _do(self, line: _Line, work: Callable[[sqlite3.Connection], Done]) -> Done:
        """Work with the file; once more where it had to be recovered for it."""
        num_recoveries = self._num_recoveries
        try:
            return self._once(line, work)
        except DamagedError as error:
            self._recover(num_recoveries, str(error))
        try:
            return self._once(line, work)
        except DamagedError as error:
            raise self.failed(error) from None

    def _once(self, line: _Line, work: Callable[[sqlite3.Connection], Done]) -> Done:
        with self._held(line):
            try:
                if self.found:
                    raise DamagedError(self.found)
                if line.connection is None:
                    line.connection = self._opened()
                return work(line.connection)
            except OSError as error:
                raise self.failed(error) from error
            except sqlite3.Error as error:
                line.let_go()
                if is_damage(error):
                    raise DamagedError(str(error)) from error
                raise self.failed(error) from error

    @contextmanager
    def _held(self, line: _Line) -> Iterator[None]:
        if not line.lock.acquire(timeout=BUSY_S):
            raise JournalError(
                f"journal {self._path.name}: expected it to be free within {BUSY_S:.0f} s; it is being recovered"
            )
        try:
            yield
        finally:
            line.lock.release()

    def _recover(self, num_recoveries: int, why: str) -> None:
        """Make the file anew, unless somebody else has done so since."""
        with self._held(self._writing), self._held(self._reading):
            if self._num_recoveries != num_recoveries:
                return
            if time.monotonic() < self._again_s:
                raise self.failed(DamagedError(why))
            self._writing.let_go()
            self._reading.let_go()
            self._end_check()
            try:
                recovered = recover(self._path, why, self._connected)
            except (OSError, sqlite3.Error) as error:
                self._again_s = time.monotonic() + AGAIN_S
                raise self.failed(error) from error
            self.found, self._is_checked = "", True
            self._num_recoveries += 1
            self._damage.recovered(self._path.name, recovered)

    def _opened(self) -> sqlite3.Connection:
        """Raises `OSError`, `sqlite3.Error`."""
        with self._opening:
            if self._is_checked:
                return self._connected(self._path)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            finish(self._path)
            if why := header_damage(self._path) or wal_damage(self._path):
                raise DamagedError(why)
            connection = self._connected(self._path)
            try:
                if self._path.stat().st_size <= self._checked_bytes:
                    check(connection)
                else:
                    self._checking = threading.Thread(target=self._check_behind, name="journal-check", daemon=True)
                    self._checking.start()
            except BaseException:
                connection.close()
                raise
            self._is_checked = True
            return connection

    def _check_behind(self) -> None:
        """Look through a large file while it is used."""
        try:
            self._checker = sqlite3.connect(self._path, timeout=BUSY_S, check_same_thread=False)
            check(self._checker)
        except sqlite3.Error as error:
            found = str(error) if is_damage(error) else ""
        else:
            found = ""
        if self._checker is not None:
            self._checker.close()
        self.found = found

    def _end_check(self, timeout_s: float | None = None) -> None:
        """Nobody may have the file open when it is replaced."""
        if self._checking is not None:
            if self._checking.is_alive() and self._checker is not None:
                self._checker.interrupt()
            self._checking.join(timeout_s)
            self._checking = None

    @staticmethod
    def _connected(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        connection.text_factory = bytes
        try:
            settings = {
                "page_size": PAGE_BYTES,
                "auto_vacuum": "incremental",
                "journal_mode": "wal",
                "synchronous": "full",
                "cache_size": -CACHE_KIB,
                "journal_size_limit": WAL_BYTES,
            }
            for name, value in settings.items():
                connection.execute(f"pragma {name} = {value}").fetchall()
            prepare(connection)
        except sqlite3.Error:
            connection.close()
            raise
        return connection
