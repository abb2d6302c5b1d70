"""Files of records: appended to, never changed, deleted whole.

In: records. Out: what the index needs of each when a folder is opened, and records read back. A crash leaves a torn record at
the end of the last file: it is found by its checksum and cut off. Damage inside a file costs the rest of that file, and is
counted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stream.memory.record import HEAD, Note, read_head, read_note

SUFFIX = ".groups"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is."""

    offset: int
    num_bytes: int


class SegmentFile:
    """One file. `num_bytes` of it are whole records."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_bytes = 0
        self._writer: BinaryIO | None = None

    def scan(self) -> Iterator[tuple[Place, Note]]:
        """All whole records; what lies behind them is cut off. Bodies of the last record are checked, those before when they are read."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            while (found := _next(file, self.num_bytes, size)) is not None:
                place, note = found
                yield place, note
                self.num_bytes += place.num_bytes
        if self.num_bytes < size:
            log.warning("memory %s: %d bytes of a torn record cut off", self.path, size - self.num_bytes)
            os.truncate(self.path, self.num_bytes)

    def append(self, record: bytes) -> Place:
        """Raises `OSError`; then the file is as before."""
        if self._writer is None:
            self._writer = self.path.open("ab", buffering=0)
        place = Place(self.num_bytes, len(record))
        try:
            written = self._writer.write(record)
            if written != len(record):
                raise OSError(f"wrote {written} of {len(record)} bytes")
        except OSError:
            os.truncate(self.path, self.num_bytes)
            raise
        self.num_bytes += len(record)
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


def _next(file: BinaryIO, offset: int, size: int) -> tuple[Place, Note] | None:
    """The record at an offset; None at the end, or where it is not whole."""
    import zlib

    file.seek(offset)
    lengths = read_head(file.read(HEAD.size))
    if lengths is None:
        return None
    text_bytes, summary_bytes, body_bytes, crc, body_crc = lengths
    num_bytes = HEAD.size + text_bytes + summary_bytes + body_bytes
    if offset + num_bytes > size:
        return None
    note = read_note(file.read(text_bytes), file.read(summary_bytes), crc)
    is_last = offset + num_bytes == size
    if note is None or (is_last and zlib.crc32(file.read(body_bytes)) != body_crc):
        return None
    return Place(offset, num_bytes), note


def segment_files(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())
