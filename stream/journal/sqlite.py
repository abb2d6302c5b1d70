"""The journal in one SQLite file, in WAL mode: nothing to install, and readers do not wait for the writer.

In: entries. Out: pages. A commit is on the disk when `write` returns (`synchronous=FULL`). A damaged row is left out; a damaged file is
made anew of what can be read of it (guarded_file.py).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stream.journal.damage import Damage
from stream.journal.entry import MICROSECONDS, Entry
from stream.journal.guarded_file import CHECKED_BYTES, GuardedFile
from stream.journal.journal import Cursor, Page, Query
from stream.journal.recovery import INSERT_ENTRY, aside_files
from stream.journal.rows import cursor_sum, entry_sum, read_cursor, read_entry
from stream.journal.sqlite_schema import DamagedError

FORGOTTEN_AT_ONCE = 2000
"""Entries that one call of `retain` forgets at most."""
DAY_S = 86_400


class SqliteJournal:
    """Opens its file when first used. Raises `JournalError` for what a full or broken disk says. `checked_bytes`: up to which size the file is
    looked through before it is used."""

    def __init__(self, path: Path, *, checked_bytes: int = CHECKED_BYTES) -> None:
        self.damage = Damage()
        self._path = path
        self._file = GuardedFile(path, self.damage, checked_bytes=checked_bytes)
        self._kept: list[tuple[object, ...]] = []

    @property
    def address(self) -> str:
        return self._path.name

    @property
    def num_aside(self) -> int:
        return len(aside_files(self._path))

    def last(self) -> int:
        return max([self._newest(), *(max(cursor.delivered, cursor.attempted) for cursor in self.cursors().values())])

    def write(self, entries: Sequence[Entry], cursors: Mapping[str, Cursor]) -> None:
        if not entries and not cursors and not self._file.found:
            return
        rows = [_entry_row(entry) for entry in entries]
        places = [_cursor_row(sink, cursor) for sink, cursor in cursors.items()]

        def work(connection: sqlite3.Connection) -> None:
            self._put(connection, "cursors", places, rows)

        self._file.write(work)

    def page(self, query: Query) -> Page:
        low, high = query.bounds
        found: list[Entry] = []
        while True:
            wanted = query.limit + 1 - len(found)
            rows = self._rows(query, low, high, wanted)
            found += self._whole(rows)
            if len(rows) < wanted or len(found) > query.limit:
                break
            low, high = self._behind(rows[-1][0], low, high, query)
        return Page(tuple(found[: query.limit]), found[query.limit - 1].position if len(found) > query.limit else None)

    def count(self, after: int) -> int:
        return int(self._file.read("select count(*) from entries where position > ?", [after])[0][0])

    def cursors(self) -> dict[str, Cursor]:
        """A damaged one gives way to what was kept of it; where that is damaged too, everything that is there may be told again, marked."""
        found: dict[str, Cursor] = {}
        damaged: set[str] = set()
        for row in self._file.read("select sink, delivered, attempted, sum from cursors"):
            sink, cursor = row[0].decode(errors="replace"), read_cursor(*row)
            if cursor is None:
                damaged.add(sink)
                self.damage.row(self.address, sink)
            else:
                found[sink] = cursor
        newest = self._newest()
        for row in self._file.read("select sink, delivered, attempted, sum from kept_cursors"):
            sink, cursor = row[0].decode(errors="replace"), read_cursor(*row)
            if cursor is not None and sink not in found:
                found[sink] = Cursor(delivered=cursor.delivered, attempted=max(newest, cursor.attempted))
        lost = {sink: Cursor(delivered=0, attempted=newest) for sink in damaged - found.keys()}
        return {**lost, **found}

    def retain(self, *, before: int, keep_after: int, max_bytes: int) -> int:
        places = [_cursor_row(sink, cursor) for sink, cursor in self.cursors().items()]

        def work(connection: sqlite3.Connection) -> int:
            if places != self._kept:
                self._put(connection, "kept_cursors", places)
                self._kept = places
            self._forget(connection, min(before - 1, keep_after))
            used = self._used_bytes(connection)
            if used > max_bytes:
                length = int(connection.execute("select count(*) from entries").fetchone()[0])
                self._forget(connection, keep_after, max(1, int(length * (1 - max_bytes / used))))
            connection.execute("pragma incremental_vacuum").fetchall()
            return self._used_bytes(connection)

        return self._file.write(work)

    def close(self) -> None:
        self._file.close()

    def _newest(self) -> int:
        """The place of the last entry, whole or not: but a damaged row that stands in the future stands there by its damage."""
        tomorrow = int((time.time() + DAY_S) * MICROSECONDS)
        used = int(self._file.read("select coalesce(max(position), 0) from entries where position <= ?", [tomorrow])[0][0])
        return max([used, *(entry.position for entry in self.page(Query(limit=1, newest_first=True)).entries)])

    def _rows(self, query: Query, low: int, high: int, limit: int) -> list[Any]:
        wanted = {"camera": query.camera, "kind": query.kind, "id": query.id}
        given = {column: value for column, value in wanted.items() if value is not None}
        conditions = "".join(f" and {column} = ?" for column in given)
        order = "desc" if query.newest_first else "asc"
        return self._file.read(
            "select position, camera, kind, id, body, sum from entries where position between ? and ?"
            f"{conditions} order by position {order} limit ?",
            [low, high, *given.values(), limit],
        )

    def _whole(self, rows: Sequence[Any]) -> Iterator[Entry]:
        for row in rows:
            entry = read_entry(*row)
            if entry is None:
                self.damage.row(self.address, row[0])
            else:
                yield entry

    def _behind(self, position: int, low: int, high: int, query: Query) -> tuple[int, int]:
        """Bounds of what comes behind a row that was read."""
        if not low <= position <= high:
            self._file.found = "rows that are out of order"
            raise self._file.failed(DamagedError(self._file.found))
        return (low, position - 1) if query.newest_first else (position + 1, high)

    @staticmethod
    def _put(connection: sqlite3.Connection, cursors: str, places: Sequence[Any], entries: Sequence[Any] = ()) -> None:
        """One transaction."""
        with connection:
            connection.execute("begin immediate")
            connection.executemany(INSERT_ENTRY, entries)
            connection.executemany(f"insert or replace into {cursors} values (?, ?, ?, ?)", places)

    @staticmethod
    def _forget(connection: sqlite3.Connection, until: int, most: int = FORGOTTEN_AT_ONCE) -> None:
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


def _entry_row(entry: Entry) -> tuple[object, ...]:
    body = json.dumps(entry.body)
    total = entry_sum(entry.position, entry.camera.encode(), entry.kind.encode(), entry.id.encode(), body.encode())
    return (entry.position, entry.camera, entry.kind, entry.id, body, total)


def _cursor_row(sink: str, cursor: Cursor) -> tuple[object, ...]:
    return (sink, cursor.delivered, cursor.attempted, cursor_sum(sink.encode(), cursor.delivered, cursor.attempted))
