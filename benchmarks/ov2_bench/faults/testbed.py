"""Everything of a run that can break, at fixed addresses, and what can be seen of it.

In: settings. Out: programs that run, faults injected into them, the service's own words over HTTP, the journal read along the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ov2_bench.faults.clockwork import HOUR_S, Clockwork, find_compiler
from ov2_bench.faults.disk import Disk, small_disk
from ov2_bench.faults.film import busy_film
from ov2_bench.faults.schedule import OF_TESTBED, Fault, FaultKind, Limits
from ov2_bench.faults.subscriber import Subscriber
from ov2_bench.faults.tap import Tap
from ov2_bench.testbed.mosquitto import mosquitto
from ov2_bench.testbed.ports import HOST, free_port
from ov2_bench.testbed.program import Program
from ov2_bench.testbed.redis_server import redis_server
from ov2_bench.testbed.service import Service

if TYPE_CHECKING:
    import httpx

ANSWER_S = 10.0
PAGE = 1000
POLL_S = 0.1
NOTICE_S = 60.0
"""A full disk that the journal does not notice for so long: it had room of its own."""
RECOVERY_S = 30.0
WATCH = "always"
SURE = {"sentence": "something is there", "threshold": 1e-12, "release": 1e-13, "confirm": 1, "cool_down_s": 0.0}
"""A watch that holds whatever is seen: it begins when it is switched on, and ends when it is switched off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSettings:
    """`faults_s`: how long things break. `journal`: sqlite or redis. `may_mount`: a small file system for the disk that is full."""

    seed: int
    faults_s: float
    out: Path
    journal: str = "sqlite"
    model: str = "ov2-nano"
    cameras: int = 3
    limits: Limits = field(default_factory=Limits)
    may_mount: bool = True
    toggle_s: tuple[float, float] = (2.0, 6.0)
    """Between two switches of a camera's watch."""


@dataclass(slots=True)
class FullDisk:
    """`degraded`: the service's own words for it, empty where it did not notice."""

    degraded: str = ""
    recovered: bool = False


class Testbed:
    """All is up within `async with open_testbed(settings) as testbed`.

    `journal`: its last words in `GET /v1/status`; `entries`: by position, as read.
    """

    def __init__(self, settings: FaultSettings, disk: Disk, client: httpx.AsyncClient, http_port: int, tap: Tap) -> None:
        redis_port, out = free_port(), settings.out
        self.settings, self.disk, self.tap = settings, disk, tap
        self.cameras = [f"camera{number}" for number in range(1, settings.cameras + 1)]
        self.broker = mosquitto(out, tap.broker_port, keeps_sessions=True)
        with_redis = settings.journal == "redis"
        self.redis = redis_server(out, disk.folder / "redis", redis_port, disk_may_fill=True) if with_redis else None
        compiler = find_compiler()
        self.clock = Clockwork(out, compiler) if compiler is not None else None
        self.service = Service(
            _config(settings, self.cameras, disk.folder, tap.port, redis_port),
            out,
            port=http_port,
            environment=self.clock.environment if self.clock is not None else {},
            disk_may_fill=True,
        )
        self.subscriber = Subscriber(tap.broker_port)
        self.journal: dict[str, Any] = {}
        self.entries: dict[int, dict[str, Any]] = {}
        self.full: list[FullDisk] = []
        self.num_refused = 0
        self._client = client

    @property
    def faults(self) -> tuple[FaultKind, ...]:
        """What can break here, but for the broker."""
        redis = (FaultKind.REDIS_KILLED,) if self.redis is not None else ()
        return (*OF_TESTBED, *redis, *((FaultKind.CLOCK_MOVED,) if self.clock is not None else ()))

    @property
    def running(self) -> list[Program]:
        return [each for each in (self.broker, self.redis, self.service) if each is not None]

    async def start(self) -> None:
        await self.broker.start()
        await asyncio.to_thread(self.subscriber.start)
        if self.redis is not None:
            await self.redis.start()
        await self.service.start()

    async def inject(self, fault: Fault) -> None:
        """Break something and mend it; returns when it is well again, as far as it gets."""
        match fault.kind:
            case FaultKind.BROKER_KILLED | FaultKind.BROKER_STOPPED:
                how = signal.SIGKILL if fault.kind is FaultKind.BROKER_KILLED else signal.SIGTERM
                await self._again(self.broker, how, fault.lasts_s)
            case FaultKind.SERVICE_KILLED:
                await self._again(self.service, signal.SIGKILL, fault.lasts_s)
            case FaultKind.REDIS_KILLED:
                assert self.redis is not None
                await self._again(self.redis, signal.SIGKILL, fault.lasts_s)
                await self._well(RECOVERY_S)
            case FaultKind.DISK_FULL:
                await self._fill(fault.lasts_s)
            case FaultKind.CLOCK_MOVED:
                assert self.clock is not None
                self.clock.move(HOUR_S if self.clock.num_moves % 4 == 0 else -HOUR_S)
                await asyncio.sleep(fault.lasts_s)
                self.clock.move(0)

    async def _again(self, program: Program, how: signal.Signals, away_s: float) -> None:
        await program.end(how)
        await asyncio.sleep(away_s)
        await program.start()

    async def _fill(self, lasts_s: float) -> None:
        """Full until the journal has noticed, and for a while then."""
        full = FullDisk()
        self.full.append(full)
        pids = [each.pid for each in (self.service, self.redis) if each is not None]
        until_s = time.monotonic() + NOTICE_S
        try:
            while time.monotonic() < until_s:
                await asyncio.to_thread(self.disk.fill, pids)
                await self.look()
                if self.journal.get("degraded") and not full.degraded:
                    full.degraded, until_s = str(self.journal["degraded"]), time.monotonic() + lasts_s
                await asyncio.sleep(POLL_S)
        finally:
            await asyncio.to_thread(self.disk.free, pids)
        full.recovered = await self._well(RECOVERY_S)

    async def _well(self, longest_s: float) -> bool:
        """Wait until everything is in the journal again."""
        until_s = time.monotonic() + longest_s
        while time.monotonic() < until_s:
            if await self.look() and not self.journal["degraded"] and not self.journal["pending"]:
                return True
            await asyncio.sleep(POLL_S)
        return False

    async def look(self) -> bool:
        """Ask how the journal is. False where there was no answer."""
        status = await self.get("/v1/status")
        if status is not None:
            self.journal = status["journal"]
        return status is not None

    async def read(self) -> None:
        """What has come to the journal since the last time."""
        found = await self.pages(max(self.entries, default=0))
        self.entries |= found or {}

    async def pages(self, after: int) -> dict[int, dict[str, Any]] | None:
        """The journal behind a position; None where there was no answer."""
        found: dict[int, dict[str, Any]] = {}
        while True:
            page = await self.get(f"/v1/events?limit={PAGE}&after={after}")
            if page is None:
                return None
            found |= {entry["position"]: entry for entry in page["entries"]}
            if page["next"] is None:
                return found
            after = page["next"]

    async def switch(self, camera: str, on: bool) -> None:
        """The watch of a camera. A service that is down does not hear it."""
        import httpx

        with contextlib.suppress(httpx.TransportError):
            answer = await self._client.put(f"/v1/cameras/{camera}/watches/{WATCH}", json={**SURE, "enabled": on})
            self.num_refused += answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR

    async def get(self, path: str) -> Any:
        """A JSON answer, or None."""
        import httpx

        with contextlib.suppress(httpx.TransportError):
            answer = await self._client.get(path)
            if answer.is_success:
                return answer.json()
        return None


@asynccontextmanager
async def open_testbed(settings: FaultSettings) -> AsyncIterator[Testbed]:
    """Everything up; ended, and waited for, when the block ends. Raises `RunError`."""
    import httpx

    settings.out.mkdir(parents=True, exist_ok=True)
    port = free_port()
    async with AsyncExitStack() as stack:
        disk = stack.enter_context(small_disk(settings.out, may_mount=settings.may_mount))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=ANSWER_S))
        tap = await stack.enter_async_context(Tap(free_port()))
        testbed = Testbed(settings, disk, client, port, tap)
        stack.push_async_callback(testbed.broker.end, signal.SIGKILL)
        if testbed.redis is not None:
            stack.push_async_callback(testbed.redis.end, signal.SIGKILL)
        stack.push_async_callback(testbed.service.end)
        await testbed.start()
        stack.callback(testbed.subscriber.stop)
        yield testbed


def _config(settings: FaultSettings, cameras: list[str], data: Path, broker_port: int, redis_port: int) -> dict[str, Any]:
    films = settings.out / "films"
    boundary = {"onset": 3.0, "calm_s": 0.4, "refractory_s": 0.3}
    return {
        "data": str(data.resolve() / "ov2"),
        "model": {"path": settings.model},
        "mqtt": {"host": HOST, "port": broker_port},
        "journal": {"url": f"redis://{HOST}:{redis_port}/0" if settings.journal == "redis" else "journal.sqlite"},
        "memory": {"max_mb": 8},
        "watches": {"every_s": 0.25},
        "cameras": {
            name: {
                "url": str(busy_film(films, settings.seed + number).resolve()),
                "loop": True,
                "boundary": boundary,
                "watches": {WATCH: SURE},
            }
            for number, name in enumerate(cameras)
        },
    }
