"""A frame as packets tell of it, before anybody decodes it.

In: a packet, its place in display order. Out: what the tokenizer asks of a frame; pixels only when they are asked for.
"""

from __future__ import annotations

from typing import Protocol

from stream.codec.pixels import Pixels
from stream.units import Packet


class Frame(Protocol):
    """One displayed picture, decoded (`DecodedFrame`) or not (`CodedFrame`)."""

    @property
    def frame_id(self) -> int: ...

    @property
    def packet(self) -> Packet: ...

    @property
    def media_s(self) -> float: ...

    @property
    def wall_s(self) -> float: ...

    @property
    def is_key(self) -> bool: ...

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def mean_qp(self) -> float:
        """Mean quantiser over the macroblocks, NaN where nobody tells."""

    def hold(self) -> Pixels:
        """Its pixels, which stay as long as somebody holds them."""


class CodedFrame:
    """- `frame_id`: count in display order since the stream began. `packet`: the packet it comes from.
    - `media_s`: of that packet, later by a little where that would step back. `wall_s`: of that packet.
    - `width`, `height`: displayed size, by the sequence parameter set.
    """

    __slots__ = ("_pixels", "frame_id", "height", "media_s", "packet", "width")

    def __init__(self, frame_id: int, packet: Packet, media_s: float, size_px: tuple[int, int], pixels: Pixels) -> None:
        self.frame_id = frame_id
        self.packet = packet
        self.media_s = media_s
        self.width, self.height = size_px
        self._pixels = pixels

    @property
    def wall_s(self) -> float:
        return self.packet.wall_s

    @property
    def is_key(self) -> bool:
        return self.packet.is_key

    @property
    def mean_qp(self) -> float:
        return float("nan")

    def hold(self) -> Pixels:
        return self._pixels
