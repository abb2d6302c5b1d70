"""What the coded video sequences of one camera are decoded with, and what that has cost so far.

In: packets of a sequence, in order. Out: pictures; the time that one takes, by a running estimate; how many were decoded. Few decoded
pictures are kept at full size: as more come, the oldest that somebody still holds go down to canvas size.
"""

from __future__ import annotations

import time
import weakref
from collections import Counter, deque
from collections.abc import Callable

import av
import numpy as np

from stream.codec.codec import Codec
from stream.codec.decode import open_decoder
from stream.codec.picture import Picture
from stream.codec.pixels import Pixels
from stream.units import Packet

FIRST_NS_PER_PX, FIRST_KEY_NS_PER_PX = 1.5, 10.0
"""What decoding is taken to cost before anything was decoded."""
LEARNT = 0.1
"""Share of the newest picture in the running mean of what one costs."""
GREY = 128


class UndecodableError(Exception):
    """A packet that FFmpeg's decoder does not take, or makes no picture of."""


class PictureDecoder:
    """Of one codec. `held_frames` and `canvas_wh`: how many pictures stay at full size, and what the others go down to; unbounded
    before that is known. `skipped` counts, by reason: `damaged_packet` (refused), `damaged_frame` (decoded with errors), `after_damage`
    (behind a refused one)."""

    def __init__(self, codec: Codec, *, max_picture_px: int, monotonic: Callable[[], float] = time.perf_counter) -> None:
        self.skipped: Counter[str] = Counter()
        self.num_decoded = 0
        self.held_frames: int | None = None
        self.canvas_wh: tuple[int, int] | None = None
        self._codec = codec
        self._max_picture_px = max_picture_px
        self._monotonic = monotonic
        self._cost_s: dict[bool, float] = {}
        self._full_size: deque[weakref.ref[Pixels]] = deque()

    def open(self) -> av.VideoCodecContext:
        """A decoder for one sequence. Not one that has seen another: after `flush_buffers` it conceals damage in another way."""
        return open_decoder(self._codec, max_picture_px=self._max_picture_px)

    def cost_s(self, size_px: tuple[int, int], *, is_key: bool) -> float:
        """Seconds that decoding a picture takes, by the last ones."""
        known_s = self._cost_s.get(is_key)
        if known_s is not None:
            return known_s
        return (FIRST_KEY_NS_PER_PX if is_key else FIRST_NS_PER_PX) * 1e-9 * size_px[0] * size_px[1]

    def decode(self, decoder: av.VideoCodecContext, packet: Packet, index: int) -> Picture | None:
        """The picture of a packet, whose number in its sequence is `index`; None for one with errors. Raises
        `UndecodableError` for a packet after which the decoder is not to be used: it may have begun a picture that it does not conceal, and
        later ones refer to it."""
        unit = av.Packet(packet.data)
        unit.pts = index
        began = self._monotonic()
        try:
            frames = decoder.decode(unit)
        except av.FFmpegError as error:
            self.skipped["damaged_packet"] += 1
            raise UndecodableError from error
        finally:
            self._learn(self._monotonic() - began, is_key=index == 0)
        frame = next((each for each in frames if each.pts == index), None)
        if frame is None:
            self.skipped["damaged_packet"] += 1
            raise UndecodableError
        if frame.is_corrupt:
            self.skipped["damaged_frame"] += 1
            return None
        return Picture(frame)

    def hand_over(self, picture: Picture, pixels: Pixels) -> None:
        """Give a picture to who holds its place; the oldest beyond `held_frames` goes down to canvas size."""
        pixels.give(picture)
        self._full_size.append(weakref.ref(pixels))
        if self.held_frames is None or self.canvas_wh is None or len(self._full_size) <= self.held_frames:
            return
        held = [each for ref in self._full_size if (each := ref()) is not None and each.is_full_size]
        for each in held[: max(0, len(held) - self.held_frames)]:
            each.shrink(self.canvas_wh)
        self._full_size = deque(weakref.ref(each) for each in held if each.is_full_size)

    def _learn(self, seconds: float, *, is_key: bool) -> None:
        self.num_decoded += 1
        usual_s = self._cost_s.get(is_key, seconds)
        self._cost_s[is_key] = usual_s + LEARNT * (seconds - usual_s)


def grey(size_px: tuple[int, int]) -> Picture:
    """What is shown of a sequence of which nothing can be decoded."""
    width, height = size_px
    return Picture(av.VideoFrame.from_ndarray(np.full((height, width), GREY, np.uint8), format="gray"))
