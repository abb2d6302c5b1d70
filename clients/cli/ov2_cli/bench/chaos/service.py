"""The service under test: `ov2 serve` in a process of its own, and what can be seen of it from outside.

In: a configuration. Out: HTTP answers, tracebacks in its log, what it holds of the machine (memory, threads, descriptors, children, CPU).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ov2_cli.bench.errors import BenchError

if TYPE_CHECKING:
    import httpx
    import psutil

START_S = 180.0
STOP_S = 30.0
ANSWER_S = 10.0
TRACEBACK = b"Traceback (most recent call last)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What a process and its children hold. `memory_bytes`: their share of physical memory, what is shared counted once."""

    memory_bytes: int
    threads: int
    fds: int
    processes: int
    cpu_s: float


class ServiceProcess:
    """`async with ServiceProcess(config, folder) as service`: started, answers, and stopped in the end.

    `stop_s`: how long it took to stop; `status`: its exit status. Raises `BenchError` when it does not come up.
    """

    def __init__(self, config: dict[str, Any], folder: Path) -> None:
        self.log = folder / "service.log"
        self.stop_s: float | None = None
        self.status: int | None = None
        self.failures = 0
        """Requests that got no answer, or one of 500 and up."""
        self._config = config
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._client: httpx.AsyncClient | None = None
        self._seen_bytes = 0
        self._tracebacks = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Self:
        import httpx
        import yaml

        config, ready = self._folder / "ov2.yaml", self._folder / "ready.json"
        ready.unlink(missing_ok=True)
        config.write_text(yaml.safe_dump(self._config, sort_keys=False))
        command = ("serve", "--config", str(config), "--host", "127.0.0.1", "--port", "0", "--ready-file", str(ready))
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "ov2_cli", *command, stdout=log, stderr=asyncio.subprocess.STDOUT
            )
        try:
            told = await asyncio.wait_for(self._ready(ready), START_S)
        except TimeoutError:
            await self._kill()
            raise BenchError(f"the service was not ready within {START_S:.0f} s; see {self.log}") from None
        self._client = httpx.AsyncClient(base_url=told["http"], timeout=ANSWER_S)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._process is not None
        if self._client is not None:
            await self._client.aclose()
        began_s = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            await self._kill()
        self.stop_s = time.monotonic() - began_s
        self.status = self._process.returncode

    async def get(self, path: str) -> Any:
        """A JSON answer, or None (then it is counted)."""
        import httpx

        assert self._client is not None
        try:
            answer = await self._client.get(path)
            if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                return answer.json()
        except httpx.HTTPError:
            if self._process is not None and self._process.returncode is not None:
                raise BenchError(f"the service ended with status {self._process.returncode}; see {self.log}") from None
        self.failures += 1
        return None

    def tracebacks(self) -> int:
        """Tracebacks in the log so far."""
        with self.log.open("rb") as file:
            file.seek(max(0, self._seen_bytes - len(TRACEBACK) + 1))
            fresh = file.read()
            self._seen_bytes = file.tell()
        self._tracebacks += fresh.count(TRACEBACK)
        return self._tracebacks

    async def _ready(self, path: Path) -> dict[str, Any]:
        assert self._process is not None
        while not path.exists():
            if self._process.returncode is not None:
                tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])
                raise BenchError(f"the service ended with status {self._process.returncode}:\n{tail}")
            await asyncio.sleep(0.05)
        return dict(json.loads(path.read_text()))

    async def _kill(self) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


class MachineTimes(NamedTuple):
    """CPU seconds of the whole machine since it was started: those spent idle, and all."""

    idle_s: float
    all_s: float


def machine_times() -> MachineTimes:
    import psutil

    times = psutil.cpu_times()
    return MachineTimes(times.idle + getattr(times, "iowait", 0.0), sum(times))


def idle_share(before: MachineTimes, after: MachineTimes) -> float:
    """Of the machine's CPU time between two moments: how much nobody used."""
    return (after.idle_s - before.idle_s) / max(after.all_s - before.all_s, 1e-9)


def footprint(pid: int) -> Footprint:
    """Of a process and all its children, now."""
    import psutil

    whole = psutil.Process(pid)
    family = [whole, *whole.children(recursive=True)]
    parts = [part for process in family if (part := _one(process)) is not None]
    waited = whole.cpu_times()
    return Footprint(
        memory_bytes=sum(part.memory_bytes for part in parts),
        threads=sum(part.threads for part in parts),
        fds=sum(part.fds for part in parts),
        processes=len(parts),
        cpu_s=sum(part.cpu_s for part in parts) + waited.children_user + waited.children_system,
    )


def _one(process: psutil.Process) -> Footprint | None:
    """None for a child that has just ended."""
    import psutil

    try:
        with process.oneshot():
            spent = process.cpu_times()
            memory = process.memory_full_info()
            return Footprint(
                memory_bytes=int(getattr(memory, "pss", memory.rss)),
                threads=process.num_threads(),
                fds=process.num_fds(),
                processes=1,
                cpu_s=spent.user + spent.system,
            )
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
