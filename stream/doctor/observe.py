"""Watching a source: everything it sends for a while, with the times as they came.

In: a URL and how long. Out: `Observation`. Nothing is decoded meanwhile, so that arrival times are the camera's and not ours. Memory is
bounded: the watch ends early when the packets that it keeps reach `MOST_BYTES`, and says so.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from stream.errors import SourceError
from stream.sources import Source, open_source
from stream.sources.sample import Sample
from stream.sources.timekeeper import Timekeeper
from stream.sources.wallclock import Live, Recorded
from stream.units import Packet

MOST_BYTES = 128 << 20
"""Packets kept: 15 s of a camera at 70 Mbit/s."""
WATCH_LIVE_S, WATCH_FILE_S = 15.0, 60.0
"""How long a camera is watched, and how much of a file is read, where nothing else is asked for."""
Ended = Literal["watched", "end", "bytes", "broke"]
Tell = Callable[[str, float], None]
"""(what is being done, share of it that is done)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What came in decode order: `samples` as sent and the same as `packets`, with repaired times.

    - `kind`, `is_live`: as the source's address says. `codec`: FFmpeg's name.
    - `opened_s`: seconds until the source was open; `first_picture_s`: until a picture that decoding can start at had come.
    - `ended`: because the time was up, the stream was, `MOST_BYTES` were reached, or the connection broke (`why`).
    - `skipped`: what came and was no whole picture, by reason. `in_band_sets`: parameter sets inside packets, None where unknown.
    - `read_cpu_s`: processor time that reading took.
    """

    url: str
    shown: str
    kind: str
    is_live: bool
    codec: str
    opened_s: float
    first_picture_s: float | None
    samples: tuple[Sample, ...]
    packets: tuple[Packet, ...]
    ended: Ended
    why: str
    skipped: Counter[str]
    in_band_sets: int | None
    read_cpu_s: float

    @property
    def span_s(self) -> float:
        """Media seconds from the first picture to the end of the last."""
        return span_s([packet.pts_s for packet in self.packets])


def span_s(times_s: list[float]) -> float:
    """Seconds that pictures at these times fill, the last one as long as the mean; 0 for less than two."""
    if len(times_s) < 2:
        return 0.0
    length = max(times_s) - min(times_s)
    return length * len(times_s) / (len(times_s) - 1)


def observe(
    url: str,
    *,
    seconds: float | None = None,
    timeout_s: float = 10.0,
    tell: Tell = lambda what, share: None,
    clock: Callable[[], float] = time.time,
) -> Observation:
    """Open a source and watch it: a camera for `seconds` of our clock, a file for as many of its own.

    Raises `SourceError` and `CodecError` when it cannot be opened. A connection that breaks later ends the watch.
    """
    tell("connecting", 0.0)
    began_s = clock()
    with open_source(url, timeout_s=timeout_s, clock=clock) as source:
        opened_s = clock() - began_s
        watch = _Watch(source, seconds, clock, tell)
        watch.run()
        first_s = next((sample.arrival_s for sample in watch.samples if sample.is_key), None)
        return Observation(
            url=url,
            shown=source.address.shown,
            kind=source.address.kind,
            is_live=source.address.is_live,
            codec=source.codec,
            opened_s=opened_s,
            first_picture_s=first_s - began_s if first_s is not None and source.address.is_live else None,
            samples=tuple(watch.samples),
            packets=tuple(watch.packets),
            ended=watch.ended,
            why=watch.why,
            skipped=Counter(source.skipped),
            in_band_sets=source.num_in_band_sets,
            read_cpu_s=watch.read_cpu_s,
        )


class _Watch:
    """One watch, while it runs."""

    def __init__(self, source: Source, seconds: float | None, clock: Callable[[], float], tell: Tell) -> None:
        self.samples: list[Sample] = []
        self.packets: list[Packet] = []
        self.ended: Ended = "end"
        self.why = ""
        self.read_cpu_s = self._told_cpu_s = 0.0
        self._source = source
        self._tell = tell
        self._clock = clock
        self._is_live = source.address.is_live
        self._seconds = seconds or (WATCH_LIVE_S if self._is_live else WATCH_FILE_S)
        self._timekeeper = Timekeeper(Live() if self._is_live else Recorded(clock()))
        self._num_bytes = 0

    def run(self) -> None:
        """Until the time is up, or the stream is."""
        began_cpu_s, began_s = time.thread_time(), self._clock()
        try:
            for sample in self._source.samples():
                if self._take(sample, began_s):
                    break
        except SourceError as error:
            self.ended, self.why = "broke", str(error)
        self.read_cpu_s = time.thread_time() - began_cpu_s - self._told_cpu_s

    def _take(self, sample: Sample, began_s: float) -> bool:
        """Keep a sample; True when it was the last one wanted."""
        packet = self._timekeeper.packet(sample)
        self.samples.append(sample)
        self.packets.append(packet)
        self._num_bytes += len(sample.data)
        passed_s = sample.arrival_s - began_s if self._is_live else packet.media_s
        began_cpu_s = time.thread_time()
        self._tell("watching" if self._is_live else "reading", min(1.0, passed_s / self._seconds))
        self._told_cpu_s += time.thread_time() - began_cpu_s
        if self._num_bytes >= MOST_BYTES:
            self.ended, self.why = "bytes", f"{MOST_BYTES >> 20} MiB were enough after {passed_s:.1f} s"
        elif passed_s >= self._seconds:
            self.ended = "watched"
        return self.ended != "end"
