"""The programs of a run: started, killed, started again at the same address.

In: a folder, a port. Out: `Program`s. Their output goes through a pipe into a log, so that a disk that is full for them is not full for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ov2_cli.alerts.processes import SBIN
from ov2_cli.bench.chaos.service import TRACEBACK
from ov2_cli.bench.errors import BenchError

START_S = 180.0
STOP_S = 30.0
POLL_S = 0.02


class Program:
    """`await start()`, `await kill(signal)`, any number of times. `num_starts` counts; `status` is that of the last end.
    `is_up`: it has started, and nobody has ended it. `num_own_ends`: how often it had ended by itself.

    Raises `BenchError` when it does not come up."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        is_ready: Callable[[], bool],
        *,
        prepare: Callable[[], None] = lambda: None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.log = name, log
        self.is_up = False
        self.num_starts = 0
        self.num_own_ends = 0
        self.status: int | None = None
        self._command, self._is_ready, self._prepare = list(command), is_ready, prepare
        self._environment = {**os.environ, **(environment or {})}
        self._process: asyncio.subprocess.Process | None = None
        self._copying: asyncio.Task[None] | None = None
        log.unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        self._prepare()
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            restore_signals=False,  # SIGXFSZ stays ignored
            env=self._environment,
        )
        self._process, self.num_starts = process, self.num_starts + 1
        assert process.stdout is not None
        self._copying = asyncio.create_task(_copy(process.stdout, self.log))
        until_s = time.monotonic() + START_S
        while not await asyncio.to_thread(self._is_ready):
            if process.returncode is not None or time.monotonic() > until_s:
                raise BenchError(f"{self.name}: expected it to start, it did not (status {process.returncode}); see {self.log}")
            await asyncio.sleep(POLL_S)
        self.is_up = True

    async def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal and wait for the end."""
        process, self._process, self.is_up = self._process, None, False
        if process is None:
            return
        self.num_own_ends += process.returncode is not None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()
        self.status = process.returncode
        if self._copying is not None:
            await self._copying

    def tracebacks(self) -> int:
        """In its log so far."""
        return self.log.read_bytes().count(TRACEBACK) if self.log.exists() else 0


async def _copy(output: asyncio.StreamReader, log: Path) -> None:
    with log.open("ab", buffering=0) as file:
        while data := await output.read(1 << 16):
            file.write(data)


def mosquitto(folder: Path, port: int) -> Program:
    """One that keeps its sessions on disk at every change: killed at any moment it forgets nothing that it has acknowledged."""
    program = shutil.which("mosquitto") or (str(SBIN) if SBIN.exists() else None)
    if program is None:
        raise BenchError("expected the program mosquitto, found none; scripts/system_packages.sh installs it")
    kept = folder / "mosquitto"
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "mosquitto.db").unlink(missing_ok=True)
    lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "max_queued_messages 0", "persistence true"]
    lines += [f"persistence_location {kept.resolve()}/", "autosave_on_changes true", "autosave_interval 1"]
    if os.geteuid() == 0:
        lines.append("user root")  # or it would give up the right to write there
    config = folder / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n")
    return Program("mosquitto", [program, "-c", str(config)], folder / "mosquitto.log", lambda: _answers(port))


def redis(folder: Path, data: Path, port: int) -> Program:
    """With an append-only file, synced once a second as Redis does by itself."""
    program = shutil.which("redis-server")
    if program is None:
        raise BenchError("expected the program redis-server, found none; scripts/system_packages.sh installs it")
    data.mkdir(parents=True, exist_ok=True)
    flags = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", str(data.resolve()))
    return Program("redis", [program, *flags], folder / "redis.log", lambda: _pongs(port))


def service(folder: Path, config: Path, port: int, environment: Mapping[str, str]) -> Program:
    """`ov2 serve` on this port, with more in its environment. It is up once it has said so: its port is open long before."""
    ready = folder / "ready.json"
    flags = ("--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--ready-file", str(ready))
    command = [sys.executable, "-m", "ov2_cli", "serve", *flags]

    def forget() -> None:
        ready.unlink(missing_ok=True)

    return Program("service", command, folder / "service.log", ready.exists, prepare=forget, environment=environment)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


def _pongs(port: int) -> bool:
    """Whether Redis has read what it had kept."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
    return False
