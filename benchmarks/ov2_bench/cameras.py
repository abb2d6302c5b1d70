"""`ov2 bench cameras`: how many live cameras this machine carries, and what each costs.

In: a number of cameras, a picture size and rate. Out: drops, frame age, and CPU cores of the service and per camera, with boundary alerts (as
they come) and without, beside plain decoding of the same streams by PyAV. The cameras are clients of one GStreamer RTSP server on this
machine, whose own cost is told apart.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ov2_bench.chaos.film import world_film
from ov2_bench.chaos.footprint import footprint, idle_share, machine_times
from ov2_bench.chaos.ledger import percentile
from ov2_bench.chaos.peer import RtspPeer, check_gstreamer
from ov2_bench.chaos.service import PolledService
from ov2_bench.errors import RunError

POLL_S = 0.1
FIRST_FRAME_S = 120.0
ANSWER_S = 30.0
WARM_S = 10.0
"""After the last camera is live, before anything is measured: sessions begin, running levels settle."""
PLAIN_S = 15.0
FILM_S = 20.0
DUTY_FILM_S = 120.0
"""Of a film most of which is still."""
MILLISECONDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`count` cameras for `seconds`. `token_rate`: LLM tokens per second of each; `t_max_s`: its longest group. `duty`: percent of the time
    in which something happens; None: a busy yard. `tokenizer`: settings beside these two."""

    count: int
    seconds: float
    width: int
    height: int
    fps: int
    out: Path
    token_rate: float = 8.0
    t_max_s: float = 12.0
    model: str = "ov2-nano"
    duty: int | None = None
    tokenizer: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        duty = "" if self.duty is None else f" {self.duty} %"
        return f"{self.width}x{self.height} {self.fps} fps{duty}"


@dataclass(slots=True)
class Seen:
    """What the polls saw: ages of the newest frame of each camera, in milliseconds."""

    ages_ms: list[float] = field(default_factory=list)
    not_live: int = 0
    last: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def see(self, cameras: list[dict[str, Any]]) -> None:
        for status in cameras:
            self.last[status["name"]] = status
            self.not_live += status["state"] != "live"
            if status["frame_age_ms"] is not None:
                self.ages_ms.append(status["frame_age_ms"])

    def drops(self) -> Counter[str]:
        return sum((Counter(status["drops"]) for status in self.last.values()), Counter())

    def total(self, key: str) -> int:
        return sum(int(status[key]) for status in self.last.values())


Tell = Callable[[str], None]


async def bench_cameras(load: Load, tell: Tell) -> dict[str, Any]:
    """Run one load. Raises `RunError` where a program is missing, or not every camera comes up."""
    check_gstreamer()
    load.out.mkdir(parents=True, exist_ok=True)
    tell(f"{load.name}: filming")
    film = await asyncio.to_thread(
        world_film,
        load.out / "films",
        width=load.width,
        height=load.height,
        fps=load.fps,
        seconds=FILM_S if load.duty is None else DUTY_FILM_S,
        duty=load.duty,
    )
    peer = RtspPeer(apart=load.duty is not None)
    await peer.start(film)
    try:
        url = f"rtsp://127.0.0.1:{peer.port}/cam"
        result = await _live(load, url, peer, tell, alerts=True)
        tell(f"{load.name}: the same without boundary alerts")
        silent = await _live(replace(load, out=load.out / "without-alerts"), url, peer, tell, alerts=False)
        tell(f"{load.name}: plain decoding of the same streams")
        plain = await _plain(url, load.count)
    finally:
        await peer.kill()
    plain_cores = plain["cpu_s"] / PLAIN_S
    return {
        **result,
        "cores_per_camera_without_alerts": silent["cores_per_camera"],
        "plain_cores": round(plain_cores, 3),
        "plain_cores_per_camera": round(plain_cores / load.count, 4),
        "plain_fps_per_camera": round(plain["frames"] / PLAIN_S / load.count, 2),
        "cores_to_plain": round(result["cores"] / plain_cores, 2) if plain_cores else 0.0,
    }


async def _live(load: Load, url: str, peer: RtspPeer, tell: Tell, *, alerts: bool) -> dict[str, Any]:
    load.out.mkdir(parents=True, exist_ok=True)
    camera = {"url": url, "boundary": {"enabled": alerts}}
    config = {
        "cameras": {f"cam{number:02d}": camera for number in range(1, load.count + 1)},
        "model": {"path": load.model},
        "tokenizer": {"token_rate": load.token_rate, "t_max_s": load.t_max_s, **load.tokenizer},
    }
    async with PolledService(config, load.out) as service:
        tell(f"{load.name}: waiting for {load.count} cameras")
        await _until_live(service, load)
        await asyncio.sleep(WARM_S)
        assert peer.pid is not None
        before, seen = Seen(), Seen()
        before.see(await service.get("/v1/cameras") or [])
        status_before = await _status(service)
        began_s, ours_s = time.monotonic(), time.process_time()
        machine = machine_times()
        spent, peers = footprint(service.pid), footprint(peer.pid)
        until_s = began_s + load.seconds
        await _watch(service, seen, until_s, lambda left_s: tell(f"{load.name}: {load.count} cameras, {left_s:.0f} s to go"))
        wall_s = time.monotonic() - began_s
        idle = idle_share(machine, machine_times())
        after, peers_after = footprint(service.pid), footprint(peer.pid)
        status_after = await _status(service)
        tracebacks, failures = service.tracebacks(), service.failures
    cores = (after.cpu_s - spent.cpu_s) / wall_s
    shed = Counter(status_after["engine"]["shed"]) - Counter(status_before["engine"]["shed"])
    return {
        "name": load.name,
        "cameras": load.count,
        "seconds": round(wall_s, 1),
        "token_rate": load.token_rate,
        "drops": sum((seen.drops() - before.drops()).values()),
        "drops_by_reason": dict(seen.drops() - before.drops()),
        "not_live_polls": seen.not_live,
        "reconnects": seen.total("reconnects") - before.total("reconnects"),
        "frame_age_ms": {
            "p50": round(percentile(seen.ages_ms, 0.5), 1),
            "p95": round(percentile(seen.ages_ms, 0.95), 1),
            "max": round(max(seen.ages_ms, default=0.0), 1),
        },
        "fps_per_camera": round((seen.total("frames") - before.total("frames")) / wall_s / load.count, 2),
        "groups_per_minute": round(60 * (seen.total("groups") - before.total("groups")) / wall_s / load.count, 2),
        "decoded_share": _mean([status["decoded_share"] for status in seen.last.values()]),
        "cores": round(cores, 3),
        "cores_per_camera": round(cores / load.count, 4),
        "peer_cores": round((peers_after.cpu_s - peers.cpu_s) / wall_s, 3),
        "bench_cores": round((time.process_time() - ours_s) / wall_s, 3),
        "idle_share": round(idle, 3),
        "memory_mib": round(after.memory_bytes / 2**20, 1),
        "engine_shed": dict(shed),
        "exceptions": tracebacks,
        "unanswered": failures,
    }


def _mean(shares: list[float | None]) -> float | None:
    told = [share for share in shares if share is not None]
    return round(sum(told) / len(told), 3) if told else None


async def _status(service: PolledService) -> Any:
    """Of the service; asked again while it is too busy to answer in time, which is counted as unanswered."""
    until_s = time.monotonic() + ANSWER_S
    while (status := await service.get("/v1/status")) is None:
        if time.monotonic() > until_s:
            raise RunError(f"/v1/status: expected an answer within {ANSWER_S:.0f} s, got none; see {service.log}")
    return status


async def _until_live(service: PolledService, load: Load) -> None:
    until_s = time.monotonic() + FIRST_FRAME_S
    while True:
        cameras = await service.get("/v1/cameras") or []
        num_live = sum(status["state"] == "live" for status in cameras)
        if num_live == load.count:
            return
        if time.monotonic() > until_s:
            raise RunError(
                f"expected {load.count} live cameras within {FIRST_FRAME_S:.0f} s, got {num_live}; see {service.log}"
            )
        await asyncio.sleep(POLL_S)


async def _watch(service: PolledService, seen: Seen, until_s: float, left: Callable[[float], None]) -> None:
    while (now_s := time.monotonic()) < until_s:
        seen.see(await service.get("/v1/cameras") or [])
        left(until_s - now_s)
        await asyncio.sleep(POLL_S)


async def _plain(url: str, count: int) -> dict[str, float]:
    """The cost of decoding alone, in a process that does nothing else."""
    command = [sys.executable, "-m", "ov2_bench.plain_decoding", str(PLAIN_S), *[url] * count]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    if process.returncode:
        raise RunError(f"plain decoding ended with status {process.returncode}")
    return dict(json.loads(told))


TABLE = ((8, 320, 180, 10), (16, 640, 360, 5), (12, 640, 360, 15), (6, 640, 360, 30), (4, 1280, 720, 15), (2, 1920, 1080, 15))
"""Cameras, size and rate of each row: about as many as two cores carry."""


async def bench_table(seconds: float, out: Path, tell: Tell, run: Callable[[Load, Tell], Awaitable[dict[str, Any]]] = bench_cameras,
                      **more: Any) -> list[dict[str, Any]]:  # fmt: skip
    """One short run per row of `TABLE`."""
    return [
        await run(Load(count=count, seconds=seconds, width=width, height=height, fps=fps, out=out, **more), tell)
        for count, width, height, fps in TABLE
    ]


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table of the docs."""
    lines = [
        "| camera | at once | cores per camera | without alerts | plain decoding | ratio | frame age p50 / p95 / max | drops |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        age = row["frame_age_ms"]
        ages = f"{age['p50']:.0f} / {age['p95']:.0f} / {age['max']:.0f} ms"
        lines.append(
            f"| {row['name']} | {row['cameras']} | {row['cores_per_camera']:.3f} | "
            f"{row['cores_per_camera_without_alerts']:.3f} | {row['plain_cores_per_camera']:.3f} | "
            f"{row['cores_to_plain']:.1f} | {ages} | {row['drops']} |"
        )
    return "\n".join(lines)
