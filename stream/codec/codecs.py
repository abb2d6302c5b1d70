"""The codecs that cameras send.

In: a codec's name, or a packet. Out: its `Codec`; whether decoding can start at the packet.
"""

from __future__ import annotations

from typing import Protocol

from stream.codec.av1 import AV1
from stream.codec.codec import Codec
from stream.codec.h264.codec import H264
from stream.codec.h265.codec import H265
from stream.codec.vp9 import VP9

CODECS: dict[str, Codec] = {
    codec.name: codec
    for codec in (
        H264,
        H265,
        AV1,
        VP9,
        Codec(name="vp8", label="VP8", rtp_name="VP8"),
        Codec(name="mjpeg", label="MJPEG", rtp_name="JPEG"),
    )
}
"""By FFmpeg's name. H.264 gives motion vectors, quantisers and bits; the others are decoded, and their evidence is the plain difference of
pictures."""
RTP_NAMES = frozenset(codec.rtp_name for codec in CODECS.values())
"""Encoding names of their RTP payloads (RFC 6184, 7798, 2435, 7741, 9628 and AOM's)."""


class Coded(Protocol):
    """A picture's bytes, and what is known of them (`Packet`, `Sample`)."""

    @property
    def data(self) -> bytes: ...

    @property
    def codec(self) -> str: ...

    @property
    def is_key(self) -> bool: ...


def codec_of(name: str) -> Codec:
    """The codec of a packet; one that is not listed is decoded, no more."""
    return CODECS.get(name) or Codec(name=name, label=name)


def starts_decoding(picture: Coded) -> bool:
    """Whether a decoder may start at this picture: a keyframe, or another point of random access."""
    return picture.is_key or codec_of(picture.codec).is_random_access(picture.data)
