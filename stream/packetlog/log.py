"""Reads a packet log, also while it is written.

In: a folder. Out: what was recorded, in the order of recording, bit for bit; the stretch of wall time that it covers.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from stream.errors import PacketLogError
from stream.packetlog.entries import (
    Entry,
    Hole,
    Kind,
    Recorded,
    Start,
    Steer,
    parse_hole,
    parse_packet,
    parse_start,
    parse_steer,
    parse_widen,
)
from stream.packetlog.framing import HEADER_BYTES, Record, RecordReader
from stream.packetlog.index import Key, Scan, SegmentIndex, read_index
from stream.packetlog.segments import Segment, check_segments, check_version, segments_of
from stream.units import Packet


class LogRange(NamedTuple):
    """What a log covers: wall times of its first and its last packet, UTC epoch seconds, and how much that is."""

    start_s: float
    end_s: float
    num_packets: int
    num_bytes: int
    num_segments: int


class _Place(NamedTuple):
    """Where reading begins; without a key, at the segment's first record."""

    segment: Segment
    key: Key | None


class PacketLog:
    """One reader of a log; belongs to one thread, and any number may read while one writes.

    `num_damaged` counts stretches that are no record any more, `damaged_bytes` their bytes, `num_missing` packets that the writer itself
    had to drop. What follows such a hole is marked as a discontinuity.

    Raises `PacketLogError` for a folder that is none, or that holds a newer format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.num_damaged = 0
        self.damaged_bytes = 0
        self.num_missing = 0
        self._indexes: dict[Path, SegmentIndex] = {}
        self._scans: dict[Path, Scan] = {}
        check_segments(segments_of(folder))

    def range(self) -> LogRange | None:
        """What the log covers now; None while it holds no packet."""
        indexes = [index for _, index in self._indexed()]
        filled = [index for index in indexes if index.num_packets]
        if not filled:
            return None
        start_s, end_s = filled[0].first_wall_s, filled[-1].last_wall_s
        assert start_s is not None
        assert end_s is not None
        return LogRange(
            start_s, end_s, sum(each.num_packets for each in filled), sum(each.num_bytes for each in indexes), len(indexes)
        )

    def packets(self, start: float | None = None, end: float | None = None) -> Generator[Packet]:
        """Packets between two wall times, UTC epoch seconds, beginning with the key frame at or before `start`, or else with the first one.
        Where another recording begins, its first packet is marked as a discontinuity."""
        is_first, begins = True, False
        for entry in self.entries(start, end):
            if isinstance(entry, Start):
                begins = not is_first
            elif isinstance(entry, Recorded):
                yield replace(entry.packet, discontinuity=True) if begins else entry.packet
                is_first = begins = False

    def entries(self, start: float | None = None, end: float | None = None) -> Generator[Recorded | Start | Steer]:
        """The same with all that steered the tokenizer: a `Start` in front of every recording, and a packet's widening."""
        place = self._find(start)
        if place is None:
            return
        session, widen, broken = "", 1.0, False
        if place.key is not None:
            widen = place.key.widen
            if (begun := _start_of(place.segment, place.key)) is not None:
                session = begun.session
                yield begun
        for record in self._records(place):
            broken = broken or not record.follows
            try:
                entry = _parse(record)
            except PacketLogError:
                self.num_damaged += 1
                broken = True
                continue
            match entry:
                case float():
                    widen = entry
                case Start():
                    widen = 1.0
                    if entry.session != session:
                        session, broken = entry.session, False
                        yield entry
                case Hole():
                    self.num_missing += entry.num_packets
                    broken = True
                case Steer():
                    yield entry
                case Recorded(packet, _):
                    if end is not None and packet.wall_s > end:
                        return
                    yield Recorded(replace(packet, discontinuity=True) if broken else packet, widen)
                    broken = False
                case None:
                    pass

    def _records(self, place: _Place) -> Iterator[Record]:
        """From a place to the end of what is there, over all segments."""
        segment: Segment | None = place.segment
        key, broken = place.key, False
        while segment is not None:
            segment, broken = yield from self._records_of(segment, key, broken)
            key = None

    def _records_of(
        self, segment: Segment, key: Key | None, broken: bool
    ) -> Generator[Record, None, tuple[Segment | None, bool]]:
        """Gives the records of one segment; returns the one that follows, and whether something is missing between them."""
        try:
            file = segment.path.open("rb")
        except FileNotFoundError:
            self.num_damaged += 1  # deleted while we came
            return _after(self.folder, segment), True
        with file:
            check_version(segment, file.read(HEADER_BYTES))
            at, number = (HEADER_BYTES, 0) if key is None else (key.offset, key.number)
            reader = RecordReader(file, segment.seed, at=at, number=number, broken=broken)
            yield from self._counted(reader)
            following = _after(self.folder, segment)
            if following is None:
                return None, False
            yield from self._counted(reader)  # what came before the segment was ended
            self._count_tail(reader, os.fstat(file.fileno()).st_size)
        return following, reader.broken or following.sequence != segment.sequence + 1

    def _counted(self, reader: RecordReader) -> Iterator[Record]:
        while (record := reader.read()) is not None:
            self.num_damaged += reader.num_damaged
            self.damaged_bytes += reader.damaged_bytes
            reader.num_damaged = reader.damaged_bytes = 0
            yield record

    def _count_tail(self, reader: RecordReader, num_bytes: int) -> None:
        """What lies behind the last whole record of a segment that is finished."""
        if num_bytes > max(reader.at, HEADER_BYTES):
            reader.broken = True
            self.num_damaged += 1
            self.damaged_bytes += num_bytes - reader.at

    def _find(self, start: float | None) -> _Place | None:
        """Where to begin, so that decoding has a key frame at or before `start`. A segment without one is begun at its front."""
        found: _Place | None = None
        if start is None:
            return next((_Place(segment, None) for segment in segments_of(self.folder)), None)
        for segment, index in self._indexed():
            if index.first_wall_s is None:
                continue
            keys: tuple[Key | None, ...] = index.keys or (None,)
            for key in keys:
                wall_s = index.first_wall_s if key is None else key.wall_s
                if wall_s > start:
                    return found or _Place(segment, key)
                found = _Place(segment, key)
        return found

    def _indexed(self) -> Iterator[tuple[Segment, SegmentIndex]]:
        """Segments with their indexes; those that are deleted meanwhile are left out, and forgotten."""
        segments = segments_of(self.folder)
        here = {segment.path for segment in segments}
        for known in (self._indexes, self._scans):
            for path in [path for path in known if path not in here]:
                del known[path]
        for segment in segments:
            try:
                yield segment, self._index(segment)
            except FileNotFoundError:
                continue

    def _index(self, segment: Segment) -> SegmentIndex:
        known = self._indexes.get(segment.path)
        if known is None or known.num_bytes != segment.path.stat().st_size:
            known = read_index(segment)
            if known is None:
                known = self._scans.setdefault(segment.path, Scan(segment)).index()
            else:
                self._scans.pop(segment.path, None)
            self._indexes[segment.path] = known
        return known


def _parse(record: Record) -> Entry | float | None:
    """None for a kind of a newer version."""
    match record.kind:
        case Kind.PACKET:
            return Recorded(parse_packet(record.payload))
        case Kind.START:
            return parse_start(record.payload)
        case Kind.WIDEN:
            return parse_widen(record.payload)
        case Kind.STEER:
            return parse_steer(record.payload)
        case Kind.HOLE:
            return parse_hole(record.payload)
        case _:
            return None


def _start_of(segment: Segment, key: Key) -> Start | None:
    """The recording that a key frame belongs to."""
    if key.start_offset < 0:
        return None
    try:
        with segment.path.open("rb") as file:
            record = RecordReader(file, segment.seed, at=key.start_offset, number=None).read()
        return parse_start(record.payload) if record is not None and record.kind == Kind.START else None
    except (FileNotFoundError, PacketLogError):
        return None


def _after(folder: Path, segment: Segment) -> Segment | None:
    """The segment that follows, as the folder is now."""
    return next((each for each in segments_of(folder) if each.sequence > segment.sequence), None)
