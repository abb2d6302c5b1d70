"""Rows of a journal, whatever keeps them: their checksums, and what they say where they still say what was written.

In: an entry or a cursor; or the values of a row, text as bytes. Out: the row's CRC-32; an `Entry` or a `Cursor`, None for a row that is
damaged. Rows of older versions have no checksum: they are believed where they make sense.
"""

from __future__ import annotations

import json
from zlib import crc32

from stream.journal.entry import KINDS, Entry
from stream.journal.journal import Cursor


def entry_sum(position: int, camera: bytes, kind: bytes, name: bytes, body: bytes) -> int:
    return crc32(body, crc32(b"%d\0%b\0%b\0%b\0" % (position, camera, kind, name)))


def cursor_sum(sink: bytes, delivered: int, attempted: int) -> int:
    return crc32(b"%b\0%d\0%d" % (sink, delivered, attempted))


def is_entry(position: int, camera: object, kind: object, name: object, body: object, total: object = None) -> bool:
    """Whether a row holds what was written."""
    if not (isinstance(camera, bytes) and isinstance(kind, bytes) and isinstance(name, bytes) and isinstance(body, bytes)):
        return False
    if total is None:
        return read_entry(position, camera, kind, name, body, None) is not None
    return position > 0 and total == entry_sum(position, camera, kind, name, body)


def read_entry(position: int, camera: bytes, kind: bytes, name: bytes, body: bytes, total: int | None) -> Entry | None:
    """A damaged row may hold any type in any place."""
    try:
        if total is not None and total != entry_sum(position, camera, kind, name, body):
            return None
        said, what = json.loads(body), kind.decode()
        if not isinstance(said, dict) or what not in KINDS or position <= 0:
            return None
        return Entry(position=position, kind=what, camera=camera.decode(), id=name.decode(), body=said)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def read_cursor(sink: object, delivered: object, attempted: object, total: object = None) -> Cursor | None:
    if not (isinstance(sink, bytes) and isinstance(delivered, int) and isinstance(attempted, int)):
        return None
    if min(delivered, attempted) < 0 or (total is not None and total != cursor_sum(sink, delivered, attempted)):
        return None
    return Cursor(delivered=delivered, attempted=attempted)
