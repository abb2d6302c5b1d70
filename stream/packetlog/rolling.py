"""A packet log's files as they are written: one after another, within bounds.

In: entries, in order, from one thread. Out: segments in a folder, each with its index; the oldest go when there are too many.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from stream.errors import FolderTakenError, PacketLogError
from stream.folder_lock import FolderLock
from stream.packetlog.entries import (
    Entry,
    Hole,
    Kind,
    Recorded,
    Start,
    Steer,
    hole_payload,
    packet_parts,
    start_payload,
    steer_payload,
    widen_payload,
)
from stream.packetlog.framing import HEADER_BYTES
from stream.packetlog.index import index_bytes, read_index, scan
from stream.packetlog.segmentfile import SegmentFile, record_bytes
from stream.packetlog.segments import LOCK_NAME, Segment, check_segments, segment_in, segments_of
from stream.packetlog.settings import PacketLogSettings

log = logging.getLogger(__name__)

_NO_WIDENING = 1.0


class Written(NamedTuple):
    """What became of entries: so many of them, from the first on, are in the log; and why the others are not."""

    num_kept: int
    error: OSError | None


class _Finished(NamedTuple):
    segment: Segment
    num_bytes: int
    """Its index included."""


class RollingFiles:
    """Opens a folder for writing. `num_deleted` counts segments that went to keep the bounds, `num_unwritable` packets that fit no record.

    Raises `PacketLogError` when the folder cannot be made or written, is written by another process, or holds a newer format.
    """

    def __init__(self, folder: Path, settings: PacketLogSettings, start: Start, *, clock: Callable[[], float]) -> None:
        self.num_deleted = 0
        self.num_unwritable = 0
        self._folder = folder
        self._settings = settings
        self._start = start
        self._clock = clock
        self._lock = _lock(folder)
        try:
            found = segments_of(folder)
            check_segments(found)
        except PacketLogError:
            self._lock.release()
            raise
        self._finished: deque[_Finished] = deque(_Finished(each, _size(each)) for each in found)
        self._next_sequence = found[-1].sequence + 1 if found else 0
        self._file: SegmentFile | None = None
        self._opened_s = 0.0
        self._widen: float | None = _NO_WIDENING
        self._num_kept = 0

    @property
    def num_bytes(self) -> int:
        """Bytes of all files of the log, its lock and those that are staged included."""
        finished = sum(each.num_bytes for each in self._finished)
        return self._lock.num_bytes + finished + (self._file.num_bytes if self._file is not None else 0)

    def recover(self) -> None:
        """Index segments that a crash left without one."""
        for segment, _ in self._finished:
            if read_index(segment) is None:
                _write_index(segment, index_bytes(scan(segment)))
        self._finished = deque(_Finished(segment, _size(segment)) for segment, _ in self._finished)
        self.shed()

    def append(self, entries: Sequence[Entry]) -> Written:
        """Write entries and hand them to the operating system."""
        before = self._num_kept
        failed: OSError | None = None
        try:
            for entry in entries:
                self._stage(entry)
            self._flush()
        except OSError as error:
            failed = error
            self._widen = None
            if self._file is not None:
                self._file.forget()
        return Written(self._num_kept - before, failed)

    def sync(self) -> None:
        """Bring what is written to the disk. Raises `OSError`; a file that somebody deleted is given up, and the next entry begins another."""
        if self._file is None:
            return
        try:
            self._file.sync()
        except FileNotFoundError:
            self._file.close()
            self._file = None
            raise

    def finish(self) -> None:
        """End the open segment; the next entry begins another. Raises `OSError`."""
        if self._file is None:
            return
        self._flush()
        self.sync()
        file, self._file = self._file, None
        index = file.close()
        data = index_bytes(index)
        self._finished.append(_Finished(file.segment, index.num_bytes + len(data)))
        self.shed()
        _write_index(file.segment, data)

    def close(self) -> None:
        """Raises `OSError` when the end could not be written."""
        try:
            self.finish()
        finally:
            self._lock.release()

    def shed(self, coming_bytes: int = 0) -> None:
        """Delete the oldest segments until the log, and so many bytes more, keep its bounds."""
        max_age_s = self._settings.max_age_s
        while self._finished:
            oldest = self._finished[0].segment
            too_many = self.num_bytes + coming_bytes > self._settings.max_bytes
            if not too_many and (max_age_s is None or self._clock() - _written_s(oldest) <= max_age_s):
                return
            oldest.index_path.unlink(missing_ok=True)
            oldest.path.unlink(missing_ok=True)
            self._finished.popleft()
            self.num_deleted += 1

    def _stage(self, entry: Entry) -> None:
        match entry:
            case Recorded():
                self._stage_packet(entry)
            case Start():
                self.finish()
                self._start, self._widen = entry, _NO_WIDENING
                self._num_kept += 1
            case Steer():
                self._room_for(0, is_key=False).stage(Kind.STEER, steer_payload(entry))
            case Hole():
                self._room_for(0, is_key=False).stage(Kind.HOLE, hole_payload(entry))

    def _stage_packet(self, entry: Recorded) -> None:
        packet, factor = entry
        try:
            fixed, data = packet_parts(packet)
        except PacketLogError as error:
            log.warning("packet log %s: %s", self._folder, error)
            self.num_unwritable += 1
            self._stage(Hole(1))
            return
        file = self._room_for(len(fixed) + len(data), is_key=packet.is_key)
        if factor != self._widen:
            file.stage(Kind.WIDEN, widen_payload(factor), value=factor, is_entry=False)
            self._widen = factor
        file.stage(Kind.PACKET, fixed, data, value=packet.wall_s, is_key=packet.is_key)

    def _room_for(self, payload_bytes: int, *, is_key: bool) -> SegmentFile:
        """The segment that a record goes to."""
        settings = self._settings
        if self._file is not None:
            num_bytes, age_s = self._file.num_bytes, self._clock() - self._opened_s
            is_full = num_bytes >= settings.segment_limit_bytes or age_s >= settings.segment_s
            over = num_bytes + record_bytes(payload_bytes) > settings.hard_limit_bytes or age_s >= 2 * settings.segment_s
            if over or (is_full and is_key):
                self.finish()
        if self._file is None:
            self._file = self._open()
        return self._file

    def _open(self) -> SegmentFile:
        """Every segment tells by itself whose it is, and the widening in force: the ones before it may be gone."""
        seed = int.from_bytes(os.urandom(4), "little")
        segment = segment_in(self._folder, self._next_sequence, seed)
        preamble = [(Kind.START, start_payload(self._start), 0.0)]
        factor = self._widen
        if factor is not None and factor != _NO_WIDENING:
            preamble.append((Kind.WIDEN, widen_payload(factor), factor))
        self.shed(HEADER_BYTES + sum(record_bytes(len(payload)) for _, payload, _ in preamble))
        file = SegmentFile(segment, preamble)
        self._next_sequence += 1
        self._opened_s = self._clock()
        _sync_folder(self._folder)
        return file

    def _flush(self) -> None:
        if self._file is None:
            return
        self.shed()
        before = self._file.num_kept
        try:
            self._file.flush()
        finally:
            self._num_kept += self._file.num_kept - before


def _lock(folder: Path) -> FolderLock:
    """Two writers would delete each other's segments."""
    try:
        return FolderLock(folder / LOCK_NAME)
    except FolderTakenError as error:
        raise PacketLogError(f"packet log {folder}: {error} records into it; give every camera a folder of its own") from None
    except OSError as error:
        raise PacketLogError(f"packet log {folder}: expected a folder that can be written, got: {error.strerror}") from None


def _write_index(segment: Segment, data: bytes) -> None:
    """A log without an index is as good, but slower to open."""
    if not segment.path.exists():
        return
    try:
        segment.index_path.write_bytes(data)
    except OSError as error:
        log.warning("packet log %s: stays without an index (%s)", segment.path, error.strerror)


def _size(segment: Segment) -> int:
    """Bytes on disk of a finished segment and its index."""
    return sum(path.stat().st_size for path in (segment.path, segment.index_path) if path.exists())


def _written_s(segment: Segment) -> float:
    """When a segment was last written to; a replay that is recorded again carries old wall times."""
    try:
        return segment.path.stat().st_mtime
    except FileNotFoundError:
        return float("-inf")


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
