"""The memory of one camera: a folder of files, an index, and a thread that writes.

In: groups as the session took them, with their vision tokens. Out: rows by time and content, and groups read back. It is
bounded by bytes and by age: the oldest file goes when there is too much. Writing never holds anybody up: groups wait in a
bounded line, of which the oldest are left out when the disk is too slow; what was left out is counted by reason.
"""

from __future__ import annotations

import fcntl
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ov2.canvas import CanvasGroup
from stream.errors import RecallError
from stream.memory.index import FileIndex, Index, Row
from stream.memory.phrases import Phrases
from stream.memory.record import Note, pack, unpack
from stream.memory.segments import SUFFIX, SegmentFile, segment_files
from stream.memory.summary import Summariser

log = logging.getLogger(__name__)
MB = 1_000_000
FILES_OF_A_MEMORY = 16
"""The oldest of so many files goes when there are too many bytes."""
LEAST_FILE_BYTES = 64_000
TOLD_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySettings:
    """Bounds of one camera's memory. `waiting`: groups that may wait to be written; beyond, the oldest is left out. `quality`: of JPEG."""

    max_mb: float = 2000.0
    max_age_days: float = 7.0
    waiting: int = 64
    quality: int = 90

    @property
    def max_bytes(self) -> int:
        return int(self.max_mb * MB)

    @property
    def max_age_s(self) -> float:
        return self.max_age_days * 86_400


class _Waiting(NamedTuple):
    group: CanvasGroup
    num_tokens: int
    tokens: Any
    """Vision tokens [V, D], a tensor on any device; None without."""


class Memory:
    """`put` from any thread, `rows`, `scores` and `read` from any thread; `close` it. Opening reads the index from the files.

    Raises `RecallError` when the folder cannot be used, or another process uses it.
    """

    def __init__(
        self,
        folder: Path,
        settings: MemorySettings | None = None,
        *,
        summariser: Summariser | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder, self.settings, self.summariser = folder, settings or MemorySettings(), summariser
        self._clock = clock
        self._index = Index()
        self._lock = threading.Lock()
        self._dropped: Counter[str] = Counter()
        self._told_s = -TOLD_EVERY_S
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue(self.settings.waiting + 1)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._guard = _guard(folder)
            self._read_index()
        except OSError as error:
            raise RecallError(
                f"memory {folder}: expected a folder that can be written, got {error.strerror}; set memory.folder"
            ) from error
        self._thread = threading.Thread(target=self._main, name=f"memory-{folder.name}", daemon=True)
        self._thread.start()

    # What others see.

    @property
    def dropped(self) -> Counter[str]:
        """Groups that were left out or lost, by reason: `memory_behind`, `memory_disk`, `memory_damaged`."""
        with self._lock:
            return Counter(self._dropped)

    @property
    def num_groups(self) -> int:
        with self._lock:
            return self._index.num_rows

    @property
    def num_bytes(self) -> int:
        with self._lock:
            return self._index.num_bytes

    def put(self, group: CanvasGroup, *, num_tokens: int, tokens: Any = None) -> None:
        """Take a group in, with its vision tokens where the model saw it; never waits."""
        item = _Waiting(group, num_tokens, tokens)
        while True:
            try:
                self._waiting.put_nowait(item)
                return
            except queue.Full:
                self._leave_out_oldest()

    def rows(self, since: float | None = None, until: float | None = None) -> list[Row]:
        """Groups that end later than `since` and begin before `until` (UTC epoch seconds), in order of time; none older than
        `max_age_days`."""
        return [row for row, _ in self._between(since, until)]

    def scored(self, phrases: Phrases, since: float | None = None, until: float | None = None) -> tuple[list[Row], np.ndarray]:
        """The same, and their scores [G, P] for phrases of known words."""
        assert self.summariser is not None, "expected a summariser"
        with self._lock:
            scores_GP = self._index.scores(phrases)
            found = self._between_locked(since, until)
        return [row for row, _ in found], scores_GP[[number for _, number in found]]

    def read(self, rows: Sequence[Row]) -> list[CanvasGroup]:
        """The groups; those that were deleted meanwhile, or are damaged, are left out and counted."""
        groups = []
        for row in rows:
            try:
                groups.append(unpack(row.file.read(row.place)))
            except (OSError, RecallError) as error:
                self._count("memory_damaged", error)
        return groups

    def wait(self) -> None:
        """Until everything put so far is written or left out."""
        self._waiting.join()

    def close(self) -> None:
        """Write what waits, and end. Closing twice is fine."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()
            self._guard.close()

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _between(self, since: float | None, until: float | None) -> list[tuple[Row, int]]:
        with self._lock:
            return self._between_locked(since, until)

    def _between_locked(self, since: float | None, until: float | None) -> list[tuple[Row, int]]:
        oldest = self._clock() - self.settings.max_age_s
        since = oldest if since is None else max(since, oldest)
        found = [
            (row, number)
            for number, row in enumerate(self._index.rows())
            if row.end > since and (until is None or row.start < until)
        ]
        return sorted(found, key=lambda item: item[0].start)

    # The thread.

    def _main(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                self._write(item)
            except OSError as error:
                self._count("memory_disk", error)
            except Exception:  # one group must not end the memory
                self._count("memory_failed", None)
                log.exception("memory %s: a group was left out", self.folder)
            finally:
                self._waiting.task_done()
        self._waiting.task_done()
        if self._index.files:
            self._index.files[-1].file.close(sync=True)

    def _write(self, item: _Waiting) -> None:
        group, summary_KB, scale = item.group, None, 0.0
        if self.summariser is not None and item.tokens is not None:
            summary_KB, scale = self.summariser.summarise(item.tokens.float().cpu().numpy())
        record = pack(group, num_tokens=item.num_tokens, summary_KD=summary_KB, scale=scale, quality=self.settings.quality)
        self._make_room(len(record))
        file = self._index.files[-1]
        place = file.file.append(record)
        start = group.wall_s - (group.end_s - group.start_s)
        note = Note(start=start, end=group.wall_s, num_tokens=item.num_tokens, summary_KD=summary_KB, scale=scale)
        with self._lock:
            file.add(place, note)

    def _make_room(self, num_bytes: int) -> None:
        """Begin a new file when the last is long enough; delete the oldest while there are too many bytes, or all in it is too old."""
        index, limit = self._index, self.settings.max_bytes
        longest = max(LEAST_FILE_BYTES, limit // FILES_OF_A_MEMORY)
        if not index.files or index.files[-1].file.num_bytes + num_bytes > longest:
            number = int(index.files[-1].file.path.stem) + 1 if index.files else 1
            if index.files:
                index.files[-1].file.close(sync=True)
            with self._lock:
                index.files.append(FileIndex(SegmentFile(self.folder / f"{number:010d}{SUFFIX}"), self.summariser))
        oldest = self._clock() - self.settings.max_age_s
        while len(index.files) > 1 and (
            index.num_bytes + num_bytes > limit or all(row.end < oldest for row in index.files[0].rows)
        ):
            with self._lock:
                index.files.popleft().file.delete()

    def _read_index(self) -> None:
        for path in segment_files(self.folder):
            file = FileIndex(SegmentFile(path), self.summariser)
            for place, note in file.file.scan():
                file.add(place, note)
            self._dropped.update({"memory_damaged": file.file.num_damaged} if file.file.num_damaged else {})
            self._index.files.append(file)

    def _leave_out_oldest(self) -> None:
        try:
            self._waiting.get_nowait()
        except queue.Empty:
            return
        self._waiting.task_done()
        self._count("memory_behind", None)

    def _count(self, reason: str, error: Exception | None) -> None:
        with self._lock:
            self._dropped[reason] += 1
            due = self._clock() - self._told_s >= TOLD_EVERY_S
            self._told_s = self._clock() if due else self._told_s
        if due:
            log.warning("memory %s: groups left out: %s%s", self.folder, dict(self.dropped), f" ({error})" if error else "")


def _guard(folder: Path) -> BinaryIO:
    """A lock that goes with the process, however it ends. Raises `RecallError` when another has it."""
    guard = (folder / "lock").open("ab")
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        guard.close()
        raise RecallError(
            f"memory {folder}: expected a folder of its own, another process uses it; set memory.folder"
        ) from None
    return guard
