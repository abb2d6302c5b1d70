"""The bytes of an SQLite database and of its write-ahead log, without SQLite: https://www.sqlite.org/fileformat.html.

In: a path. Out: what is wrong with the header or the log, which SQLite itself would not tell: it takes a log up to its first damaged
frame for all there is. And every table row that stands in any page, wherever that page belongs: what can be read of a damaged file.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
PAGE_BYTES = 4096
"""Of journals that this software makes, also where the header cannot be read."""
TABLE_LEAF = 0x0D
WAL_HEADER = struct.Struct(">8I")
"""Magic, version, page size, checkpoint, two salts, two checksums (4.1)."""
WAL_FRAME = struct.Struct(">6I")
"""Page, pages after a commit, two salts, two checksums."""
WAL_MAGIC = 0x377F0682
"""The last bit: checksums of big-endian words."""
LARGEST_ROW_BYTES = 64 << 20

Value = int | float | bytes | None


class Row(NamedTuple):
    """One row: text and blobs as bytes. `values` is None where a cell could not be read."""

    rowid: int
    values: list[Value] | None


def header_damage(path: Path) -> str:
    """What is wrong with the first 100 bytes; empty where nothing is, or no file."""
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
    except FileNotFoundError:
        return ""
    if not head:
        return ""
    if len(head) < HEADER_BYTES or not head.startswith(MAGIC):
        return "a file that is no database"
    (page_bytes,) = struct.unpack_from(">H", head, 16)
    (schema_format,), (encoding,) = struct.unpack_from(">I", head, 44), struct.unpack_from(">I", head, 56)
    size_is_right = page_bytes == 1 or (page_bytes >= 512 and page_bytes & (page_bytes - 1) == 0)
    versions_are = {head[18], head[19]} <= {1, 2} and head[18] == head[19]
    rest_is = head[20:24] == bytes((0, 64, 32, 32)) and schema_format in (0, 1, 2, 3, 4) and encoding in (0, 1)
    return "" if size_is_right and versions_are and rest_is else "a damaged header"


def wal_damage(path: Path) -> str:
    """What is wrong with the write-ahead log beside a database. A crash leaves a log that ends in the middle; damage is a frame of which
    either the salts or the checksum say that it belongs there, and the other says no."""
    data = _read(_wal_of(path))
    if len(data) < WAL_HEADER.size + WAL_FRAME.size:
        return ""
    magic, _, page_bytes, _, *rest = WAL_HEADER.unpack_from(data)
    salts, total = rest[:2], (rest[2], rest[3])
    order = ">u4" if magic & 1 else "<u4"
    if magic | 1 != WAL_MAGIC | 1 or _sum(data[:24], (0, 0), order) != total or page_bytes < 512:
        return "a damaged header of the write-ahead log"
    frame_bytes = WAL_FRAME.size + page_bytes
    for at in range(WAL_HEADER.size, len(data) - frame_bytes + 1, frame_bytes):
        _, _, *said = WAL_FRAME.unpack_from(data, at)
        total = _sum(data[at : at + 8] + data[at + WAL_FRAME.size : at + frame_bytes], total, order)
        belongs, adds_up = said[:2] == salts, tuple(said[2:]) == total
        if belongs != adds_up:
            return "a damaged frame of the write-ahead log"
        if not belongs:
            return ""
    return ""


def _sum(data: bytes, total: tuple[int, int], order: str) -> tuple[int, int]:
    """The log's checksum over more data (4.2): s0 += x0 + s1; s1 += x1 + s0; ... It is linear, so all steps are one product."""
    pairs_N2 = np.frombuffer(data, order).astype(np.uint32).reshape(-1, 2)
    powers_N22 = _powers(len(pairs_N2))
    added_2 = np.einsum("nij,nj->i", powers_N22[:-1][::-1], pairs_N2 @ np.array([[1, 1], [0, 1]], np.uint32), dtype=np.uint32)
    before_2 = powers_N22[-1] @ np.array(total, np.uint32)
    return tuple(int(each) for each in (before_2 + added_2))  # type: ignore[return-value]


@lru_cache(maxsize=4)
def _powers(count: int) -> np.ndarray:
    """uint32 [count + 1, 2, 2]: powers of one step, 0 to `count`."""
    step = np.array([[1, 1], [1, 2]], np.uint32)
    powers = np.empty((count + 1, 2, 2), np.uint32)
    powers[0] = np.eye(2, dtype=np.uint32)
    for number in range(count):
        powers[number + 1] = powers[number] @ step
    return powers


def rows_of(path: Path) -> Iterator[Row]:
    """Rows of all table leaves of the database and its log, pages that are free or were overwritten included, in no order: what of it is
    believed is for the caller to say. Raises `OSError`."""
    log = _read(_wal_of(path))
    with path.open("rb") as file, contextlib.ExitStack() as stack:
        empty = not path.stat().st_size
        data = b"" if empty else stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        pages = _Pages(data, log)
        for page in pages:
            yield from pages.rows(page)


class _Pages:
    """All images of pages, the newest of each by number for chains of overflow."""

    def __init__(self, data: bytes | mmap.mmap, log: bytes) -> None:
        self._data, self._log = data, log
        said = int.from_bytes(data[16:18], "big")
        self._page_bytes = said if said >= 512 and said & (said - 1) == 0 else PAGE_BYTES
        frame_bytes = WAL_FRAME.size + self._page_bytes
        self._frames = range(WAL_HEADER.size, len(log) - frame_bytes + 1, frame_bytes)
        self._newest = {WAL_FRAME.unpack_from(log, at)[0]: at for at in self._frames}

    def __iter__(self) -> Iterator[bytes]:
        size = self._page_bytes
        for at in self._frames:
            yield self._log[at + WAL_FRAME.size : at + WAL_FRAME.size + size]
        for at in range(0, len(self._data) - size + 1, size):
            yield self._data[at : at + size]

    def rows(self, page: bytes) -> Iterator[Row]:
        """Of a table leaf (1.6); none of another page."""
        at = HEADER_BYTES if page.startswith(MAGIC) else 0
        if page[at] != TABLE_LEAF:
            return
        count = min(int.from_bytes(page[at + 3 : at + 5], "big"), (len(page) - at - 8) // 2)
        for slot in range(at + 8, at + 8 + 2 * count, 2):
            try:
                yield self._cell(page, int.from_bytes(page[slot : slot + 2], "big"))
            except (IndexError, ValueError, struct.error):
                yield Row(0, None)

    def _cell(self, page: bytes, at: int) -> Row:
        length, at = _varint(page, at)
        rowid, at = _varint(page, at)
        rowid -= 1 << 64 if rowid >= 1 << 63 else 0
        if length > LARGEST_ROW_BYTES:
            raise ValueError
        usable = len(page)
        least = (usable - 12) * 32 // 255 - 23
        most = usable - 35
        here = least + (length - least) % (usable - 4)
        local = length if length <= most else here if here <= most else least
        payload = page[at : at + local]
        if local < length:
            payload += self._overflow(int.from_bytes(page[at + local : at + local + 4], "big"), length - local)
        if len(payload) != length:
            raise ValueError
        return Row(rowid, _values(payload))

    def _overflow(self, number: int, length: int) -> bytes:
        parts = []
        while length > 0:
            page = self._page(number)
            parts.append(page[4 : 4 + length])
            length -= len(page) - 4
            number = int.from_bytes(page[:4], "big")
        return b"".join(parts)

    def _page(self, number: int) -> bytes:
        size, frame = self._page_bytes, self._newest.get(number)
        page = self._data[(number - 1) * size : number * size] if frame is None else self._log[frame + WAL_FRAME.size :][:size]
        if number < 1 or len(page) != size:
            raise ValueError
        return page


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Up to nine bytes, the ninth whole (1.6)."""
    value = 0
    for index in range(8):
        byte = data[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    return value << 8 | data[at + 8], at + 9


def _values(payload: bytes) -> list[Value]:
    """A record (2.1)."""
    head_bytes, at = _varint(payload, 0)
    values: list[Value] = []
    body = head_bytes
    while at < head_bytes:
        kind, at = _varint(payload, at)
        length = (kind - 12) // 2 if kind >= 12 else (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)[kind]
        part = payload[body : body + length]
        if len(part) != length or kind in (10, 11):
            raise ValueError
        body += length
        if kind == 0:
            values.append(None)
        elif kind == 7:
            values.append(struct.unpack(">d", part)[0])
        elif kind >= 12:
            values.append(part)
        else:
            values.append(kind - 8 if kind in (8, 9) else int.from_bytes(part, "big", signed=True))
    return values


def _wal_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
