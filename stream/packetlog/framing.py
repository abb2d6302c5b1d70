"""How records lie in a segment file, so that a torn or damaged one is found and never believed.

In: payloads. Out: framed records; and the records of a file that are whole, whatever happened to the file.

    segment: header (20 bytes), then records
    header:  "OV2PLOG\\n", version u16, zero u16, seed u32, CRC-32 of these
    record:  sync "\\xf3OV2", kind u8, flags u8, zero u16, number u32, length u32, CRC-32 of the payload, CRC-32 of the head; payload

Both sums of a record begin with the segment's random seed: after a power cut a file system may show blocks of an older file, whose records
would add up otherwise. `number` counts a segment's records, so that a lost one is noticed even where no trace of it is left. The seed is a
part of the file's name too: a damaged header loses nothing.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple
from zlib import crc32

from stream.resync import next_whole

FORMAT_VERSION = 1
HEADER_BYTES = 20
HEAD_BYTES = 24
SYNC = b"\xf3OV2"
_MAGIC = b"OV2PLOG\n"
_HEADER = struct.Struct("<8sHHI")
_HEAD = struct.Struct("<4sBBHIII")
_SUM = struct.Struct("<I")


class Record(NamedTuple):
    """One whole record. `follows`: it comes right after the one that was read before; False where something is missing between."""

    kind: int
    number: int
    offset: int
    payload: bytes
    follows: bool

    @property
    def end(self) -> int:
        return self.offset + HEAD_BYTES + len(self.payload)


def segment_header(seed: int) -> bytes:
    fixed = _HEADER.pack(_MAGIC, FORMAT_VERSION, 0, seed)
    return fixed + _SUM.pack(crc32(fixed))


def format_version(header: bytes) -> int | None:
    """The version that a segment was written in; None for a header that is damaged or cut off."""
    if len(header) < HEADER_BYTES or crc32(header[: _HEADER.size]) != _SUM.unpack_from(header, _HEADER.size)[0]:
        return None
    magic, version, _, _ = _HEADER.unpack_from(header)
    return int(version) if magic == _MAGIC else None


def frame(kind: int, number: int, seed: int, first: bytes, second: bytes = b"") -> bytes:
    """One record; its payload is given in up to two parts."""
    payload_sum = crc32(second, crc32(first, seed))
    head = _HEAD.pack(SYNC, kind, 0, 0, number, len(first) + len(second), payload_sum)
    return b"".join((head, _SUM.pack(crc32(head, seed)), first, second))


class RecordReader:
    """The whole records of a segment file, in order, from `at`. `read` gives None at the end, and goes on when the file has grown.

    `broken`: something is missing before the next record, as the owner may know. `num_damaged` counts stretches that were stepped over,
    `damaged_bytes` their bytes.
    """

    def __init__(
        self, file: BinaryIO, seed: int, *, at: int = HEADER_BYTES, number: int | None = 0, broken: bool = False
    ) -> None:
        self.at = at
        self.broken = broken
        self.num_damaged = 0
        self.damaged_bytes = 0
        self._file = file
        self._seed = seed
        self._number = number

    def read(self) -> Record | None:
        found = self._record(self.at)
        if found is None and (found := next_whole(self._file, self.at + 1, SYNC, self._record)) is not None:
            self.num_damaged += 1
            self.damaged_bytes += found.offset - self.at
        if found is None:
            return None
        follows = not self.broken and found.offset == self.at and self._number in (None, found.number)
        self.broken = False
        self.at = found.end
        self._number = found.number + 1
        return found._replace(follows=follows)

    def _record(self, at: int) -> Record | None:
        """The record that begins at `at`, if it is whole."""
        self._file.seek(at)
        head = self._file.read(HEAD_BYTES)
        if len(head) < HEAD_BYTES or not head.startswith(SYNC):
            return None
        if crc32(head[: _HEAD.size], self._seed) != _SUM.unpack_from(head, _HEAD.size)[0]:
            return None
        _, kind, _, _, number, length, payload_sum = _HEAD.unpack_from(head)
        payload = self._file.read(length)
        if len(payload) < length or crc32(payload, self._seed) != payload_sum:
            return None
        return Record(kind, number, at, payload, follows=True)
