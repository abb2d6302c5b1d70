"""One connection to a file or a camera, as an iterator of `Packet`s.

In: a URL. Out: `Packet`s in decode order, until the end or a `SourceError`. Blocking: a live source belongs in its own
thread (see supervisor.py). Credentials never appear in an error.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Literal

import av

from stream.errors import CodecError, SourceError, TooLargeError
from stream.sources.address import Address, parse_address
from stream.sources.assemble import Assembler
from stream.sources.loop import Loop
from stream.sources.mediaclock import MediaClock
from stream.sources.opening import Opened, is_timeout, open_container, out_of_memory
from stream.sources.options import OpenOptions
from stream.sources.policy import SourcePolicy
from stream.sources.sample import Sample
from stream.sources.timekeeper import Timekeeper
from stream.sources.untimed import TimeFinder
from stream.sources.wallclock import Live, Recorded
from stream.units import Packet

log = logging.getLogger(__name__)

MAX_ERRORS_IN_A_ROW = 16
"""Read errors in a row after which the rest of a file is given up."""
READ_AHEAD = 8
"""Packets of a file that are read before the first of them is given: what runs in turn with decoding runs from cold caches."""


_WITHOUT_TIMES = frozenset({"mpjpeg", "mjpeg", "h264", "hevc", "obu"})
"""Formats that hold pictures alone; from a live source, when they came is all that tells their time."""


class Source:
    """An opened source: `with open_source(url) as packets: for packet in packets: ...`

    `skipped` counts, by reason, what was read but holds no whole picture; `truncated` is True when a file ended before its
    index said so. Iterating raises `SourceError` when a live source stalls or breaks; it belongs to one thread.
    """

    def __init__(
        self,
        address: Address,
        options: OpenOptions,
        open_: Callable[[], Opened],
        timekeeper: Timekeeper,
        *,
        clock: Callable[[], float],
        pace: Callable[[float], None] | None,
    ) -> None:
        self.address = address
        self.truncated = False
        self._options = options
        self._open = open_
        self._clock = clock
        self._timekeeper = timekeeper
        self._pace = pace
        self._loop = Loop() if options.loop and not address.is_live else None
        self._opened = open_()
        self._assembler = self._assemble(Counter())

    @property
    def skipped(self) -> Counter[str]:
        return self._assembler.skipped

    @property
    def codec(self) -> str:
        return self._assembler.codec

    @property
    def num_in_band_sets(self) -> int | None:
        """Sequence parameter sets that came inside packets so far; None for a codec that is not parsed."""
        return self._assembler.num_in_band_sets

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the file or connection go. Called by the thread that iterates."""
        self._opened.close()

    def __iter__(self) -> Iterator[Packet]:
        packet_of = self._timekeeper.packet
        for samples in self._batches():
            for packet in [packet_of(sample) for sample in samples]:
                if self._pace is not None:
                    self._pace(packet.media_s)
                yield packet

    def samples(self) -> Iterator[Sample]:
        """The same with the times as they came, for an owner who keeps the time over several connections."""
        for samples in self._batches():
            for sample in samples:
                if self._pace is not None:
                    self._pace(self._timekeeper.packet(sample).media_s)
                yield sample

    def _assemble(self, skipped: Counter[str]) -> Assembler:
        by_arrival = self.address.is_live and self._opened.container.format.name in _WITHOUT_TIMES
        try:
            stream, is_live = self._opened.container.streams.video[0], self.address.is_live
            limits = self._options.limits
            return Assembler(stream, self._clock, by_arrival=by_arrival, is_live=is_live, skipped=skipped, limits=limits)
        except CodecError as error:
            self._opened.close()
            raise CodecError(f"{self.address.shown}: {error}") from None

    def _batches(self) -> Iterator[list[Sample]]:
        """Of the file, or of one reading of it after another; a reading that gave nothing is the last."""
        if self._loop is None:
            yield from self._reading()
            return
        while True:
            for samples in self._reading():
                yield [self._loop.sample(sample) for sample in samples]
            if not self._loop.num_samples:
                break
            self._loop.again()
            self._opened.close()
            self._opened = self._open()
            self._assembler = self._assemble(self.skipped)

    def _reading(self) -> Iterator[list[Sample]]:
        ahead: list[Sample] = []
        enough = 1 if self.address.is_live or self._pace is not None else READ_AHEAD
        for demuxed in self._timed() if self.address.is_live else self._demuxed():
            try:
                ahead += self._assembler.push(demuxed)
            except TooLargeError as error:
                raise error.at(self.address.shown) from None
            if len(ahead) >= enough:
                yield ahead
                ahead = []
        yield ahead + self._assembler.flush()

    def _timed(self) -> Iterator[av.Packet[av.VideoStream]]:
        finder = TimeFinder()
        for packet in self._demuxed():
            yield from finder.push(packet)
        yield from finder.flush()

    def _demuxed(self) -> Iterator[av.Packet[av.VideoStream]]:
        """Whole packets as FFmpeg reads them; a damaged stretch of a file is stepped over."""
        stream = self._opened.container.streams.video[0]
        reading = self._opened.container.demux(stream)
        num_read = in_a_row = 0
        while in_a_row < MAX_ERRORS_IN_A_ROW:
            failed: av.FFmpegError | None = None
            try:
                packet = next(reading, None)
            except av.EOFError:
                packet = None
            except av.FFmpegError as error:
                failed = error
            if isinstance(failed, MemoryError):
                raise out_of_memory(self.address, self._options, failed)
            if failed is not None:
                if self.address.is_live:
                    raise SourceError(f"{self.address.shown}: {self._why(failed)}")
                self.skipped["damaged"] += 1
                in_a_row += 1
                reading = self._opened.container.demux(stream)
                continue
            if packet is None or not packet.size:
                break
            in_a_row = 0
            num_read += 1
            self._opened.picture_came()
            if packet.is_corrupt:
                self.skipped["damaged"] += 1
                continue
            yield packet
        self._check_whole(num_read, stream.frames)

    def _check_whole(self, num_read: int, num_indexed: int) -> None:
        """A file that ends early is still used for what it holds."""
        if not (self.address.is_live or self.truncated) and (num_read < num_indexed or self.skipped["damaged"]):
            self.truncated = True
            log.warning(
                "%s: damaged or cut off: %d packets read of %s, %d of them damaged",
                self.address.shown,
                num_read,
                num_indexed or "an unknown number",
                self.skipped["damaged"],
            )

    def _why(self, error: av.FFmpegError) -> str:
        if is_timeout(error):
            return f"no packet within {self._options.longest_wait_s or self._options.timeout_s:g} s (stale_s)"
        return f"the connection broke ({error.strerror})"


def open_source(
    url: str,
    *,
    options: OpenOptions | None = None,
    listen: bool = False,
    paced: bool | None = None,
    timeout_s: float | None = None,
    stale_s: float | Literal["timeout_s"] | None = "timeout_s",
    policy: SourcePolicy | None = None,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    media_clock: MediaClock | None = None,
) -> Source:
    """Open a file, pull from `rtsp://`, wait for a publisher at `listen:rtsp://HOST:PORT/PATH` (or `listen=True`), or read HTTP, HLS or
    MPEG-TS (docs/inputs.md).

    - `options`: how; `paced`, `timeout_s` and `stale_s` are its own, for short.
    - `policy`: what may be opened; everything unless told.
    - `clock`: UTC epoch seconds. A live packet's `wall_s` is when it came; a file's, when it would come if the file had been
      started now and played at its own speed.
    - `media_clock`: the camera's, when this is not its first connection.

    Raises `SourceError` (not allowed, unreachable, refused, wrong password, no such path, not a video, no video track) and `CodecError`
    (a codec without evidence).
    """
    options = options or OpenOptions()
    if paced is not None:
        options = replace(options, paced=paced)
    if timeout_s is not None:
        options = replace(options, timeout_s=timeout_s)
    if stale_s != "timeout_s":
        options = replace(options, stale_s=stale_s)
    policy = policy or SourcePolicy()
    address = policy.check(parse_address(url, listen=listen))
    return Source(
        address,
        options,
        lambda: open_container(address, options, policy),
        Timekeeper(Live() if address.is_live else Recorded(clock()), media_clock),
        clock=clock,
        pace=_pacer(monotonic, sleep) if options.paced and not address.is_live else None,
    )


def _pacer(monotonic: Callable[[], float], sleep: Callable[[float], object]) -> Callable[[float], None]:
    """Sleeps until a packet of the given media time is due, counted from the first one."""
    offset_s: float | None = None

    def pace(media_s: float) -> None:
        nonlocal offset_s
        now_s = monotonic()
        if offset_s is None:
            offset_s = now_s - media_s
        if media_s + offset_s > now_s:
            sleep(media_s + offset_s - now_s)

    return pace
