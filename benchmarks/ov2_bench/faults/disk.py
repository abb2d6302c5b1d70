"""A disk that can be full.

In: a folder. Out: a place for data, and a way to take all its room and give it back: a small file system of its own in memory where one may
be mounted (root), else the limit of a process on the size of its files.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

SIZE_MB = 64
CHUNK_BYTES = 1 << 16
LEAST_BYTES = 1 << 12


class Disk(Protocol):
    """`kind`: how it is made, for people. `fill` again keeps it full when something was deleted on it."""

    folder: Path
    kind: str

    def fill(self, pids: Sequence[int]) -> None:
        """No room any more, for these processes at least."""

    def free(self, pids: Sequence[int]) -> None: ...


class SmallFileSystem:
    """A mounted one: full for everybody."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kind = f"file system of {SIZE_MB} MB"
        self._filler = folder / "filler"

    def fill(self, pids: Sequence[int]) -> None:
        with self._filler.open("ab", buffering=0) as file:
            size = CHUNK_BYTES
            while size >= LEAST_BYTES:
                try:
                    full = file.write(bytes(size)) < size
                except OSError:
                    full = True
                size = size // 2 if full else size

    def free(self, pids: Sequence[int]) -> None:
        self._filler.unlink(missing_ok=True)


class LimitedFiles:
    """No byte may be written by a process (setrlimit(2): EFBIG in the place of ENOSPC). It must ignore SIGXFSZ, as Python does, and others
    that `Program` starts with `disk_may_fill`."""

    def __init__(self, folder: Path, why: str) -> None:
        self.folder = folder
        self.kind = f"limit of the process on its files ({why})"

    def fill(self, pids: Sequence[int]) -> None:
        self._limit(pids, 0)

    def free(self, pids: Sequence[int]) -> None:
        self._limit(pids, None)

    @staticmethod
    def _limit(pids: Sequence[int], num_bytes: int | None) -> None:
        """None: as high as it may be."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if num_bytes is None else num_bytes, hard))


@contextmanager
def small_disk(folder: Path, *, may_mount: bool = True) -> Iterator[Disk]:
    """An empty folder in this one, for the time of the block, that is a disk of its own or stands for one."""
    with tempfile.TemporaryDirectory(prefix="data-", dir=folder, ignore_cleanup_errors=True) as name:
        inside = Path(name)
        why = _mount(inside) if may_mount else "no file system is to be mounted"
        if why:
            yield LimitedFiles(inside, why)
            return
        try:
            yield SmallFileSystem(inside)
        finally:
            subprocess.run(["umount", "-l", str(inside)], check=True)


def _mount(folder: Path) -> str:
    """Why it cannot be done; empty where it was."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "none", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"mount: {os.strerror(error.errno or 0)}"
    return (done.stderr.strip() or f"mount: status {done.returncode}").splitlines()[-1] if done.returncode else ""
