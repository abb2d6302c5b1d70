"""A program in a process of its own: started, waited for, ended and waited for, as often as wanted.

In: a command line, and what tells that it is ready. Out: a running process, its output in a log.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Self

from ov2_bench.errors import RunError

START_S = 180.0
STOP_S = 30.0
POLL_S = 0.02
LAST_LINES = 12
TRACEBACK = b"Traceback (most recent call last)"


class Program:
    """`async with program:`, or `await start()` and `await end(signal)` any number of times. Its log begins anew with the first start.

    `is_up`: it has started, and nobody has ended it. `num_starts` counts; `num_own_ends`: how often it had ended by itself. Of the last end:
    `status`, and `stop_s`, how long it took. `disk_may_fill`: it may run out of disk and go on. Its output then reaches the log through a
    pipe, and it starts with SIGXFSZ ignored, as it is here.

    Raises `RunError` when it does not come up."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        is_ready: Callable[[], bool] = lambda: True,
        *,
        prepare: Callable[[], None] = lambda: None,
        environment: Mapping[str, str] | None = None,
        disk_may_fill: bool = False,
    ) -> None:
        self.name, self.log = name, log
        self.is_up = False
        self.num_starts = 0
        self.num_own_ends = 0
        self.status: int | None = None
        self.stop_s: float | None = None
        self._command, self._is_ready, self._prepare = list(command), is_ready, prepare
        self._environment = {**os.environ, **(environment or {})}
        self._disk_may_fill = disk_may_fill
        self._process: asyncio.subprocess.Process | None = None
        self._copying: asyncio.Task[None] | None = None
        self._num_read_bytes = 0
        self._num_tracebacks = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.end()

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name}: expected it to run"
        return self._process.pid

    @property
    def own_status(self) -> int | None:
        """The exit status of one that has ended by itself; None while it runs."""
        assert self._process is not None, f"{self.name}: expected it to be started"
        return self._process.returncode

    async def start(self) -> None:
        """Returns when it is ready; what does not come up has been ended."""
        assert self._process is None, f"{self.name}: expected it not to run"
        self._prepare()
        self._process = await self._launch()
        self.num_starts += 1
        try:
            trouble = await self._wait_until_ready(self._process)
            self.is_up = not trouble
        finally:
            if not self.is_up:
                await self.end(signal.SIGKILL)
        if trouble:
            raise RunError(f"{self.name}: expected it to start, it {trouble}; the end of {self.log}:\n{self._last_lines()}")

    async def wait(self) -> int:
        """Until it ends by itself: its exit status."""
        assert self._process is not None, f"{self.name}: expected it to run"
        return await self._process.wait()

    async def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal and wait for the end; one that takes too long is killed."""
        process, self._process, self.is_up = self._process, None, False
        if process is None:
            return
        self.num_own_ends += process.returncode is not None
        began_s = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self.stop_s, self.status = time.monotonic() - began_s, process.returncode
        if self._copying is not None:
            await self._copying

    def tracebacks(self) -> int:
        """In its log so far. What was counted once is not read again."""
        with self.log.open("rb") as file:
            file.seek(max(0, self._num_read_bytes - len(TRACEBACK) + 1))
            fresh = file.read()
            self._num_read_bytes = file.tell()
        self._num_tracebacks += fresh.count(TRACEBACK)
        return self._num_tracebacks

    async def _launch(self) -> asyncio.subprocess.Process:
        log = self.log.open("ab" if self.num_starts else "wb", buffering=0)
        if self._disk_may_fill:
            process = await self._spawn(asyncio.subprocess.PIPE)
            assert process.stdout is not None
            self._copying = asyncio.create_task(_copy(process.stdout, log))
            return process
        with log:
            return await self._spawn(log.fileno())

    async def _spawn(self, output: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            restore_signals=not self._disk_may_fill,
            env=self._environment,
        )

    async def _wait_until_ready(self, process: asyncio.subprocess.Process) -> str:
        """What went wrong; empty when it is ready."""
        until_s = time.monotonic() + START_S
        while not await asyncio.to_thread(self._is_ready):
            if process.returncode is not None:
                return f"ended with status {process.returncode}"
            if time.monotonic() > until_s:
                return f"was not ready within {START_S:.0f} s"
            await asyncio.sleep(POLL_S)
        return ""

    def _last_lines(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LAST_LINES:])


async def _copy(output: asyncio.StreamReader, log: FileIO) -> None:
    with log:
        while data := await output.read(1 << 16):
            log.write(data)


def find_program(name: str, *places: Path) -> str:
    """Where it is, on the path or in one of these places. Raises `RunError`."""
    found = shutil.which(name) or next((str(place) for place in places if place.exists()), None)
    if found is None:
        raise RunError(f"expected the program {name}, found none; scripts/system_packages.sh installs it")
    return found
