"""Files of records: appended to, never changed, deleted whole.

In: records. Out: what the index needs of each when a folder is opened, and records read back. A crash leaves a torn record at the end of
the last file: it is found by its checksums, set aside and cut off. Damage inside a file is stepped over to the next whole record, and
costs what it hits.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from stream.memory.record import HEAD_BYTES, SYNC, Note, read_head, read_note
from stream.resync import next_whole

SUFFIX = ".groups"
ASIDE_SUFFIX = ".damaged"
MOST_ASIDE = 4
"""Tails that are kept beside a folder's files; the oldest goes."""
LARGEST_ASIDE_BYTES = 32 << 20
"""A longer tail stays where it is: what is appended behind it is found."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is."""

    offset: int
    num_bytes: int

    @property
    def end(self) -> int:
        return self.offset + self.num_bytes


class _Found(NamedTuple):
    place: Place
    note: Note


class SegmentFile:
    """One file, of `num_bytes`. `num_damaged` counts stretches of it that are no records any more, as `scan` found them, `damaged_bytes` their
    bytes; a torn tail is none of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_bytes = 0
        self.num_damaged = 0
        self.damaged_bytes = 0
        self._writer: BinaryIO | None = None

    def scan(self) -> Iterator[tuple[Place, Note]]:
        """All whole records; what lies behind the last one is set aside and cut off. Their bodies are checked when they are read, and here
        where the record behind is not in its place."""
        self.num_bytes = self.path.stat().st_size
        at = 0
        with self.path.open("rb") as file:
            reader = _Reader(file, self.num_bytes)
            while at < self.num_bytes:
                found = reader.whole(at) or next_whole(file, at + 1, SYNC, reader.whole)
                if found is None:
                    break
                if found.place.offset > at:
                    self._damaged(found.place.offset - at)
                yield found
                at = found.place.end
            is_torn = reader.is_torn(at)
        if at < self.num_bytes:
            if not is_torn:
                self._damaged(self.num_bytes - at)
            self._cut(at)
        if self.num_damaged:
            log.error(
                "memory %s: %d stretches of %d bytes are no groups any more; they are stepped over",
                self.path,
                self.num_damaged,
                self.damaged_bytes,
            )

    def append(self, record: bytes) -> Place:
        """Raises `OSError`; then the file is as before, or a reader steps over what there is of the record."""
        if self._writer is None:
            self._writer = self.path.open("ab", buffering=0)
        place = Place(os.fstat(self._writer.fileno()).st_size, len(record))
        try:
            written = self._writer.write(record)
            if written != len(record):
                raise OSError(f"wrote {written} of {len(record)} bytes")
        except OSError:
            os.truncate(self.path, place.offset)
            raise
        self.num_bytes = place.end
        return place

    def read(self, place: Place) -> bytes:
        """Raises `OSError`."""
        with self.path.open("rb") as file:
            file.seek(place.offset)
            return file.read(place.num_bytes)

    def close(self, *, sync: bool = False) -> None:
        if self._writer is not None:
            if sync:
                os.fsync(self._writer.fileno())
            self._writer.close()
            self._writer = None

    def delete(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)

    def _damaged(self, num_bytes: int) -> None:
        self.num_damaged += 1
        self.damaged_bytes += num_bytes

    def _cut(self, at: int) -> None:
        """Take the tail away, but not before there is a copy of it."""
        try:
            aside = _set_aside(self.path, at)
            os.truncate(self.path, at)
        except OSError as error:
            log.warning("memory %s: the last %d bytes stay in it: %s", self.path, self.num_bytes - at, error.strerror or error)
            return
        log.warning(
            "memory %s: %d bytes behind the last whole group were cut off; they are in %s",
            self.path,
            self.num_bytes - at,
            aside,
        )
        self.num_bytes = at


class _Reader:
    """Records of an open file of so many bytes."""

    def __init__(self, file: BinaryIO, num_bytes: int) -> None:
        self._file, self._num_bytes = file, num_bytes

    def whole(self, at: int) -> _Found | None:
        """The record that begins here, if it is whole as far as the next one tells: a record that ends where none begins is read to its end,
        for it may be its length that is damaged."""
        head = read_head(self._read(at, HEAD_BYTES))
        if head is None or at + head.num_bytes > self._num_bytes:
            return None
        note = read_note(head, self._read(at + head.head_bytes, head.text_bytes + head.summary_bytes))
        if note is None:
            return None
        place = Place(at, head.num_bytes)
        if (
            self._read(place.end, len(SYNC)) != SYNC
            and zlib.crc32(self._read(at + head.body_at, head.body_bytes)) != head.body_sum
        ):
            return None
        return _Found(place, note)

    def is_torn(self, at: int) -> bool:
        """Whether the file ends in the middle of the record that begins here, as after a crash."""
        head = read_head(self._read(at, HEAD_BYTES))
        return self._num_bytes - at < HEAD_BYTES or (head is not None and at + head.num_bytes > self._num_bytes)

    def _read(self, at: int, num_bytes: int) -> bytes:
        self._file.seek(at)
        return self._file.read(num_bytes)


def _set_aside(path: Path, at: int) -> Path:
    """Copy what lies behind `at` to a file of its own. Raises `OSError`."""
    with path.open("rb") as file:
        file.seek(at)
        tail = file.read(LARGEST_ASIDE_BYTES + 1)
    if len(tail) > LARGEST_ASIDE_BYTES:
        raise OSError(f"more than {LARGEST_ASIDE_BYTES} bytes")
    aside = path.with_name(f"{path.name}-{at}{ASIDE_SUFFIX}")
    with aside.open("wb") as file:
        file.write(tail)
        file.flush()
        os.fsync(file.fileno())
    kept = sorted(path.parent.glob(f"*{ASIDE_SUFFIX}"), key=lambda each: each.stat().st_mtime_ns)
    for oldest in kept[:-MOST_ASIDE]:
        oldest.unlink(missing_ok=True)
    return aside


def segment_files(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())
