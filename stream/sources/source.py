"""One connection to a file or a camera, as an iterator of `Packet`s.

In: a URL. Out: `Packet`s in decode order, until the end or a `SourceError`. Blocking: a live source belongs in its own
thread (see pump.py). Credentials never appear in an error.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType

import av

from stream.errors import CodecError, SourceError
from stream.sources.address import Address, parse_address
from stream.sources.assemble import Assembler
from stream.sources.mediaclock import MediaClock
from stream.sources.opening import is_timeout, open_container
from stream.sources.untimed import TimeFinder
from stream.units import Packet

log = logging.getLogger(__name__)

MAX_ERRORS_IN_A_ROW = 16
"""Read errors in a row after which the rest of a file is given up."""
READ_AHEAD = 8
"""Packets of a file that are read before the first of them is given: what runs in turn with decoding runs from cold caches."""


class Source:
    """An opened source: `with open_source(url) as packets: for packet in packets: ...`

    `skipped` counts, by reason, what was read but holds no whole picture; `truncated` is True when a file ended before its
    index said so. Iterating raises `SourceError` when a live source stalls or breaks; it belongs to one thread.
    """

    def __init__(
        self,
        address: Address,
        container: av.container.InputContainer,
        assembler: Assembler,
        *,
        timeout_s: float,
        pace: Callable[[float], None] | None,
    ) -> None:
        self.address = address
        self.truncated = False
        self._container = container
        self._assembler = assembler
        self._timeout_s = timeout_s
        self._pace = pace

    @property
    def skipped(self) -> Counter[str]:
        return self._assembler.skipped

    @property
    def codec(self) -> str:
        return self._assembler.codec

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the file or connection go. Called by the thread that iterates."""
        self._container.close()

    def __iter__(self) -> Iterator[Packet]:
        ahead: list[Packet] = []
        enough = 1 if self.address.is_live or self._pace is not None else READ_AHEAD
        for demuxed in self._timed() if self.address.is_live else self._demuxed():
            ahead += self._assembler.push(demuxed)
            if len(ahead) >= enough:
                yield from self._due(ahead)
                ahead = []
        yield from self._due(ahead + self._assembler.flush())

    def _due(self, packets: list[Packet]) -> Iterator[Packet]:
        """Packets, each when it is time for it."""
        for packet in packets:
            if self._pace is not None:
                self._pace(packet.media_s)
            yield packet

    def _timed(self) -> Iterator[av.Packet[av.VideoStream]]:
        finder = TimeFinder()
        for packet in self._demuxed():
            yield from finder.push(packet)
        yield from finder.flush()

    def _demuxed(self) -> Iterator[av.Packet[av.VideoStream]]:
        """Whole packets as FFmpeg reads them; a damaged stretch of a file is stepped over."""
        stream = self._container.streams.video[0]
        reading = self._container.demux(stream)
        num_read = in_a_row = 0
        while in_a_row < MAX_ERRORS_IN_A_ROW:
            failed: av.FFmpegError | None = None
            try:
                packet = next(reading, None)
            except av.EOFError:
                packet = None
            except av.FFmpegError as error:
                failed = error
            if failed is not None:
                if self.address.is_live:
                    raise SourceError(f"{self.address.shown}: {self._why(failed)}")
                self.skipped["damaged"] += 1
                in_a_row += 1
                reading = self._container.demux(stream)
                continue
            if packet is None or not packet.size:
                break
            in_a_row = 0
            num_read += 1
            if packet.is_corrupt:
                self.skipped["damaged"] += 1
                continue
            yield packet
        self._check_whole(num_read, stream.frames)

    def _check_whole(self, num_read: int, num_indexed: int) -> None:
        """A file that ends early is still used for what it holds."""
        if not self.address.is_live and (num_read < num_indexed or self.skipped["damaged"]):
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
            return f"no packet within {self._timeout_s:g} s (timeout_s)"
        return f"the connection broke ({error.strerror})"


def open_source(
    url: str,
    *,
    listen: bool = False,
    paced: bool = False,
    timeout_s: float = 10.0,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    media_clock: MediaClock | None = None,
) -> Source:
    """Open a file, pull from `rtsp://`, or wait for a publisher at `listen:rtsp://HOST:PORT/PATH` (or `listen=True`).

    - `paced`: give a file's packets at the speed they were recorded, else as fast as they are taken.
    - `timeout_s`: longest wait for a connection, a publisher, or the next packet of a live source.
    - `clock`: UTC epoch seconds. A live packet's `wall_s` is when it came; a file's, when it would come if the file had been
      started now and played at its own speed.
    - `media_clock`: the camera's, when this is not its first connection.

    Raises `SourceError` (unreachable, refused, wrong password, no such path, not a video, no video track) and `CodecError` (a
    codec without evidence).
    """
    address = parse_address(url, listen=listen)
    container = open_container(address, timeout_s)
    if address.is_live:

        def wall_s(media_s: float) -> float:
            return clock()

    else:
        started_s = clock()

        def wall_s(media_s: float) -> float:
            return started_s + media_s

    try:
        assembler = Assembler(container.streams.video[0], media_clock or MediaClock(), wall_s)
    except CodecError as error:
        container.close()
        raise CodecError(f"{address.shown}: {error}") from None
    if assembler.codec != "h264":
        log.warning(
            "%s: %s tells no motion vectors; evidence is the plain difference of pictures", address.shown, assembler.codec
        )
    pace = _pacer(monotonic, sleep) if paced and not address.is_live else None
    return Source(address, container, assembler, timeout_s=timeout_s, pace=pace)


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
