"""A flipped bit in what the service keeps: it starts, says so, and has lost one record at most.

In: a scene whose service has stopped, a number of bits. Out: cases in its ledger. Each bit is flipped in a fresh copy of the data, on which a
service is started whose cameras send nothing: what it holds then is held against what it holds of an untouched copy.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ov2_bench.attack.cases import flipped
from ov2_bench.attack.logtail import LogTail
from ov2_bench.attack.scene import Scene
from ov2_bench.attack.target import Target
from ov2_bench.errors import RunError

PAGE = 1000
ROWS_OF_A_PAGE = 64
"""Of the journal: rows that share one of its pages."""
RECORDS = 1
LEFT_ALONE = (".lock", "-shm")
"""Files that hold nothing: locks, and SQLite's shared memory, which is made anew."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What can be read: positions of the journal, watches, groups of the memories, packets of the recordings."""

    entries: frozenset[int]
    watches: frozenset[str]
    num_groups: int
    num_packets: int

    def lost(self, after: Holdings) -> list[str]:
        """What is missing beyond what one bit may cost."""
        lacks = {
            f"{len(self.entries - after.entries)} of {len(self.entries)} entries": len(self.entries - after.entries)
            > ROWS_OF_A_PAGE,
            f"the watches {sorted(self.watches - after.watches)}": len(self.watches - after.watches) > RECORDS,
            f"{self.num_groups - after.num_groups} of {self.num_groups} groups": self.num_groups - after.num_groups > RECORDS,
            f"{self.num_packets - after.num_packets} of {self.num_packets} packets": self.num_packets - after.num_packets
            > RECORDS,
        }
        return [words for words, is_too_much in lacks.items() if is_too_much]


async def strike(scene: Scene, count: int) -> None:
    whole, problem, _ = await _held(scene, None)
    await scene.judged(problem, "an untouched copy", is_silent=False)
    if whole is None:
        return
    for _ in range(count):
        after, problem, what = await _held(scene, scene.rng)
        if after is not None and not problem and (lost := whole.lost(after)):
            problem = f"lost {', '.join(lost)}"
        await scene.judged(problem, what, is_silent=False)


async def _held(scene: Scene, rng: random.Random | None) -> tuple[Holdings | None, str, str]:
    """What a service holds that was started on a copy; what is wrong with it; what was flipped."""
    folder = scene.folder / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    data = folder / "data"
    await asyncio.to_thread(shutil.copytree, scene.target.data, data)
    what = flip(data, rng) if rng is not None else ""
    target = Target(_silent(scene.target.config, data), folder, token=scene.target.token)
    try:
        await target.start()
    except RunError as error:
        await target.stop()
        return None, f"it did not start: {str(error)[-400:]}", what
    problem = ""
    try:
        entries, watches = await _entries(target), await target.get("/v1/watches")
        if entries is None or watches is None:
            problem = "the journal, or the watches, could not be read"
    finally:
        await target.stop()
    if tracebacks := LogTail(target.service.log).tracebacks():
        problem = problem or f"a traceback: {tracebacks[-1][-300:]}"
    if problem:
        return None, problem, what
    groups, packets = await asyncio.to_thread(_on_disk, data)
    assert entries is not None
    return Holdings(entries, frozenset(watch["name"] for watch in watches), groups, packets), problem, what


def flip(folder: Path, rng: random.Random) -> str:
    """One bit of one file, each kind of file as likely; says which."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file() and each.stat().st_size):
        if not path.name.endswith(LEFT_ALONE):
            kinds.setdefault(path.suffix or path.name, []).append(path)
    path = rng.choice(kinds[rng.choice(sorted(kinds))])
    before = path.read_bytes()
    after = flipped(before, rng)
    path.write_bytes(after)
    at = next(number for number, (old, new) in enumerate(zip(before, after, strict=True)) if old != new)
    return f"a bit of byte {at} of {len(before)} in {path.relative_to(folder)}"


def _silent(config: Any, data: Path) -> dict[str, Any]:
    """The same with cameras that wait for a publisher: what is kept does not grow meanwhile."""
    kept = ("record", "watches")
    cameras = {
        name: {"url": "whip", **{key: camera[key] for key in kept if key in camera}}
        for name, camera in config["cameras"].items()
    }
    return {**config, "data": str(data.resolve()), "cameras": cameras}


async def _entries(target: Target) -> frozenset[int] | None:
    """Positions of the whole journal; None where it cannot be read."""
    found, after = set[int](), 0
    while True:
        page = await target.get(f"/v1/events?limit={PAGE}&after={after}")
        if page is None:
            return None
        found |= {entry["position"] for entry in page["entries"]}
        if page["next"] is None:
            return frozenset(found)
        after = page["next"]


def _on_disk(data: Path) -> tuple[int, int]:
    """Groups and packets that can be read back, of all cameras."""
    from stream.memory import Memory
    from stream.packetlog import PacketLog
    from stream.packetlog.entries import Recorded

    num_groups = num_packets = 0
    for folder in sorted((data / "memory").glob("*/")):
        memory = Memory(folder)
        num_groups += len(memory.read(memory.rows()))
        memory.close()
    for folder in sorted((data / "recordings").glob("*/")):
        num_packets += sum(isinstance(entry, Recorded) for entry in PacketLog(folder).entries())
    return num_groups, num_packets
