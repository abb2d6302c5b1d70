"""The journal in one SQLite file, in WAL mode: nothing to install, and readers do not wait for the writer.

In: entries. Out: pages. One connection writes (the writer's thread), another reads. A commit is on the disk when `write` returns
(`synchronous=FULL`). A file that SQLite cannot read is set aside under another name, loudly, and a new one begun.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stream.errors import JournalError
from stream.journal.entry import Entry
from stream.journal.journal import Cursor, Page, Query

SCHEMA = """
create table if not exists entries (
    position integer primary key, camera text not null, kind text not null, id text not null, body text not null) strict;
create index if not exists by_camera on entries (camera, position);
create index if not exists by_kind on entries (kind, position);
create index if not exists by_camera_and_kind on entries (camera, kind, position);
create index if not exists by_id on entries (id, position);
create table if not exists cursors (
    sink text primary key, delivered integer not null, attempted integer not null) strict;
"""
BUSY_S = 5.0
CACHE_KIB = 16 * 1024
FORGOTTEN_AT_ONCE = 2000
"""Entries that one call of `retain` forgets at most."""
WAL_BYTES = 8 * 2**20
"""The write-ahead log is cut back to this after a checkpoint."""

log = logging.getLogger(__name__)


class SqliteJournal:
    """Opens its file when first used. Raises `JournalError` for what a full or broken disk says."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing: sqlite3.Connection | None = None
        self._reading: sqlite3.Connection | None = None
        self._reading_lock = threading.Lock()
        self._opening_lock = threading.Lock()

    @property
    def address(self) -> str:
        return str(self._path)

    def last(self) -> int:
        query = (
            "select max(coalesce((select max(position) from entries), 0), coalesce((select max(delivered) from cursors), 0))"
        )
        with self._reading_lock:
            return int(self._read(query, [])[0][0])

    def write(self, entries: Sequence[Entry], cursors: Mapping[str, Cursor]) -> None:
        if not entries and not cursors:
            return
        rows = [(entry.position, entry.camera, entry.kind, entry.id, json.dumps(entry.body)) for entry in entries]
        places = [(sink, cursor.delivered, cursor.attempted) for sink, cursor in cursors.items()]
        try:
            connection = self._writer()
            with connection:
                connection.execute("begin immediate")
                connection.executemany("insert or ignore into entries values (?, ?, ?, ?, ?)", rows)
                connection.executemany("insert or replace into cursors values (?, ?, ?)", places)
        except sqlite3.Error as error:
            self._let_go()
            raise self._failed(error) from error

    def page(self, query: Query) -> Page:
        low, high = query.bounds
        wanted = {"camera": query.camera, "kind": query.kind, "id": query.id}
        given = {column: value for column, value in wanted.items() if value is not None}
        conditions = "".join(f" and {column} = ?" for column in given)
        order = "desc" if query.newest_first else "asc"
        with self._reading_lock:
            rows = self._read(
                "select position, camera, kind, id, body from entries where position between ? and ?"
                f"{conditions} order by position {order} limit ?",
                [low, high, *given.values(), query.limit + 1],
            )
        found = tuple(
            Entry(position=position, camera=camera, kind=kind, id=name, body=json.loads(body))
            for position, camera, kind, name, body in rows[: query.limit]
        )
        return Page(found, found[-1].position if len(rows) > query.limit else None)

    def count(self, after: int) -> int:
        with self._reading_lock:
            return int(self._read("select count(*) from entries where position > ?", [after])[0][0])

    def cursors(self) -> dict[str, Cursor]:
        with self._reading_lock:
            rows = self._read("select sink, delivered, attempted from cursors", [])
        return {sink: Cursor(delivered=delivered, attempted=attempted) for sink, delivered, attempted in rows}

    def retain(self, *, before: int, keep_after: int, max_bytes: int) -> int:
        try:
            connection = self._writer()
            self._forget(connection, min(before - 1, keep_after))
            used = self._used_bytes(connection)
            if used > max_bytes:
                length = int(connection.execute("select count(*) from entries").fetchone()[0])
                self._forget(connection, keep_after, max(1, int(length * (1 - max_bytes / used))))
            connection.execute("pragma incremental_vacuum").fetchall()
            return self._used_bytes(connection)
        except sqlite3.Error as error:
            self._let_go()
            raise self._failed(error) from error

    def close(self) -> None:
        self._let_go()
        with self._reading_lock:
            if self._reading is not None:
                self._reading.close()
                self._reading = None

    def _forget(self, connection: sqlite3.Connection, until: int, most: int = FORGOTTEN_AT_ONCE) -> None:
        with connection:
            connection.execute(
                "delete from entries where position in (select position from entries where position <= ? order by position limit ?)",
                [until, min(most, FORGOTTEN_AT_ONCE)],
            )

    @staticmethod
    def _used_bytes(connection: sqlite3.Connection) -> int:
        pages, free, size = (
            int(connection.execute(f"pragma {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def _writer(self) -> sqlite3.Connection:
        if self._writing is None:
            self._writing = self._opened()
        return self._writing

    def _let_go(self) -> None:
        """A connection that failed is not trusted again."""
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    def _read(self, query: str, values: Sequence[object]) -> list[Any]:
        try:
            if self._reading is None:
                self._reading = self._opened()
            return self._reading.execute(query, values).fetchall()
        except sqlite3.Error as error:
            if self._reading is not None:
                self._reading.close()
                self._reading = None
            raise self._failed(error) from error

    def _opened(self) -> sqlite3.Connection:
        with self._opening_lock:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                return self._connected()
            except OSError as error:
                raise self._failed(error) from error
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                self._set_aside(error)
                return self._connected()

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            settings = {
                "auto_vacuum": "incremental",
                "journal_mode": "wal",
                "synchronous": "full",
                "cache_size": -CACHE_KIB,
                "journal_size_limit": WAL_BYTES,
            }
            for name, value in settings.items():
                connection.execute(f"pragma {name} = {value}").fetchall()
            if not connection.execute("select count(*) from sqlite_schema where name = 'cursors'").fetchone()[0]:
                connection.executescript(SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _set_aside(self, error: sqlite3.Error) -> None:
        aside = self._path.with_name(f"{self._path.name}.unreadable-{time.time_ns()}")
        log.error(
            "journal %s: expected a readable SQLite file, got %s; it is now %s, a new one begins", self._path, error, aside
        )
        self._path.rename(aside)
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _failed(self, error: Exception) -> JournalError:
        return JournalError(f"journal {self._path}: expected to read and write it, got {error}; make room, or set journal.url")
