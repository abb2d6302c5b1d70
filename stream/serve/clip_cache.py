"""Clips that were cut, kept as files for who asks again: bounded by bytes and by count, the least recently used goes first.

In: files that were cut, each under a key. Out: the same, opened; a file that is open is never thrown away, and can be read on whatever
becomes of its name. The folder is this cache's own: what it holds at the beginning is of a process that has ended, and is removed.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)

PREFIX = "clip-"
"""Of every file of the cache, those that are being written included."""
ETAG_BYTES = 16


@dataclass(slots=True, kw_only=True)
class CachedClip:
    """One file of the cache. `etag` is of its bytes and its time: the same stretch cut again has the same. `start_s`, `end_s`: what it covers,
    UTC epoch seconds."""

    path: Path
    num_bytes: int
    etag: str
    start_s: float
    end_s: float
    num_users: int = 0


class ClipCache:
    """Safe for any thread; all of it but `is_full` waits for the disk."""

    def __init__(self, folder: Path, *, max_bytes: int, max_files: int) -> None:
        self._folder, self._max_bytes, self._max_files = folder, max_bytes, max_files
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, CachedClip] = OrderedDict()
        self._num_bytes = 0
        self._num_made = 0
        self._sweep()

    @property
    def is_full(self) -> bool:
        """Of files that are open: none can go, so none should come."""
        with self._lock:
            used = [each.num_bytes for each in self._entries.values() if each.num_users]
            return len(used) >= self._max_files or sum(used) >= self._max_bytes

    def room(self) -> Path:
        """Where the next file may be written. Raises `OSError`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._num_made += 1
            return self._folder / f"{PREFIX}{self._num_made}.mp4"

    def add(self, key: Hashable, path: Path, start_s: float, end_s: float) -> None:
        """Keep a file that was written to `room()`; others go for it. Raises `OSError`."""
        with path.open("rb") as file:
            etag = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=ETAG_BYTES)).hexdigest()
            num_bytes = file.tell()
        cached = CachedClip(
            path=path, num_bytes=num_bytes, etag=f'"{etag}-{round(start_s * 1000):x}"', start_s=start_s, end_s=end_s
        )
        with self._lock:
            if key in self._entries:
                path.unlink(missing_ok=True)
                return
            self._entries[key] = cached
            self._num_bytes += num_bytes
            self._shed(kept=key)

    def open(self, key: Hashable) -> tuple[CachedClip, BinaryIO] | None:
        """A file and what it is; None when it is not here (any more). `release` it."""
        with self._lock:
            cached = self._entries.get(key)
            if cached is None:
                return None
            try:
                file = cached.path.open("rb")
            except OSError as error:
                log.warning("clip cache %s: a file has gone (%s); it is cut again", self._folder, error.strerror)
                self._drop(key)
                return None
            cached.num_users += 1
            self._entries.move_to_end(key)
            return cached, file

    def release(self, cached: CachedClip, file: BinaryIO) -> None:
        file.close()
        with self._lock:
            cached.num_users -= 1
            self._shed()

    def close(self) -> None:
        """Remove all files. Those that are open can be read to their end."""
        with self._lock:
            for key in list(self._entries):
                self._drop(key)
        self._sweep()

    def _shed(self, kept: Hashable = None) -> None:
        """Throw away what is too much. What is open stays, and `kept`, which somebody waits for."""
        for key, cached in list(self._entries.items()):
            if self._num_bytes <= self._max_bytes and len(self._entries) <= self._max_files:
                return
            if not cached.num_users and key != kept:
                self._drop(key)

    def _drop(self, key: Hashable) -> None:
        cached = self._entries.pop(key)
        self._num_bytes -= cached.num_bytes
        cached.path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        if not self._folder.is_dir():
            return
        for path in self._folder.glob(f"{PREFIX}*"):
            path.unlink(missing_ok=True)
