"""The segment that is being written.

In: framed entries, staged one by one. Out: bytes in a file; whole records alone, also when the disk is full in the middle of one.
"""

from __future__ import annotations

import logging
import os
from typing import NamedTuple

from stream.packetlog.entries import Kind
from stream.packetlog.framing import HEAD_BYTES, frame, segment_header
from stream.packetlog.index import IndexBuilder, SegmentIndex
from stream.packetlog.segments import Segment

log = logging.getLogger(__name__)


class _Staged(NamedTuple):
    data: bytes
    kind: Kind
    value: float
    is_key: bool
    is_entry: bool


class SegmentFile:
    """One open segment. `num_bytes`: written and staged. `num_kept`: entries that were written whole.

    Raises `OSError` where the file cannot be made or written; what was written of it before is whole records.
    """

    def __init__(self, segment: Segment, preamble: list[tuple[Kind, bytes, float]]) -> None:
        self.segment = segment
        self.num_kept = 0
        self._index = IndexBuilder()
        self._size = 0
        self._number = 0
        self._staged: list[_Staged] = []
        self._staged_bytes = 0
        segment.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            header = segment_header(segment.seed)
            _write(self._fd, header)
            self._size = len(header)
            for kind, payload, value in preamble:
                self.stage(kind, payload, value=value, is_entry=False)
            self.flush()
        except OSError:
            os.close(self._fd)
            segment.path.unlink(missing_ok=True)
            raise

    @property
    def num_bytes(self) -> int:
        return self._size + self._staged_bytes

    @property
    def num_packets(self) -> int:
        """Packets written, not staged."""
        return self._index.num_packets

    def stage(
        self, kind: Kind, first: bytes, second: bytes = b"", *, value: float = 0.0, is_key: bool = False, is_entry: bool = True
    ) -> None:
        """Frame a record and hold it for `flush`. `value`: a packet's wall time, a widening's factor."""
        data = frame(kind, self._number + len(self._staged), self.segment.seed, first, second)
        self._staged.append(_Staged(data, kind, value, is_key, is_entry))
        self._staged_bytes += len(data)

    def flush(self) -> None:
        """Hand what is staged to the operating system. Raises `OSError` when not all of it went; the rest is forgotten."""
        staged, self._staged, self._staged_bytes = self._staged, [], 0
        if not staged:
            return
        num_written, error = _write_up_to(self._fd, b"".join(record.data for record in staged))
        for record in staged:
            if len(record.data) > num_written:
                break
            num_written -= len(record.data)
            self._keep(record)
        if error is not None:
            self._cut()
            raise error

    def forget(self) -> None:
        """Let go of what is staged."""
        self._staged, self._staged_bytes = [], 0

    def sync(self) -> None:
        """Bring it to the disk. Raises `OSError`, also when somebody deleted the file."""
        if not os.fstat(self._fd).st_nlink:
            raise FileNotFoundError(f"{self.segment.path.name} was deleted")
        os.fdatasync(self._fd)

    def close(self) -> SegmentIndex:
        os.close(self._fd)
        return self._index.index(self._size)

    def _keep(self, record: _Staged) -> None:
        match record.kind:
            case Kind.PACKET:
                self._index.packet(record.value, self._size, self._number, is_key=record.is_key)
            case Kind.START:
                self._index.start(self._size)
            case Kind.WIDEN:
                self._index.widen(record.value)
            case _:
                pass
        self._size += len(record.data)
        self._number += 1
        self.num_kept += record.is_entry

    def _cut(self) -> None:
        """Take away half a record; where that fails a reader steps over it."""
        try:
            os.ftruncate(self._fd, self._size)
        except OSError as error:
            log.warning("packet log %s: half a record stays in it (%s)", self.segment.path, error.strerror)
            self._size = os.fstat(self._fd).st_size


def record_bytes(payload_bytes: int) -> int:
    """Bytes that a record takes."""
    return HEAD_BYTES + payload_bytes


def _write_up_to(fd: int, data: bytes) -> tuple[int, OSError | None]:
    """Bytes written, and why not all."""
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(fd, left) :]
    except OSError as error:
        return len(data) - len(left), error
    return len(data), None


def _write(fd: int, data: bytes) -> None:
    _, error = _write_up_to(fd, data)
    if error is not None:
        raise error
