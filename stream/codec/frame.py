"""One displayed picture, whether anybody has decoded it or not: what the tokenizer asks of a frame.

In: a packet, its place in display order. Out: `DecodedFrame`s of a `Decoder`, `CodedFrame`s of an `OnDemandDecoder`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np

from stream.codec.pixels import Pixels
from stream.units import Packet


class Frame(ABC):
    """- `frame_id`: count in display order since the stream began. `packet`: the packet it comes from.
    - `media_s`: of that packet, later by a little where that would step back. `wall_s`: of that packet.
    - `width`, `height`: displayed size.
    """

    __slots__ = ("frame_id", "height", "media_s", "packet", "width")

    def __init__(self, frame_id: int, packet: Packet, media_s: float, size_px: tuple[int, int]) -> None:
        self.frame_id = frame_id
        self.packet = packet
        self.media_s = media_s
        self.width, self.height = size_px

    @property
    def wall_s(self) -> float:
        return self.packet.wall_s

    @property
    def is_key(self) -> bool:
        return self.packet.is_key

    @property
    def mean_qp(self) -> float:
        """Mean quantiser over the macroblocks, NaN where nobody tells."""
        return math.nan

    @abstractmethod
    def hold(self) -> Pixels:
        """Its pixels, which stay as long as somebody holds them."""

    def scaled(self, longest_side: int) -> np.ndarray:
        """The picture, uint8 [height, width, 3] RGB, its longer side at most `longest_side`."""
        scale = min(1.0, longest_side / max(self.width, self.height))
        return self.hold()(max(2, round(self.width * scale)), max(2, round(self.height * scale)))


class CodedFrame(Frame):
    """A frame as packets tell of it: its pixels are decoded when they are asked for. Its size is that of the sequence parameter set."""

    __slots__ = ("_pixels",)

    def __init__(self, frame_id: int, packet: Packet, media_s: float, size_px: tuple[int, int], pixels: Pixels) -> None:
        super().__init__(frame_id, packet, media_s, size_px)
        self._pixels = pixels

    def hold(self) -> Pixels:
        return self._pixels
