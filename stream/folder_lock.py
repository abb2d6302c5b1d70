"""A folder that one process writes at a time.

In: the path of a file in it. Out: a lock that goes with the process, however it ends. The file says who holds it.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from stream.errors import FolderTakenError

_LONGEST_PID = 20


class FolderLock:
    """Held from the beginning to `release`. The file stays: who removed it could remove another's. `num_bytes`: what it takes.

    Raises `FolderTakenError`, which names the process that has it, and `OSError` where the folder cannot be made or written."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._fd, 0)
            self.num_bytes = os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            holder = os.pread(self._fd, _LONGEST_PID, 0).strip()
            os.close(self._fd)
            if not isinstance(error, BlockingIOError):
                raise
            named = f"process {int(holder)}" if holder.isdigit() else "another process"
            raise FolderTakenError(named) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def release(self) -> None:
        os.close(self._fd)
