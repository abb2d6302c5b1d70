"""What a segment holds, by wall time: small enough to read at every look-up, and made again by scanning when it is lost.

In: a segment's records, as they are written or as they are read. Out: `SegmentIndex`, and the sidecar file that keeps it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple
from zlib import crc32

from stream.errors import PacketLogError
from stream.packetlog.entries import Kind, parse_packet, parse_start, parse_widen
from stream.packetlog.framing import HEADER_BYTES, Record, RecordReader
from stream.packetlog.segments import Segment, check_version


class Key(NamedTuple):
    """Where reading may begin: a key frame's wall time, offset and record number, the widening in force there, and the offset of the start
    record that it belongs to (-1: none is left)."""

    wall_s: float
    offset: int
    number: int
    widen: float
    start_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentIndex:
    """`num_bytes`: the size that the segment had; another size makes the index stale. Wall times are None without a packet."""

    num_bytes: int
    num_packets: int
    first_wall_s: float | None
    last_wall_s: float | None
    keys: tuple[Key, ...]


class IndexBuilder:
    """Sees a segment's records in order."""

    def __init__(self) -> None:
        self.num_packets = 0
        self.first_wall_s: float | None = None
        self.last_wall_s: float | None = None
        self.keys: list[Key] = []
        self._widen = 1.0
        self._start_offset = -1

    def start(self, offset: int) -> None:
        self._start_offset = offset
        self._widen = 1.0

    def widen(self, factor: float) -> None:
        self._widen = factor

    def packet(self, wall_s: float, offset: int, number: int, *, is_key: bool) -> None:
        self.num_packets += 1
        self.first_wall_s = wall_s if self.first_wall_s is None else self.first_wall_s
        self.last_wall_s = wall_s
        if is_key:
            self.keys.append(Key(wall_s, offset, number, self._widen, self._start_offset))

    def see(self, record: Record) -> None:
        """A record that was read. One that makes no sense is left out, as a reader does."""
        try:
            if record.kind == Kind.PACKET:
                packet = parse_packet(record.payload)
                self.packet(packet.wall_s, record.offset, record.number, is_key=packet.is_key)
            elif record.kind == Kind.START:
                parse_start(record.payload)
                self.start(record.offset)
            elif record.kind == Kind.WIDEN:
                self.widen(parse_widen(record.payload))
        except PacketLogError:
            return  # the reader counts it

    def index(self, num_bytes: int) -> SegmentIndex:
        return SegmentIndex(
            num_bytes=num_bytes,
            num_packets=self.num_packets,
            first_wall_s=self.first_wall_s,
            last_wall_s=self.last_wall_s,
            keys=tuple(self.keys),
        )


class Scan:
    """Index of a segment by reading it; goes on where it was when the segment has grown."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._builder = IndexBuilder()
        self._at = HEADER_BYTES
        self._number = 0

    def index(self) -> SegmentIndex:
        """Raises `PacketLogError` for a newer format, `OSError` where the segment cannot be read."""
        with self._segment.path.open("rb") as file:
            num_bytes = os.fstat(file.fileno()).st_size
            check_version(self._segment, file.read(HEADER_BYTES))
            reader = RecordReader(file, self._segment.seed, at=self._at, number=self._number)
            while (record := reader.read()) is not None:
                self._builder.see(record)
                self._at, self._number = record.end, record.number + 1
        return self._builder.index(num_bytes)


def scan(segment: Segment) -> SegmentIndex:
    """Index of a segment by reading all of it."""
    return Scan(segment).index()


def index_bytes(index: SegmentIndex) -> bytes:
    """The sidecar: one line of JSON, one line with its CRC-32."""
    body = json.dumps(asdict(index)).encode()
    return body + b"\n%08x\n" % crc32(body)


def read_index(segment: Segment) -> SegmentIndex | None:
    """The segment's index, if there is one that fits the segment as it is now."""
    try:
        body, total = segment.index_path.read_bytes().split(b"\n")[:2]
        if total != b"%08x" % crc32(body):
            return None
        index = _parse(json.loads(body))
        return index if index.num_bytes == segment.path.stat().st_size else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _parse(said: dict[str, Any]) -> SegmentIndex:
    return SegmentIndex(**{**said, "keys": tuple(Key(*key) for key in said["keys"])})
