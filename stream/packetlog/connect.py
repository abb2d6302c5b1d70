"""A recorded log in the place of a camera.

In: `replay:FOLDER`. Out: a `Connector` like that of any other way in, and the `AsRecorded` timekeeper that belongs to it.

A `Sample` carries times as a sender gave them, and the camera's `Timekeeper` repairs them. A recorded packet's times were repaired when it
was live: to repair them again would count a gap twice and could round a time to another bin, and groups would differ. So a replay's samples
carry the recorded packet itself, and `AsRecorded`, which takes the timekeeper's place, hands it on untouched.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl

from stream.errors import PacketLogError, SourceError
from stream.packetlog.entries import Recorded, Start
from stream.packetlog.log import PacketLog
from stream.packetlog.replay import LogEntry, Pace
from stream.packetlog.when import moment
from stream.sources.mediaclock import LONGEST_GAP_S
from stream.sources.sample import Sample
from stream.sources.timekeeper import Timekeeper
from stream.units import Packet

SCHEME = "replay:"
_STEP_S = 0.04
"""Least step of media time from one recording to the next."""
WallTimes = Literal["recorded", "now"]


class RecordedSample(Sample):
    """A sample that knows the packet it became. `begins`: it is the first of a recording."""

    packet: Packet
    begins: bool

    @classmethod
    def of(cls, packet: Packet, arrival_s: float, *, begins: bool) -> RecordedSample:
        sample = cls(
            data=packet.data,
            pts=packet.pts,
            dts=packet.dts,
            time_base=packet.time_base,
            arrival_s=arrival_s,
            reported_s=None,
            is_key=packet.is_key,
            codec=packet.codec,
            size_bytes=packet.size_bytes,
            width=packet.width,
            height=packet.height,
            breaks=packet.discontinuity,
        )
        sample.packet, sample.begins = packet, begins
        return sample


class AsRecorded(Timekeeper):
    """A timekeeper that leaves packets as they were recorded.

    The first recording of a camera's life goes through bit for bit. Where another begins (the recorder was restarted, or the replay is
    played again) media time would step back, which nothing behind expects: it then goes on from where it was, after as long a pause as wall
    time tells, and the packet is marked as a discontinuity. `wall`: times as recorded, or those of the replay (`now`).
    """

    def __init__(self, wall: WallTimes = "recorded") -> None:
        self._wall = wall
        self._shift_s = 0.0
        self._latest: Packet | None = None
        self._begins = False

    def reconnect(self, elapsed_s: float) -> None:
        """The next sample comes from a new connection."""
        self._begins = True

    def packet(self, sample: Sample) -> Packet:
        assert isinstance(sample, RecordedSample), f"expected a replay's sample, got {type(sample).__name__}"
        packet = sample.packet
        latest, self._latest = self._latest, packet
        if latest is not None and (sample.begins or self._begins):
            pause_s = min(max(packet.wall_s - latest.wall_s, _STEP_S), LONGEST_GAP_S)
            self._shift_s += latest.media_s + pause_s - packet.media_s
            packet = replace(packet, discontinuity=True)
        self._begins = False
        if self._shift_s:
            packet = replace(packet, pts_s=_ms(packet.pts_s + self._shift_s), media_s=_ms(packet.media_s + self._shift_s))
        return replace(packet, wall_s=sample.arrival_s) if self._wall == "now" else packet


class ReplayConnection:
    """One replay, from its start to its end. `skipped` tells what the log had lost: `log_damaged` stretches, `log_missing` packets."""

    def __init__(
        self,
        log: PacketLog,
        entries: Generator[LogEntry],
        speed: float,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._log = log
        self._entries = entries
        self._pace = Pace(speed, monotonic)
        self._clock = clock
        self._monotonic = monotonic
        self._closed = threading.Event()
        self._reading = threading.Lock()
        self._next: tuple[Recorded, float] | None = None
        self._begins = False

    @property
    def skipped(self) -> Counter[str]:
        return +Counter({"log_damaged": self._log.num_damaged, "log_missing": self._log.num_missing})

    def get(self, timeout_s: float | None) -> Sample | None:
        if self._closed.is_set():
            return None
        coming = self._next = self._next or self._read()
        if coming is None:
            return None
        entry, due_s = coming
        wait_s = due_s - self._monotonic()
        if wait_s > 0:
            is_late = timeout_s is not None and wait_s > timeout_s
            if self._closed.wait(timeout_s if is_late else wait_s):
                return None
            if is_late:
                raise TimeoutError(f"no packet within {timeout_s} s")
        self._next = None
        begins, self._begins = self._begins, False
        return RecordedSample.of(entry.packet, self._clock(), begins=begins)

    def close(self) -> None:
        self._closed.set()
        with self._reading:
            self._entries.close()

    def _read(self) -> tuple[Recorded, float] | None:
        """The next packet, and when it is due."""
        try:
            with self._reading:
                for entry in self._entries:
                    due_s = self._pace.due_s(entry)
                    if isinstance(entry, Recorded):
                        return entry, due_s
                    self._begins = self._begins or isinstance(entry, Start)
        except (OSError, PacketLogError) as error:
            raise SourceError(f"{SCHEME}{self._log.folder}: {error}") from None
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayAddress:
    """What `replay:FOLDER?speed=1&wall=recorded&start=...&end=...` names; all but the folder may be left out."""

    folder: Path
    speed: float = 1.0
    wall: WallTimes = "recorded"
    start: str | None = None
    end: str | None = None


def parse_replay(url: str) -> ReplayAddress:
    """Raises `SourceError` for a setting that is unknown or out of range."""
    path, _, query = url.removeprefix(SCHEME).partition("?")
    said = dict(parse_qsl(query, keep_blank_values=True))
    for key in said:
        if key not in ("speed", "wall", "start", "end"):
            raise SourceError(f"{SCHEME}{path}: expected speed, wall, start or end after the ?, got {key}")
    if not path:
        raise SourceError(f"{SCHEME}: expected the folder of a packet log, as in replay:/var/lib/ov2/front")
    wall = said.get("wall", "recorded")
    if wall not in ("recorded", "now"):
        raise SourceError(f"{SCHEME}{path}: wall: expected recorded or now, got {wall}")
    return ReplayAddress(
        folder=Path(path),
        speed=_speed(path, said.get("speed", "1")),
        wall="now" if wall == "now" else "recorded",
        start=said.get("start"),
        end=said.get("end"),
    )


class ReplayConnector:
    """Plays a log from its start at every `connect`."""

    waits = False
    ends = True

    def __init__(
        self,
        address: ReplayAddress,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._clock = clock
        self._monotonic = monotonic
        self._connection: ReplayConnection | None = None
        self._closed = False
        self._lock = threading.Lock()

    def connect(self) -> ReplayConnection:
        connection = self._opened()
        with self._lock:
            if self._closed:
                connection.close()
                raise SourceError(f"{SCHEME}{self._address.folder}: closed")
            self._connection = connection
        return connection

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()

    def _opened(self) -> ReplayConnection:
        address = self._address
        try:
            log = PacketLog(address.folder)
            covers = log.range()
            start_s, end_s = (None if text is None else moment(text, covers) for text in (address.start, address.end))
        except (OSError, PacketLogError) as error:
            raise SourceError(f"{SCHEME}{address.folder}: {error}") from None
        if covers is None:
            raise SourceError(f"{SCHEME}{address.folder}: expected a packet log with packets, found none")
        return ReplayConnection(log, log.entries(start_s, end_s), address.speed, self._clock, self._monotonic)


def _speed(path: str, text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 <= speed < float("inf"):
        raise SourceError(f"{SCHEME}{path}: speed: expected a number from zero (as fast as taken), got {text}")
    return speed


def _ms(seconds: float) -> float:
    """Media times are whole milliseconds."""
    return round(seconds * 1000) / 1000
