"""AV1, as far as it is taken apart: the sequence header in front of keyframes, which containers keep to themselves.

In: a packet's bytes, and codec extradata. Out: the same bytes, complete.
"""

from __future__ import annotations

from stream.codec.codec import Codec, Headers

_RECORD, _RECORD_BYTES = 0x81, 4
"""AV1 in ISOBMFF 2.3.3: marker and version 1 of the configuration record, and what stands before its units."""
_SEQUENCE_HEADER = 1
"""obu_type (AV1 6.2.2)."""


class Av1Headers(Headers):
    """The sequence header out of AV1's configuration record, which a file need not repeat in its pictures."""

    def __init__(self, extradata: bytes) -> None:
        self._header = extradata[_RECORD_BYTES:] if extradata[:1] == bytes([_RECORD]) else b""

    def complete(self, data: bytes, *, is_key: bool) -> bytes:
        return self._header + data if is_key and self._header and not has_av1_header(data) else data


class _Av1(Codec):
    __slots__ = ()

    def headers(self, extradata: bytes) -> Headers:
        return Av1Headers(extradata)


AV1 = _Av1(name="av1", label="AV1", rtp_name="AV1", bare_decoder="libdav1d")
"""FFmpeg's decoder of the codec's own name needs a graphics card."""


def has_av1_header(data: bytes) -> bool:
    """Whether a sequence header is among the units of a picture, as far as they tell their sizes (AV1 5.3)."""
    at = 0
    while at < len(data):
        kind, has_extension, has_size = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] >> 1 & 1
        if kind == _SEQUENCE_HEADER:
            return True
        at += 1 + has_extension
        if not has_size:
            break
        size, shift = 0, 0
        while at < len(data):
            size |= (data[at] & 0x7F) << shift
            at, shift, more = at + 1, shift + 7, data[at] >> 7
            if not more:
                break
        at += size
    return False
