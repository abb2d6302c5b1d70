"""The evaluation of alerts, live: cameras of generated worlds publish over RTSP, the service watches them, alerts come over MQTT.

In: seeds. Out: what was told of every seed, scored against the truth: watches sentence by sentence, boundaries by their delay. Delays run
from the truth to the receipt of the MQTT message.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ov2_bench.alerts.processes import service
from ov2_bench.errors import RunError
from ov2_bench.testbed.first_picture import first_picture_s
from ov2_bench.testbed.mosquitto import mosquitto
from ov2_bench.testbed.ports import HOST, free_port

if TYPE_CHECKING:
    from trainer.evaluate.alerts import Tally, Told

FIRST_FRAME_S = 60.0
LAST_WORD_S = 3.0
"""Time for what happened at the very end to be told."""


@dataclass(slots=True)
class Heard:
    """What came over MQTT of one camera: (wall time of receipt, the message)."""

    events: list[tuple[float, dict[str, Any]]] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """Scores of all films."""

    watches: dict[str, Tally]
    boundary_delays_s: list[float]
    boundaries: dict[str, float]
    camera_hours: float

    @property
    def total(self) -> Tally:
        from trainer.evaluate.alerts import Tally

        total = Tally()
        for tally in self.watches.values():
            total.add(tally)
        return total

    def as_json(self) -> dict[str, Any]:
        total = self.total
        return {
            "f1": total.f1,
            "precision": total.precision,
            "recall": total.recall,
            "median_delay_s": total.median_delay_s,
            "p95_delay_s": total.p95_delay_s,
            "false_per_hour": total.wrong / self.camera_hours,
            "boundary": self.boundaries,
            "by_watch": {name: {"right": t.right, "wrong": t.wrong, "missed": t.missed} for name, t in self.watches.items()},
            "camera_hours": self.camera_hours,
        }


async def run(
    seeds: Sequence[int],
    *,
    seconds: int,
    cameras: int,
    model: str,
    out: Path,
    done: Callable[[int], None] = lambda count: None,
) -> Result:
    """Film all seeds, so many at a time, and score what was told. Raises `RunError` when a process does not come up."""
    from trainer.evaluate import matching
    from trainer.evaluate.alerts import Tally, score, true_events
    from trainer.world import World
    from trainer.world.boundaries import visible_boundaries

    watches: dict[str, Tally] = {}
    boundary = matching.Tally()
    for first in range(0, len(seeds), cameras):
        batch = seeds[first : first + cameras]
        for seed, (zero_s, heard) in (await _film(batch, seconds, model, out / f"batch-{first:03d}")).items():
            world = World(seed, duration_s=float(seconds))
            for name, events in true_events(world, end_s=float(seconds)).items():
                told = _told(heard, name, zero_s)
                watches.setdefault(name, Tally()).add(score(events, told, end_s=float(seconds)))
            changes_s = [t - zero_s for t, m in heard.events if m["after"]["kind"] == "boundary" and m["type"] == "new"]
            boundary.add(visible_boundaries(world), changes_s, start_s=5.0, end_s=float(seconds))
        done(first + len(batch))
    boundaries = {"f1": boundary.f1, "chance_f1": boundary.chance_f1, "median_delay_s": boundary.median_delay_s or 0.0}
    return Result(watches, boundary.delays_s, boundaries, len(seeds) * seconds / 3600)


async def _film(seeds: Sequence[int], seconds: int, model: str, out: Path) -> dict[int, tuple[float, Heard]]:
    """(wall time of the first picture, what was heard) of every seed, all filmed at the same time."""
    from ov2_client import AsyncClient

    from trainer.evaluate.alerts import SENTENCES
    from trainer.world import CameraProcess

    out.mkdir(parents=True, exist_ok=True)
    names = {seed: f"yard{seed}" for seed in seeds}
    heard = {name: Heard() for name in names.values()}
    watches = {name: {"sentence": sentence} for name, sentence in SENTENCES.items()}
    port = free_port()
    async with mosquitto(out, port), service(model, list(heard), watches, port, out) as addresses:
        listening = asyncio.create_task(_listen(port, heard))
        films = [CameraProcess(seed, addresses.rtsp[name], seconds=seconds, connect_s=30) for seed, name in names.items()]
        try:
            for film in films:
                film.start()
            async with AsyncClient(addresses.http) as client:
                zeros = await asyncio.gather(*(first_picture_s(client, name, FIRST_FRAME_S) for name in names.values()))
                await asyncio.gather(*(asyncio.to_thread(film.wait, seconds + FIRST_FRAME_S) for film in films))
            await asyncio.sleep(LAST_WORD_S)
        finally:
            for film in films:
                await asyncio.to_thread(film.stop)
            listening.cancel()
            failures = await asyncio.gather(listening, return_exceptions=True)
        if isinstance(failures[0], Exception):
            raise RunError(f"the MQTT client failed: {failures[0]}")
    return {seed: (zero, heard[name]) for (seed, name), zero in zip(names.items(), zeros, strict=True)}


async def _listen(port: int, heard: dict[str, Heard]) -> None:
    import aiomqtt

    async with aiomqtt.Client(HOST, port, identifier=f"eval-{time.time_ns()}") as client:
        await client.subscribe("ov2/events", qos=1)
        async for message in client.messages:
            now_s = time.time()
            assert isinstance(message.payload, bytes)
            told = json.loads(message.payload)
            heard[told["after"]["camera"]].events.append((now_s, told))


def _told(heard: Heard, watch: str, zero_s: float) -> list[Told]:
    """Events of one watch, in seconds of the world."""
    from trainer.evaluate.alerts import Told

    begun: dict[str, tuple[float, float]] = {}
    ended: dict[str, float] = {}
    for received_s, message in heard.events:
        event = message["after"]
        if event["watch"] != watch:
            continue
        if message["type"] == "new":
            begun[event["id"]] = (event["start_time"] - zero_s, received_s - zero_s)
        elif message["type"] == "end":
            ended[event["id"]] = event["end_time"] - zero_s
    return [Told(start_s, ended.get(ident), received_s) for ident, (start_s, received_s) in begun.items()]
