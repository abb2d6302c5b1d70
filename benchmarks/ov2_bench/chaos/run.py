"""`ov2 bench chaos` from start to end.

In: a seed, minutes, a folder. Out: a `ChaosRun`: outages, what escaped, what grew, and whether cameras that nobody touched noticed.
Phases: quiet, in which everything settles and is measured; chaos; recovery, until all are back; and rest, measured again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ov2_bench.chaos.camera_under_test import CameraUnderTest, pulled, pushed
from ov2_bench.chaos.film import LoopedFilm, world_film
from ov2_bench.chaos.footprint import Footprint, MachineTimes, footprint, machine_times
from ov2_bench.chaos.ledger import Outage, Watched, backoff_ceiling
from ov2_bench.chaos.peer import check_gstreamer
from ov2_bench.chaos.schedule import Fault, Limits, draw_faults
from ov2_bench.chaos.service import PolledService
from ov2_bench.errors import RunError

POLL_S = 0.05
"""Between two looks at `GET /v1/cameras`: the resolution of every time that is told."""
FOOTPRINT_EVERY_S = 1.0
FIRST_FRAME_S = 60.0
RECOVERY_S = 90.0
"""After the last fault; who is not back by then never came back."""
METRONOME_S = 2.0
METRONOME = {
    "preset": "published",
    "t_min_s": METRONOME_S,
    "t_max_s": METRONOME_S,
    "canvases_per_group": 1,
    "max_pixels": 12_544,
}
"""Cameras that are not touched close a small group every so many media seconds, whatever they show: what moves their closing is not
their film."""
SESSION = {"window_s": 20.0, "window_tokens": 1024, "branch_tokens": 256, "max_timestamp_s": 30.0}
"""Windows that are full, and renewed, before the quiet phase is over: memory then stands still by itself."""
TOKEN_RATE = 8.0
"""Per camera: eight of them leave two CPU cores some air."""
TOUCHED = ("rtsp", "rtsp", "rtsp", "rtsp", "push", "push")
UNTOUCHED = ("rtsp", "push")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosSettings:
    """`quiet_s` and `rest_s`: before and after `chaos_s`, which `max_faults` ends early. `reconnect_s`: first and longest pause of the
    service's backoff. `camera`: more settings of every camera; `model`: a checkpoint."""

    seed: int
    chaos_s: float
    out: Path
    model: str = "ov2-nano"
    quiet_s: float = 60.0
    rest_s: float = 30.0
    max_faults: int | None = None
    touched: tuple[str, ...] = TOUCHED
    untouched: tuple[str, ...] = UNTOUCHED
    limits: Limits = field(default_factory=Limits)
    reconnect_s: tuple[float, float] = (1.0, 30.0)
    camera: dict[str, Any] = field(default_factory=dict)
    sizes: tuple[tuple[int, int], ...] = ((320, 180), (256, 144))
    fps: int = 10


@dataclass(slots=True, kw_only=True)
class ChaosRun:
    """What is known so far. `phases`: (name, began); footprints with the time they were taken."""

    settings: ChaosSettings
    began_s: float
    cameras: dict[str, CameraUnderTest] = field(default_factory=dict)
    watched: dict[str, Watched] = field(default_factory=dict)
    outages: list[Outage] = field(default_factory=list)
    phases: list[tuple[str, float]] = field(default_factory=list)
    footprints: list[tuple[float, Footprint]] = field(default_factory=list)
    machine: list[MachineTimes] = field(default_factory=list)
    tracebacks: int = 0
    failures: int = 0
    stop_s: float | None = None
    status: int | None = None

    @property
    def touched(self) -> list[str]:
        return [name for name in self.cameras if not name.startswith("calm")]

    def down(self) -> list[str]:
        """Cameras whose packets do not come."""
        return [name for name, watched in self.watched.items() if not watched.is_back]

    def span(self, phase: str) -> tuple[float, float]:
        """From when to when a phase was."""
        names = [name for name, _ in self.phases]
        at = names.index(phase)
        return self.phases[at][1], self.phases[at + 1][1]


Work = Coroutine[Any, Any, None]
Show = Callable[[ChaosRun], Work]


async def run_chaos(settings: ChaosSettings, show: Show) -> ChaosRun:
    """Run it all. `show` is a task beside it, ended in the end. Raises `RunError` where a program is missing or the service dies."""
    check_gstreamer()
    settings.out.mkdir(parents=True, exist_ok=True)
    folder = settings.out / "films"
    made = [
        asyncio.to_thread(world_film, folder, width=width, height=height, fps=settings.fps) for width, height in settings.sizes
    ]
    films = tuple(await asyncio.gather(*made))
    run = ChaosRun(settings=settings, began_s=time.monotonic())
    async with AsyncExitStack() as stack:
        for number, (name, kind) in enumerate(_names(settings)):
            camera = await _camera(settings, name, kind, films, number)
            stack.push_async_callback(camera.stop)
            run.cameras[name] = camera
            run.watched[name] = Watched()
        service = PolledService(_config(settings, run), settings.out)
        async with service:
            await _beside(run, service, show)
            run.tracebacks, run.failures = service.tracebacks(), service.failures
        run.stop_s, run.status = service.stop_s, service.status
        run.tracebacks = service.tracebacks()
    return run


def _names(settings: ChaosSettings) -> list[tuple[str, str]]:
    touched = [(f"{kind}_{number}", kind) for number, kind in enumerate(settings.touched, 1)]
    return touched + [(f"calm_{kind}", kind) for kind in settings.untouched]


async def _camera(settings: ChaosSettings, name: str, kind: str, films: tuple[LoopedFilm, ...], number: int) -> CameraUnderTest:
    first_s, longest_s = settings.reconnect_s
    more = {"reconnect": {"first_s": first_s, "longest_s": longest_s}, **settings.camera}
    if name.startswith("calm"):
        more["tokenizer"] = {**more.get("tokenizer", {}), **METRONOME}
    make = pushed if kind == "push" else pulled
    return await make(name, films, seed=settings.seed + number, monotonic=time.monotonic, **more)


def _config(settings: ChaosSettings, run: ChaosRun) -> dict[str, Any]:
    return {
        "cameras": {name: camera.config for name, camera in run.cameras.items()},
        "model": {"path": settings.model},
        "tokenizer": {"token_rate": TOKEN_RATE},
        "session": SESSION,
    }


async def _beside(run: ChaosRun, service: PolledService, show: Show) -> None:
    """The phases, while others poll, weigh and show."""
    works: list[Work] = [_poll(run, service), _weigh(run, service), show(run)]
    beside = [asyncio.create_task(work) for work in works]
    phases = asyncio.create_task(_phases(run, service))
    try:
        await asyncio.wait([phases, *beside], return_when=asyncio.FIRST_COMPLETED)
        for task in beside:
            if task.done():
                task.result()
        await phases
    finally:
        for task in (phases, *beside):
            task.cancel()
        await asyncio.gather(phases, *beside, return_exceptions=True)


async def _phases(run: ChaosRun, service: PolledService) -> None:
    settings = run.settings
    _enter(run, "start")
    await _until_all_back(run, FIRST_FRAME_S)
    if missing := run.down():
        raise RunError(
            f"expected pictures of every camera within {FIRST_FRAME_S:.0f} s, got none of {', '.join(missing)}; see {service.log}"
        )
    _enter(run, "quiet")
    await asyncio.sleep(settings.quiet_s)
    _enter(run, "chaos")
    await _chaos(run)
    _enter(run, "recovery")
    await _until_all_back(run, RECOVERY_S)
    _enter(run, "rest")
    await asyncio.sleep(settings.rest_s)
    _enter(run, "end")


def _enter(run: ChaosRun, phase: str) -> None:
    run.phases.append((phase, time.monotonic()))


async def _until_all_back(run: ChaosRun, longest_s: float) -> None:
    until_s = time.monotonic() + longest_s
    while time.monotonic() < until_s and run.down():
        await asyncio.sleep(POLL_S)


async def _chaos(run: ChaosRun) -> None:
    """Faults until the time is over; those on their way are seen through."""
    settings = run.settings
    until_s = time.monotonic() + settings.chaos_s
    injecting: set[asyncio.Task[None]] = set()
    try:
        for fault in draw_faults(settings.seed, run.touched, settings.limits):
            await asyncio.sleep(min(fault.after_s, max(0.0, until_s - time.monotonic())))
            name = await _next_back(run, fault, until_s)
            if name is None or len(run.outages) == settings.max_faults:
                break
            injecting.add(asyncio.create_task(_inject(run, fault, name)))
            await asyncio.sleep(0)
        await asyncio.gather(*injecting)
    finally:
        for task in injecting:
            task.cancel()


async def _next_back(run: ChaosRun, fault: Fault, until_s: float) -> str | None:
    """Whose turn it is: the first camera that has recovered from its last fault. None when the time is over."""
    while time.monotonic() < until_s:
        for name in fault.cameras:
            if run.watched[name].is_back:
                return name
        await asyncio.sleep(POLL_S)
    return None


async def _inject(run: ChaosRun, fault: Fault, name: str) -> None:
    outage = Outage(camera=name, kind=fault.kind, began_s=time.monotonic())
    run.outages.append(outage)
    run.watched[name].outage = outage
    outage.healed_s = await run.cameras[name].inject(fault)


async def _poll(run: ChaosRun, service: PolledService) -> None:
    due_s = time.monotonic()
    while True:
        cameras = await service.get("/v1/cameras")
        now_s = time.monotonic()
        for status in cameras or ():
            watched = run.watched[status["name"]]
            watched.see(now_s, status)
            _note_return(run, watched.outage)
        due_s = max(due_s + POLL_S, now_s)
        await asyncio.sleep(due_s - now_s)


def _note_return(run: ChaosRun, outage: Outage | None) -> None:
    """Once a camera sends again: when was its peer back, and how long may the service have taken?"""
    if outage is None or outage.healed_s is None or outage.back_s is not None:
        return
    camera = run.cameras[outage.camera]
    first_s, longest_s = run.settings.reconnect_s
    if outage.flows_s is not None:
        outage.back_s = camera.back_s(outage.began_s, outage.healed_s)
        lives = [life for life in camera.relay.lives() if life[1] <= outage.flows_s]
        outage.backoff_s = backoff_ceiling(lives, first_s=first_s, longest_s=longest_s)


async def _weigh(run: ChaosRun, service: PolledService) -> None:
    while True:
        run.footprints.append((time.monotonic(), await asyncio.to_thread(footprint, service.pid)))
        run.machine.append(machine_times())
        run.tracebacks, run.failures = service.tracebacks(), service.failures
        await asyncio.sleep(FOOTPRINT_EVERY_S)


def names_of(run: ChaosRun, *, touched: bool) -> Sequence[str]:
    """Cameras that may be, or may not be, given faults."""
    return [name for name in run.cameras if (name in run.touched) == touched]
