"""Packets to record, and folders to record them into. No test in here."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from hypothesis import strategies as st

from stream.packetlog import PacketLog, PacketLogSettings, PacketLogWriter, Start
from stream.packetlog.rolling import RollingFiles
from stream.units import Packet

FPS = 10
GOP = 10
WALL_S = 1_700_000_000.0
VICTIM = Path(__file__).parent / "packetlog_victim.py"
SMALL = PacketLogSettings(max_bytes=1 << 20, segment_bytes=1 << 16)


def packet(number: int, *, size: int = 400, seed: int = 0, wall_s: float | None = None) -> Packet:
    """A camera's packet: always the same for the same number and seed. Its data is no picture."""
    return Packet(
        data=b"\x00\x00\x00\x01\x41" + random.Random(f"{seed}/{number}").randbytes(size),
        pts=9000 * number,
        dts=None if number % 3 else 9000 * number - 1,
        time_base=Fraction(1, 90_000),
        pts_s=number / FPS,
        media_s=number / FPS,
        wall_s=WALL_S + number / FPS if wall_s is None else wall_s,
        is_key=number % GOP == 0,
        codec="h264",
        size_bytes=size,
        width=640,
        height=360,
    )


def packets(count: int, *, first: int = 0, size: int = 400, seed: int = 0) -> list[Packet]:
    return [packet(number, size=size, seed=seed) for number in range(first, first + count)]


def unmarked(several: Iterable[Packet]) -> list[Packet]:
    """Without the marks of discontinuities."""
    return [replace(each, discontinuity=False) for each in several]


def read(folder: Path) -> list[Packet]:
    return list(PacketLog(folder).packets())


def write(folder: Path, sent: list[Packet], settings: PacketLogSettings | None = None) -> PacketLogWriter:
    with PacketLogWriter(folder, settings) as writer:
        for each in sent:
            writer.wait_for_room(each)
            writer.put(each)
    return writer


class Clock:
    """Virtual time that goes on when told."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def files(folder: Path, settings: PacketLogSettings = SMALL, clock: Clock | None = None) -> RollingFiles:
    start = Start(camera="front", session="s", version="", began_s=0.0)
    return RollingFiles(folder, settings, start, clock=clock or Clock())


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


_ticks = st.integers(-(2**63), 2**63 - 1)
_seconds = st.floats(allow_nan=False)
_counts = st.integers(0, 2**32 - 1)
any_packet = st.builds(
    Packet,
    data=st.binary(max_size=200),
    pts=_ticks,
    dts=st.none() | _ticks,
    time_base=st.builds(Fraction, st.integers(1, 2**31 - 1), st.integers(1, 2**31 - 1)),
    pts_s=_seconds,
    media_s=_seconds,
    wall_s=_seconds,
    is_key=st.booleans(),
    codec=st.text(max_size=20),
    size_bytes=_counts,
    width=_counts,
    height=_counts,
    discontinuity=st.booleans(),
)
