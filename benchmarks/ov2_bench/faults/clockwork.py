"""The wall clock of the service, which can be moved while it runs: clock.c stands between the process and the system's clock.

In: a folder. Out: the environment of a process whose wall clock is as far off as a file says; monotonic clocks are left alone, as when somebody
sets a machine's clock. (libfaketime 0.9.10 will not do: under it every `time.sleep` of Python 3.11 fails with EINVAL.)
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ov2_bench.errors import RunError

SOURCE = Path(__file__).with_name("clock.c")
HOUR_S = 3600


class Clockwork:
    """`move` sets the clock so many seconds off, at once, for every process that was started with `environment`.

    Raises `RunError` where clock.c does not compile."""

    def __init__(self, folder: Path, compiler: str) -> None:
        self._library, self._file = (folder / "clock.so").resolve(), (folder / "clock").resolve()
        self.num_moves = 0
        command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(self._library), str(SOURCE), "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RunError(f"{SOURCE.name}: expected {compiler} to compile it, got {done.stderr.strip()[:500]}")
        self._file.write_bytes(struct.pack("=q", 0))

    @property
    def environment(self) -> Mapping[str, str]:
        return {"LD_PRELOAD": str(self._library), "CLOCK_OFFSET_FILE": str(self._file)}

    def move(self, offset_s: int) -> None:
        """Written in place: the file stays the one that is mapped."""
        self.num_moves += 1
        file = os.open(self._file, os.O_WRONLY)
        try:
            os.pwrite(file, struct.pack("=q", offset_s), 0)
        finally:
            os.close(file)


def find_compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc")
