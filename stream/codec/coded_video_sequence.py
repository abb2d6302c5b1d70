"""Packets from one IDR picture to the next (a coded video sequence, H.264 3.30), decoded as far as anybody asks.

In: packets in decode order, in which display order is the same. Out: `Pixels` of each. They are decoded in order, none twice, by a decoder
that has seen nothing else, so that the pixels depend on these packets alone. What nobody holds any more when the next sequence begins is
dropped with all behind it. Pictures that no other refers to are not passed over: where a picture is damaged, or lost, the decoder would
conceal it in another way.

A picture that cannot be decoded, or not without errors, is replaced by the newest of its sequence that could; a grey one where there is none.
So are all behind a packet that the decoder refuses.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import NamedTuple

import av

from stream.codec.picture import Picture
from stream.codec.picture_decoder import PictureDecoder, UndecodableError, grey
from stream.codec.pixels import Pixels
from stream.units import Packet


class _WaitingPicture(NamedTuple):
    packet: Packet
    pixels: weakref.ref[Pixels]


class CodedVideoSequence:
    """`add` its packets, the first of them an IDR picture; `close` when the next one begins."""

    def __init__(self, decoder: PictureDecoder, size_px: tuple[int, int]) -> None:
        self.size_px = size_px
        self._decoder = decoder
        self._context: av.VideoCodecContext | None = None
        self._waiting: deque[_WaitingPicture] = deque()
        self._next = 0  # index of _waiting[0]
        self._newest: Picture | None = None
        self._is_closed = self._is_broken = False

    def add(self, packet: Packet) -> Pixels:
        """The next packet."""
        pixels = Pixels(place=(self, self._next + len(self._waiting)))
        self._waiting.append(_WaitingPicture(packet, weakref.ref(pixels)))
        return pixels

    @property
    def num_waiting(self) -> int:
        """Packets that are not decoded yet, and may have to be."""
        return len(self._waiting)

    def debt_s(self) -> float:
        """What decoding them takes, by the running estimate."""
        if not self._waiting:
            return 0.0
        first_s = self._decoder.cost_s(self.size_px, is_key=True) if self._next == 0 else 0.0
        return first_s + (len(self._waiting) - (self._next == 0)) * self._decoder.cost_s(self.size_px, is_key=False)

    def decode_to(self, index: int) -> None:
        while self._waiting and self._next <= index:
            self.decode_next()

    def decode_next(self) -> None:
        """The oldest packet that waits."""
        waiting = self._waiting.popleft()
        index, self._next = self._next, self._next + 1
        self._decode(waiting.packet, index, waiting.pixels())
        if self._is_closed and not self._waiting:
            self._release()

    def close(self) -> None:
        """No more packets come."""
        self._is_closed = True
        self.trim()

    def trim(self) -> None:
        """Drop what nobody will ask for, of a sequence that is closed."""
        if not self._is_closed:
            return
        while self._waiting and self._waiting[-1].pixels() is None:
            self._waiting.pop()
        if not self._waiting:
            self._release()

    def _decode(self, packet: Packet, index: int, pixels: Pixels | None) -> None:
        if self._is_broken:
            self._decoder.skipped["after_damage"] += 1
        else:
            self._newest = self._decoded(packet, index) or self._newest
        if pixels is not None:
            self._decoder.hand_over(self._newest or grey(self.size_px), pixels)

    def _decoded(self, packet: Packet, index: int) -> Picture | None:
        if self._context is None:
            self._context = self._decoder.open()
        try:
            return self._decoder.decode(self._context, packet, index)
        except UndecodableError:
            self._context, self._is_broken = None, True
            return None

    def _release(self) -> None:
        self._newest = self._context = None
