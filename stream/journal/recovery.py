"""A damaged SQLite journal made anew, of what can be read of it.

In: the path of a file that SQLite refuses, or that is not whole. Out: a new file in its place, with every row whose checksum holds, in
order; the old one beside it under another name. Nothing of the old one is written to. A crash in the middle leaves the old file, or a
new one that `finish` puts in its place at the next start.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from stream.journal.damage import Recovered
from stream.journal.rows import cursor_sum, entry_sum, is_entry, read_cursor
from stream.journal.sqlite_file import Row, rows_of

SETS_ASIDE = 2
"""Old files that are kept, the newest; each with its write-ahead log."""
INSERT_ENTRY = "insert or ignore into entries values (?, ?, ?, ?, ?, ?)"
BATCH = 1000


def aside_files(path: Path) -> list[Path]:
    """Old files that are kept beside a journal, oldest first."""
    return sorted(each for each in path.parent.glob(f"{path.name}.unreadable-*") if not each.name.endswith("-wal"))


def recover(path: Path, why: str, connect: Callable[[Path], sqlite3.Connection]) -> Recovered:
    """`connect` makes a new journal. Nobody may have the old one open. Raises `OSError`, `sqlite3.Error` where there is no room."""
    part = path.with_name(path.name + ".recovering")
    for suffix in ("", "-wal", "-shm"):
        part.with_name(part.name + suffix).unlink(missing_ok=True)
    try:
        with closing(connect(part)) as connection:
            num_kept, num_lost = _fill(connection, rows_of(path))
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync(part)
    part.rename(_recovered(path))
    aside = finish(path)
    return Recovered(why, num_kept, num_lost, aside)


def finish(path: Path) -> str:
    """Put a recovered file in its place, if there is one. Returns the old file's name. Raises `OSError`."""
    recovered = _recovered(path)
    if not recovered.exists():
        return ""
    aside = path.with_name(f"{path.name}.unreadable-{time.time_ns()}")
    for suffix in ("", "-wal"):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(aside.with_name(aside.name + suffix))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    recovered.rename(path)
    _sync(path.parent)
    for oldest in aside_files(path)[:-SETS_ASIDE]:
        oldest.with_name(oldest.name + "-wal").unlink(missing_ok=True)
        oldest.unlink(missing_ok=True)
    return aside.name


def _fill(connection: sqlite3.Connection, rows: Iterator[Row]) -> tuple[int, int]:
    """How many entries are in the new file, and how many rows looked like entries and were none."""
    lost: set[int] = set()
    num_unreadable = 0
    cursors: dict[bytes, tuple[int, int]] = {}
    batch: list[tuple[object, ...]] = []
    connection.execute("pragma journal_mode = off").fetchall()  # nobody reads it before it is whole
    connection.execute("begin")
    for rowid, values in rows:
        if values is None:
            num_unreadable += 1
        elif values[:1] == [None]:
            if is_entry(rowid, *values[1:6]) and len(values) in (5, 6):
                batch.append(_entry_row(rowid, *values[1:5]))  # type: ignore[arg-type]
            else:
                lost.add(rowid)
        elif len(values) in (3, 4) and (cursor := read_cursor(*values)) is not None:
            assert isinstance(values[0], bytes)
            delivered, attempted = cursors.get(values[0], (0, 0))
            cursors[values[0]] = max(delivered, cursor.delivered), max(attempted, cursor.attempted)
        if len(batch) == BATCH:
            connection.executemany(INSERT_ENTRY, batch)
            batch.clear()
    connection.executemany(INSERT_ENTRY, batch)
    newest = int(connection.execute("select coalesce(max(position), 0) from entries").fetchone()[0])
    for sink, (delivered, attempted) in cursors.items():
        _put_cursor(connection, sink, delivered, max(newest, attempted))
    connection.execute("commit")
    held = {
        position for position in lost if connection.execute("select 1 from entries where position = ?", [position]).fetchone()
    }
    num_kept = int(connection.execute("select count(*) from entries").fetchone()[0])
    return num_kept, len(lost - held) + num_unreadable


def _entry_row(position: int, camera: bytes, kind: bytes, name: bytes, body: bytes) -> tuple[object, ...]:
    texts = (each.decode() for each in (camera, kind, name, body))
    return (position, *texts, entry_sum(position, camera, kind, name, body))


def _put_cursor(connection: sqlite3.Connection, sink: bytes, delivered: int, attempted: int) -> None:
    """What follows may have been told: where the newest place is lost, an older one counts, and what is repeated is marked."""
    row = (sink.decode(), delivered, attempted, cursor_sum(sink, delivered, attempted))
    for table in ("cursors", "kept_cursors"):
        connection.execute(f"insert or replace into {table} values (?, ?, ?, ?)", row)


def _recovered(path: Path) -> Path:
    return path.with_name(path.name + ".recovered")


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
