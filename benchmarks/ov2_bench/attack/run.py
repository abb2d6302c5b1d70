"""`ov2 bench attack` from start to end.

In: a seed, minutes, a folder. Out: an `AttackRun`. A service with tokens: quiet, in which it is used honestly and weighed; rounds of attacks;
rest, weighed again. Then its data, with bits flipped. Then the same for a service without tokens.
"""

from __future__ import annotations

import asyncio
import math
import random
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ov2_bench.attack.attackers import damaged
from ov2_bench.attack.honest import warm_up
from ov2_bench.attack.ledger import Ledger
from ov2_bench.attack.logtail import LogTail
from ov2_bench.attack.probe import Reading, probing
from ov2_bench.attack.scene import Scene
from ov2_bench.attack.schedule import FLIPS, OPEN, TOKENS, Attack, quotas, round_of
from ov2_bench.attack.target import CAMERA, SURE, WATCH, Target
from ov2_bench.attack.watcher import Weight, folder_bytes, weigh_on
from ov2_bench.chaos.film import looped_film
from ov2_bench.chaos.footprint import MachineTimes, machine_times
from ov2_bench.chaos.peer import PushPeer
from ov2_bench.chaos.run import SESSION
from ov2_bench.errors import RunError
from ov2_bench.faults.film import busy_film
from ov2_bench.testbed.ports import HOST, free_port

CASES_A_MINUTE = 10_000
SHARE = {TOKENS: 0.6, OPEN: 0.3}
"""Of the time. The rest is for flipped bits."""
FIRST_ROUND_S = 360.0
"""How long a round is thought to take before one has been seen."""
FIRST_FRAME_S = 60.0
SHORT_HOLDS = 0.3
FLIPS_A_MINUTE = 1.0
LARGE_PATCH_PX = 90
"""Most of the picture changes, so that clips are large."""
RECORDED_BYTES = 48 << 20
OWN_TROUBLE = (OSError, EOFError, TimeoutError)
"""What an attacker meets where the service is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackSettings:
    """`attack_s`: of all attacks together. `cases`: drawn at random in all. `fill_s`: until windows are full, so that what is weighed
    before the attacks is what a service weighs at work. `quiet_s` and `rest_s`: before and after the attacks on a service.
    `is_short`: each attack once, with a small count; without tokens, those that tokens make another of."""

    seed: int
    attack_s: float
    out: Path
    cases: int
    model: str = "ov2-nano"
    fill_s: float = 90.0
    quiet_s: float = 30.0
    rest_s: float = 30.0
    is_short: bool = False
    num_flips: int | None = None

    @property
    def flips(self) -> int:
        return max(1, round(FLIPS_A_MINUTE * self.attack_s / 60)) if self.num_flips is None else self.num_flips


@dataclass(slots=True, kw_only=True)
class Siege:
    """Of one service. `phases`: (name, began); `strikes`: (attack, began, ended). `restarts`: processes, and engines within one."""

    service: str
    target: Target
    phases: list[tuple[str, float]] = field(default_factory=list)
    strikes: list[tuple[str, float, float]] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    num_engine_restarts: int = 0
    left_bytes: int = 0
    status: int | None = None

    def span(self, phase: str) -> tuple[float, float]:
        """From when to when a phase was."""
        at = [name for name, _ in self.phases].index(phase)
        return self.phases[at][1], self.phases[at + 1][1]


@dataclass(slots=True, kw_only=True)
class AttackRun:
    """What is known so far. `tracebacks`: (attack, text)."""

    settings: AttackSettings
    began_s: float
    ledger: Ledger = field(default_factory=Ledger)
    sieges: list[Siege] = field(default_factory=list)
    tracebacks: list[tuple[str, str]] = field(default_factory=list)
    machine: list[MachineTimes] = field(default_factory=list)
    now: str = "start"
    num_fuzzed: int = 0


Work = Coroutine[Any, Any, None]
Show = Callable[[AttackRun], Work]


async def run_attack(settings: AttackSettings, show: Show) -> AttackRun:
    """Run it all. `show` is a task beside it, ended in the end. Raises `RunError` where the service does not start."""
    settings.out.mkdir(parents=True, exist_ok=True)
    run = AttackRun(settings=settings, began_s=time.monotonic(), machine=[machine_times()])
    showing = asyncio.create_task(show(run))
    try:
        await _besiege(run, TOKENS)
        await _flip(run, run.sieges[-1].target)
        await _besiege(run, OPEN)
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
    run.machine.append(machine_times())
    return run


async def _besiege(run: AttackRun, service: str) -> None:
    settings = run.settings
    folder = settings.out / service.replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    async with AsyncExitStack() as stack:
        yard, hostile_port = free_port(), free_port()
        films = [await asyncio.to_thread(busy_film, settings.out / "films", settings.seed, patch_px=LARGE_PATCH_PX)]
        films.append(await asyncio.to_thread(busy_film, settings.out / "films", settings.seed + 1))
        peer = PushPeer(f"rtsp://{HOST}:{yard}/yard")
        stack.push_async_callback(peer.kill)
        await peer.start(looped_film(films[1]))
        token = secrets.token_urlsafe(24) if service == TOKENS else ""
        target = Target(_config(settings, folder, films[0], yard, hostile_port, token), folder, token=token)
        siege = Siege(service=service, target=target)
        run.sieges.append(siege)
        stack.push_async_callback(target.stop)
        await target.start()
        async with _watched(siege):
            await _phases(run, siege, hostile_port)
    siege.status, siege.left_bytes = target.service.status, folder_bytes(target.temporary)


def _config(settings: AttackSettings, folder: Path, film: Path, yard: int, hostile_port: int, token: str) -> dict[str, Any]:
    again = {"reconnect": {"first_s": 0.5, "longest_s": 2.0}}
    record = {"folder": f"recordings/{CAMERA}", "max_bytes": RECORDED_BYTES}
    return {
        "data": str((folder / "data").resolve()),
        "model": {"path": settings.model},
        "server": {"tokens": [token]} if token else {},
        "session": SESSION,
        "memory": {"max_mb": 16},
        "cameras": {
            CAMERA: {"url": str(film.resolve()), "loop": True, "record": record, "watches": {WATCH: SURE}},
            "yard": {"url": f"listen:rtsp://{HOST}:{yard}/yard", **again},
            "phone": {"url": "whip"},
            "hostile": {"url": f"http://{HOST}:{hostile_port}/film.h264", **again},
        },
    }


@asynccontextmanager
async def _watched(siege: Siege) -> AsyncIterator[None]:
    """Probed and weighed while the block runs."""
    target = siege.target
    weighing = asyncio.create_task(
        weigh_on(siege.weights, lambda: target.pid if target.service.is_up else None, target.temporary)
    )
    try:
        async with probing(target.host, target.port, siege.readings):
            yield
    finally:
        weighing.cancel()
        await asyncio.gather(weighing, return_exceptions=True)


async def _phases(run: AttackRun, siege: Siege, hostile_port: int) -> None:
    settings, target = run.settings, siege.target
    _enter(run, siege, "warm up")
    await _until_live(target)
    await warm_up(target)
    await asyncio.sleep(settings.fill_s)
    _enter(run, siege, "quiet")
    await asyncio.sleep(settings.quiet_s)
    _enter(run, siege, "attack")
    await _rounds(run, siege, hostile_port)
    _enter(run, siege, "rest")
    await asyncio.sleep(settings.rest_s)
    status = await target.get("/v1/status") or {}
    siege.num_engine_restarts = int(status.get("engine", {}).get("restarts", 0))
    _enter(run, siege, "end")


def _enter(run: AttackRun, siege: Siege, phase: str) -> None:
    siege.phases.append((phase, time.monotonic()))
    run.now = phase


async def _until_live(target: Target) -> None:
    until_s = time.monotonic() + FIRST_FRAME_S
    while time.monotonic() < until_s:
        cameras = {camera["name"]: camera for camera in await target.get("/v1/cameras") or ()}
        if all(cameras.get(name, {}).get("groups") for name in (CAMERA, "yard")):
            return
        await asyncio.sleep(0.1)
    raise RunError(f"expected groups of two cameras within {FIRST_FRAME_S:.0f} s, got none; see {target.service.log}")


async def _rounds(run: AttackRun, siege: Siege, hostile_port: int) -> None:
    """Round after round until the time is over; the first is seen through."""
    settings, service = run.settings, siege.service
    rng = random.Random(f"{settings.seed} {service}")
    until_s = time.monotonic() + settings.attack_s * SHARE[service]
    left = math.ceil(settings.cases * SHARE[service] / sum(SHARE.values()))
    tail, round_s, number = LogTail(siege.target.service.log), FIRST_ROUND_S, 0
    while number == 0 or (time.monotonic() < until_s and not settings.is_short):
        began_s = time.monotonic()
        quota = left if settings.is_short else quotas(left, until_s - began_s, round_s)
        for attack in round_of(service, rng, is_short=settings.is_short):
            if number and time.monotonic() > until_s:
                break
            made = math.ceil(quota * attack.fuzz_share)
            count = made or (attack.few if settings.is_short else attack.count)
            dice = random.Random(f"{settings.seed} {service} {number} {attack.name}")
            holds = SHORT_HOLDS if settings.is_short else 1.0
            scene = Scene(siege.target, run.ledger, attack.name, dice, settings.out, hostile_port=hostile_port, holds=holds)
            await _strike(run, siege, attack, scene, count)
            left, run.num_fuzzed = left - made, run.num_fuzzed + made
            _charge(run, attack.name, tail)
        round_s, number = time.monotonic() - began_s, number + 1


async def _strike(run: AttackRun, siege: Siege, attack: Attack, scene: Scene, count: int) -> None:
    """One strike. What the attacker itself met, where the service was away, is a failed case."""
    began_s, run.now = time.monotonic(), attack.name
    record = run.ledger.of(attack.name)
    record.strikes += 1
    try:
        await attack.strike(scene, count)
    except* OWN_TROUBLE as group:
        await scene.judged(f"{group.exceptions[0]!r}", "the attack could not go on")
    finally:
        await scene.close()
        ended_s = time.monotonic()
        siege.strikes.append((attack.name, began_s, ended_s))
        record.spent_s += ended_s - began_s


def _charge(run: AttackRun, attack: str, tail: LogTail) -> None:
    """A traceback in the log is a failure of the attack that was under way."""
    for text in tail.tracebacks():
        run.tracebacks.append((attack, text))
        run.ledger.count(attack, f"a traceback in the log: {text.strip().splitlines()[-1]}")


async def _flip(run: AttackRun, target: Target) -> None:
    """Bits in the data of the service that has just stopped."""
    run.now = FLIPS
    record, began_s = run.ledger.of(FLIPS), time.monotonic()
    record.strikes += 1
    scene = Scene(target, run.ledger, FLIPS, random.Random(f"{run.settings.seed} {FLIPS}"), run.settings.out)
    await damaged.strike(scene, run.settings.flips)
    record.spent_s += time.monotonic() - began_s
