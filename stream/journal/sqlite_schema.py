"""Tables of the journal's SQLite file: made where they are missing, brought to today's form, and told where they are none of ours.

In: a connection. Out: the same, with tables as they must be. Files of before there were checksums get a column for them; their rows have
none.
"""

from __future__ import annotations

import sqlite3

SCHEMA = """
create table if not exists entries (
    position integer primary key, camera text not null, kind text not null, id text not null, body text not null, sum integer) strict;
create index if not exists by_camera on entries (camera, position);
create index if not exists by_kind on entries (kind, position);
create index if not exists by_camera_and_kind on entries (camera, kind, position);
create index if not exists by_id on entries (id, position);
create table if not exists cursors (
    sink text primary key, delivered integer not null, attempted integer not null, sum integer) strict;
create table if not exists kept_cursors (
    sink text primary key, delivered integer not null, attempted integer not null, sum integer) strict;
"""
"""`sum`: the row's CRC-32 (rows.py). `kept_cursors`: cursors of some seconds ago, on a page of their own."""
COLUMNS = {
    "entries": ["position", "camera", "kind", "id", "body", "sum"],
    "cursors": ["sink", "delivered", "attempted", "sum"],
    "kept_cursors": ["sink", "delivered", "attempted", "sum"],
}
INDEXES = {
    "by_camera",
    "by_kind",
    "by_camera_and_kind",
    "by_id",
    "sqlite_autoindex_cursors_1",
    "sqlite_autoindex_kept_cursors_1",
}


class DamagedError(sqlite3.DatabaseError):
    """The file does not hold what was written."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error says that the file is damaged, rather than full, locked or away."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, DamagedError) or (
        code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    )


def prepare(connection: sqlite3.Connection) -> None:
    """Raises `DamagedError` for tables that are none of ours, `sqlite3.Error`."""
    known = _names(connection)
    if not known >= COLUMNS.keys() | INDEXES:
        connection.executescript(SCHEMA)
    for table, columns in COLUMNS.items():
        if _columns(connection, table) == columns[:-1]:
            connection.execute(f"alter table {table} add column {columns[-1]} integer")
        if _columns(connection, table) != columns:
            raise DamagedError("a damaged description of its tables")
    if _names(connection) != COLUMNS.keys() | INDEXES:
        raise DamagedError("a damaged description of its tables")


def check(connection: sqlite3.Connection) -> None:
    """Read all of it, how pages hang together and whether indexes fit. Raises `DamagedError`, `sqlite3.Error`."""
    if connection.execute("pragma integrity_check(1)").fetchone()[0] not in ("ok", b"ok"):
        raise DamagedError("damaged pages")


def _names(connection: sqlite3.Connection) -> set[str]:
    """Of tables and indexes. A name that is no text any more is told by its bytes."""
    return {
        bytes(name).decode(errors="replace") for (name,) in connection.execute("select cast(name as blob) from sqlite_schema")
    }


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    rows = connection.execute(f"select cast(name as blob) from pragma_table_info('{table}')")
    return [bytes(name).decode(errors="replace") for (name,) in rows]
