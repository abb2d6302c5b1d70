"""What the cameras of a run film, over and over.

In: a file of H.264. Out: `LoopedFilm`: the file itself for publishers, and its access units with an index for the RTSP server, which has
no demuxer of ours.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopedFilm:
    """A film of `seconds`. `index`: JSON with the name of the file of Annex B access units, microseconds of a loop, and
    [offset, bytes, presentation time, decoding time, is key] of each unit, times in microseconds."""

    path: Path
    index: Path
    width: int
    height: int
    fps: float
    seconds: float
    bytes_per_s: float


def looped_film(path: Path) -> LoopedFilm:
    """Read a film's access units once; the two files beside `path` are written anew."""
    import av
    from av.bitstream import BitStreamFilterContext

    units: list[list[int]] = []
    data = bytearray()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        annexb = BitStreamFilterContext("h264_mp4toannexb", stream)
        rate = Fraction(stream.average_rate or 10)
        for demuxed in container.demux(stream):
            for packet in annexb.filter(demuxed if demuxed.size else None):
                pts_us, dts_us = (round((ticks or 0) * packet.time_base * MICROSECONDS) for ticks in (packet.pts, packet.dts))
                units.append([len(data), packet.size, pts_us, dts_us, int(packet.is_keyframe)])
                data += bytes(packet)
        width, height = stream.width, stream.height
    seconds = float(len(units) / rate)
    blob, index = path.with_suffix(".units.h264"), path.with_suffix(".units.json")
    blob.write_bytes(data)
    index.write_text(json.dumps({"file": blob.name, "loop_us": round(seconds * MICROSECONDS), "units": units}))
    return LoopedFilm(path=path, index=index, width=width, height=height, fps=float(rate), seconds=seconds,
                      bytes_per_s=len(data) / seconds)  # fmt: skip


def world_film(
    folder: Path, *, width: int, height: int, fps: int, seconds: float = 12.0, seed: int = 900_042, duty: int | None = None
) -> LoopedFilm:
    """A stretch of a generated world, made once per folder. `duty`: percent of the time in which something happens; None: a busy yard."""
    from ov2_bench.films import Encoding, Films

    films = Films(folder=folder, seconds=seconds, width=width, height=height)
    return looped_film(films.path(seed, Encoding(name="crf", fps=fps, duty=duty / 100 if duty is not None else None)))
