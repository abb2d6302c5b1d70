"""`ov2 bench soak`: an hour of one camera, at full speed.

In: a world seed. Out: growth of resident memory between minute 10 and the end, and of the time per group between the second ten minutes and
the last ten. Ten minutes are filmed once and their packets played in a loop on one running clock, so that the content is the same at
the beginning and the end; the session drops and renews as it goes, and answers a question every simulated minute.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ov2_bench.machine import resident_bytes

if TYPE_CHECKING:
    from stream.units import Packet

LOOP_S = 600.0
FPS = 10


def bench_soak(minutes: int, seed: int, model: str) -> dict[str, float | int | str]:
    """Run the soak, and compare its ends."""
    from ov2.model import OV2Model
    from ov2.session import Session
    from stream.tokenizer.settings import settings_from
    from stream.tokenizer.tokenizer import Tokenizer

    loaded = OV2Model.from_pretrained(model)
    tokenizer = Tokenizer(settings_from(loaded.stream_settings.get("tokenizer", {})))
    session = Session(loaded)
    group_s: list[list[float]] = [[] for _ in range(minutes + 1)]
    resident: list[int] = []
    first_piece_s: list[float] = []
    with tempfile.TemporaryDirectory(prefix="ov2-soak-") as folder:
        path = _film(Path(folder), seed)
        began = time.perf_counter()
        for packet in _loop(path, minutes * 60.0):
            for group in tokenizer.push(packet):
                session.append(group)
                now = time.perf_counter()
                group_s[int(group.end_s // 60)].append(now - began)
                began = now
            if packet.pts_s >= 60.0 * (len(resident) + 1):
                resident.append(resident_bytes())
                asked = time.perf_counter()
                next(iter(session.ask("What happened last?", peek=tokenizer.peek(), max_tokens=8)), None)
                first_piece_s.append(time.perf_counter() - asked)
                began += time.perf_counter() - asked
        resident.append(resident_bytes())
    second_ten = [s for minute in group_s[10:20] for s in minute]
    last_ten = [s for minute in group_s[minutes - 10 :] for s in minute]
    return {
        "memory_growth": resident[-1] / resident[9] - 1,
        "time_growth": statistics.fmean(last_ten) / statistics.fmean(second_ten),
        "first_token_growth": statistics.median(first_piece_s[-10:]) / statistics.median(first_piece_s[10:20]),
        "resident_mib_minute_10": resident[9] / 2**20,
        "resident_mib_end": resident[-1] / 2**20,
        "ms_per_group_second_ten": 1e3 * statistics.fmean(second_ten),
        "ms_per_group_last_ten": 1e3 * statistics.fmean(last_ten),
        "groups": sum(len(minute) for minute in group_s),
        "minutes": minutes,
    }


def _film(folder: Path, seed: int) -> Path:
    from trainer.world import World, write_file

    path = folder / "soak.mp4"
    write_file(World(seed, duration_s=LOOP_S), path, fps=FPS)
    return path


def _loop(path: Path, until_s: float) -> Iterator[Packet]:
    """The file's packets again and again, on one running clock."""
    from stream.sources import open_source

    offset_s = 0.0
    while offset_s < until_s:
        with open_source(str(path)) as packets:
            for packet in packets:
                if offset_s + packet.pts_s >= until_s:
                    return
                ticks = round(offset_s / packet.time_base)
                yield replace(packet, pts=packet.pts + ticks, pts_s=packet.pts_s + offset_s, media_s=packet.media_s + offset_s)
        offset_s += LOOP_S
