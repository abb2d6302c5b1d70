"""Records one camera's packets: the camera's thread hands them over, a thread of ours brings them to the disk.

In: `Packet`s as the tokenizer takes them, and what else steers it. Out: a packet log. Nothing in here ever holds up or breaks the camera:
what the disk cannot take is dropped, counted by reason, told once a second, and is a hole in the log.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ov2.log_limit import LogLimit
from stream.packetlog.backlog import Backlog
from stream.packetlog.entries import Entry, Hole, Recorded, Start, Steer, SteerAction
from stream.packetlog.rolling import RollingFiles
from stream.packetlog.settings import PacketLogSettings
from stream.units import Packet

log = logging.getLogger(__name__)

SYNC_S = 1.0
"""How often what is written is brought to the disk: what a power cut may cost, about."""
_IDLE_S = 60.0
"""How often an idle log looks whether its oldest segments are too old."""
_TOO_MUCH = "the disk is too slow, or a packet larger than record.segment_bytes"
_RECORD_ROOM_BYTES = 4096
"""Room for everything of a record but the packet's data."""


class PacketLogWriter:
    """`put` each packet, then `close`. `num_packets` counts what is in the log, `drops` what is not.

    - `tokenizer`: the settings that the live tokenizer has, so that a replay can have the same.
    - `clock`: UTC epoch seconds.

    Raises `PacketLogError` when the folder cannot be written, is written by another process, or holds a newer format. Later trouble with
    the disk raises nothing; recording goes on by itself when the trouble is over.
    """

    def __init__(
        self,
        folder: Path,
        settings: PacketLogSettings | None = None,
        *,
        camera: str = "",
        tokenizer: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self._num_kept = 0
        self._num_bytes = 0
        self._settings = settings or PacketLogSettings()
        self._camera = camera
        self._clock = clock
        self._monotonic = monotonic
        self._files = RollingFiles(folder, self._settings, self._start(tokenizer), clock=clock)
        self._backlog = Backlog(self._settings.queue_packets, self._settings.queue_bytes)
        self._largest_bytes = self._settings.hard_limit_bytes - _RECORD_ROOM_BYTES
        self._num_too_large = 0
        self._lost: Counter[str] = Counter()
        self._carried: list[Entry] = []
        self._log_limit = LogLimit(monotonic=monotonic)
        self._next_sync_s = monotonic()
        self._unlogged: Counter[str] = Counter()
        self._seen_dropped = 0
        self._is_dirty = False
        self._thread = threading.Thread(target=self._run, name=f"packet log {camera or folder.name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> PacketLogWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def drops(self) -> Counter[str]:
        """Packets that are not in the log, by reason: `log_queue` (the disk was too slow), `log_disk` (it took nothing),
        `log_too_large` (no segment could hold it), `log_unwritable` (its times fit no record)."""
        counts = {
            "log_queue": self._backlog.num_dropped - self._num_too_large,
            "log_too_large": self._num_too_large,
            "log_unwritable": self._files.num_unwritable,
        }
        return +(Counter(counts) + self._lost)

    @property
    def num_packets(self) -> int:
        """Packets that the log has taken."""
        return self._num_kept - self._files.num_unwritable

    @property
    def num_bytes(self) -> int:
        """Bytes of the whole log on disk, as of the last batch."""
        return self._num_bytes

    @property
    def num_segments_deleted(self) -> int:
        """Segments that went to keep the bounds."""
        return self._files.num_deleted

    def put(self, packet: Packet, widen: float = 1.0) -> None:
        """Record a packet that the tokenizer is about to take, and the factor that it is widened by. Never waits."""
        if len(packet.data) > self._largest_bytes:
            self._num_too_large += 1
            self._backlog.drop()
        else:
            self._backlog.put(Recorded(packet, widen))

    def steer(self, action: SteerAction, value: float = 0.0) -> None:
        """Record that the tokenizer was told something between two packets: `advance`, `force`, `flush`."""
        self._backlog.put(Steer(action, value))

    def restart(self, tokenizer: Mapping[str, Any] | None) -> None:
        """A new tokenizer takes over, with these settings: a recording of its own begins."""
        self._backlog.put(self._start(tokenizer))

    def wait_for_room(self, packet: Packet, timeout_s: float | None = None) -> bool:
        """For a source that can wait, such as a file: until `put` would not drop this packet. False when time ran out."""
        return self._backlog.wait_for_room(len(packet.data), timeout_s)

    def close(self, timeout_s: float | None = None) -> bool:
        """Bring what waits to the disk and end. False when the disk took longer than `timeout_s`. May be called twice."""
        self._backlog.close()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _start(self, tokenizer: Mapping[str, Any] | None) -> Start:
        return Start(
            camera=self._camera, session=uuid.uuid4().hex, version=_version(), began_s=self._clock(), tokenizer=tokenizer
        )

    def _run(self) -> None:
        self._safely(self._files.recover)
        while (entries := self._backlog.take(self._patience_s())) is not None:
            if entries:
                self._write(entries)
            if self._monotonic() >= self._next_sync_s:
                self._tidy()
            self._tell()
        self._safely(self._files.close)
        self._log_limit.reset()
        self._tell()

    def _patience_s(self) -> float:
        return max(0.0, self._next_sync_s - self._monotonic()) if self._is_dirty else _IDLE_S

    def _write(self, entries: list[Entry]) -> None:
        entries = self._carried + entries
        num_kept, error = self._files.append(entries)
        self._is_dirty = True
        self._num_bytes = self._files.num_bytes
        self._num_kept += _num_packets(entries[:num_kept])
        lost = entries[num_kept:]
        num_lost = _num_packets(lost)
        self._lost["log_disk"] += num_lost
        if error is not None:
            self._unlogged[error.strerror or str(error)] += num_lost
        num_missing = num_lost + sum(entry.num_packets for entry in lost if isinstance(entry, Hole))
        starts = [entry for entry in lost if isinstance(entry, Start)]
        self._carried = [*starts[-1:], *([Hole(num_missing)] if num_missing else [])]

    def _tidy(self) -> None:
        self._next_sync_s = self._monotonic() + SYNC_S
        self._is_dirty = False
        self._safely(self._files.sync)
        self._safely(self._files.shed)

    def _safely(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            log.warning("packet log %s: %s", self.folder, error.strerror or error)

    def _tell(self) -> None:
        """Say what is not recorded, and why."""
        num_dropped = self._backlog.num_dropped
        self._unlogged[_TOO_MUCH] += num_dropped - self._seen_dropped
        self._seen_dropped = num_dropped
        if (reasons := +self._unlogged) and self._log_limit.allows():
            self._unlogged.clear()
            for why, num_packets in reasons.items():
                log.warning("packet log %s: %d packets are not recorded (%s)", self.folder, num_packets, why)


def _num_packets(entries: list[Entry]) -> int:
    return sum(isinstance(entry, Recorded) for entry in entries)


def _version() -> str:
    try:
        return version("ov2-live")
    except PackageNotFoundError:
        return "unknown"
