"""RTP packets of one video stream put in order and together: encoded pictures.

aiortc's own jitter buffer waits for a lost packet until 512 others have come (many seconds of a slow stream), and for the next
picture before it gives one. This one takes its place (see tap.py): a picture goes on with its last packet, and a lost packet is waited
for only so long.

In: packets whose payload is taken apart already (RFC 6184 to Annex B), in the order of arrival. Out: `Encoded` pictures in order;
True where a keyframe should be asked for. Whoever reads gets no half pictures: they are counted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from stream.codec.h264.annexb import START_CODE, TYPE_MASK, NalType, is_later_slice

SEQUENCE_NUMBERS = 1 << 16
MAX_WAITING = 2048
"""Packets held behind a lost one."""
MAX_MISORDER = 3000
"""A sequence number further off than this is a sender that began anew (RFC 3550 A.1, MAX_DROPOUT)."""
MAX_ASKED = 64
"""Sequence numbers asked for again at a time."""
ASK_AGAIN_S = 0.1
"""aiortc asks for a lost packet once; the answer may be lost too."""
_SLICES = range(NalType.SLICE, NalType.IDR + 1)


class RtpPacket(Protocol):
    """What is read of aiortc's packets. `_data` is the payload as Annex B, or a piece of it."""

    sequence_number: int
    timestamp: int
    marker: int
    ssrc: int
    payload: bytes
    _data: bytes


@dataclass(frozen=True, slots=True)
class Encoded:
    """One whole picture as it came. `timestamp`: 32-bit RTP time. `after_loss`: something is missing right before it."""

    data: bytes
    timestamp: int
    ssrc: int
    after_loss: bool


@dataclass(slots=True)
class _Picture:
    timestamp: int
    whole: bool
    pieces: list[bytes] = field(default_factory=list)
    num_bytes: int = 0


class Assembly:
    """`add` for every packet of one stream; pictures go to `on_picture`, numbers of packets to be sent again to `ask_again`.

    `lost` counts `damaged` pictures; `num_late` packets that came twice or too late. `last_packet_s` is by `monotonic`. `on_large`: told of
    each picture of more than `max_bytes`, which is not kept."""

    def __init__(
        self,
        on_picture: Callable[[Encoded], None],
        *,
        patience_s: float,
        max_bytes: int,
        on_large: Callable[[], None] = lambda: None,
        ask_again: Callable[[int, list[int]], None] = lambda ssrc, numbers: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lost: Counter[str] = Counter()
        self.num_late = 0
        self.last_packet_s: float | None = None
        self.ssrc: int | None = None
        self._on_picture = on_picture
        self._patience_s = patience_s
        self._max_bytes, self._on_large = max_bytes, on_large
        self._ask_again = ask_again
        self._monotonic = monotonic
        self._trusts_marker = True
        self._finished: int | None = None
        self._dropped: int | None = None
        self._begin(0)

    def _begin(self, number: int) -> None:
        """Expect this number next, and nothing else of before."""
        self._next = number
        self._waiting: dict[int, RtpPacket] = {}
        self._picture: _Picture | None = None
        self._after_loss = True
        self._hole_since_s: float | None = None
        self._asked_s = 0.0

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """(whether to ask for a keyframe, nothing: pictures go their own way)."""
        self.last_packet_s = now_s = self._monotonic()
        restarted = self._follow(packet)
        ahead = (packet.sequence_number - self._next + SEQUENCE_NUMBERS // 2) % SEQUENCE_NUMBERS - SEQUENCE_NUMBERS // 2
        if ahead < 0:
            self.num_late += 1
            return restarted, None
        self._waiting[self._next + ahead] = packet
        self._drain()
        return self._mind_hole(now_s) or restarted, None

    def _follow(self, packet: RtpPacket) -> bool:
        """Begin anew with another source, or where the numbers jump; True when that broke a stream."""
        distance = abs((packet.sequence_number - self._next + SEQUENCE_NUMBERS // 2) % SEQUENCE_NUMBERS - SEQUENCE_NUMBERS // 2)
        if packet.ssrc == self.ssrc and distance <= MAX_MISORDER:
            return False
        is_first = self.ssrc is None
        self.ssrc = packet.ssrc
        self._begin(packet.sequence_number)
        return not is_first

    def _drain(self) -> None:
        while (packet := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            self._take(packet)
        if not self._waiting:
            self._hole_since_s = None
            self._next %= SEQUENCE_NUMBERS

    def _mind_hole(self, now_s: float) -> bool:
        """Ask for what is missing, or give it up; True when it was given up."""
        if not self._waiting:
            return False
        if self._hole_since_s is None:
            self._hole_since_s = self._asked_s = now_s
        if now_s - self._hole_since_s <= self._patience_s and len(self._waiting) <= MAX_WAITING:
            if now_s - self._asked_s >= ASK_AGAIN_S and self.ssrc is not None:
                self._asked_s = now_s
                missing = [number for number in range(self._next, max(self._waiting)) if number not in self._waiting]
                self._ask_again(self.ssrc, [number % SEQUENCE_NUMBERS for number in missing[:MAX_ASKED]])
            return False
        self._drop()
        self._after_loss = True
        self._next = min(self._waiting)
        self._hole_since_s = now_s
        self._drain()
        return True

    def _take(self, packet: RtpPacket) -> None:
        """The next packet in order. An empty one is padding."""
        if not packet.payload:
            return
        picture = self._picture
        if picture is not None and picture.timestamp != packet.timestamp:
            self._finish(picture)
            picture = None
        if picture is None:
            # a marker on every unit, not on every picture, shows when the same picture goes on
            self._trusts_marker = self._trusts_marker and packet.timestamp != self._finished
            picture = self._picture = _Picture(packet.timestamp, not self._after_loss or _begins_picture(packet._data))
        if picture.num_bytes <= self._max_bytes:
            self._add(picture, packet._data)
        if packet.marker and self._trusts_marker:
            self._finish(picture)

    def _add(self, picture: _Picture, piece: bytes) -> None:
        picture.pieces.append(piece)
        picture.num_bytes += len(piece)
        if picture.num_bytes > self._max_bytes:
            picture.pieces.clear()
            picture.whole = False
            self._on_large()

    def _finish(self, picture: _Picture) -> None:
        self._finished = picture.timestamp
        if not picture.whole:
            self._drop()
            return
        self._picture = None
        after_loss, self._after_loss = self._after_loss, False
        assert self.ssrc is not None
        self._on_picture(Encoded(b"".join(picture.pieces), picture.timestamp, self.ssrc, after_loss))

    def _drop(self) -> None:
        if self._picture is None:
            return
        # both ends of a picture may be here, and the middle lost
        self.lost["damaged"] += self._picture.timestamp != self._dropped
        self._dropped = self._picture.timestamp
        self._picture = None
        self._after_loss = True


def _begins_picture(data: bytes) -> bool:
    """Whether a packet may be a picture's first: it begins a unit, and that is no later slice."""
    nal = data[len(START_CODE) : len(START_CODE) + 8]
    return data.startswith(START_CODE) and bool(nal) and not (nal[0] & TYPE_MASK in _SLICES and is_later_slice(nal))
