"""What a decoder must know before a picture, in front of every keyframe, wherever the sender told it; for codecs that we do not parse.

H.265 senders may give their parameter sets in the session description alone or once in the stream, AV1 containers keep the sequence header
to themselves. A decoder that starts at a keyframe of ours needs nothing else. (H.264 is `stream.codec.h264.access_unit`'s.)

In: a packet's bytes, Annex B for H.265. Out: the same, complete.
"""

from __future__ import annotations

from stream.codec.h264.annexb import START_CODE, join_annexb, split_annexb

_HEVC_SETS = frozenset({32, 33, 34})
"""Video, sequence and picture parameter sets (H.265 table 7-1)."""
_HEVC_SPS = 33
_AV1_RECORD, _AV1_RECORD_BYTES = 0x81, 4
"""AV1 in ISOBMFF 2.3.3: marker and version 1 of the configuration record, and what stands before its units."""
_AV1_SEQUENCE_HEADER = 1
"""obu_type (AV1 6.2.2)."""
_VP9_MARKER = 2


class Headers:
    """Of one connection."""

    def __init__(self, codec: str, extradata: bytes) -> None:
        self._is_hevc = codec == "hevc"
        self._header = b""
        if codec == "av1":
            self._header = av1_header(extradata)
        elif self._is_hevc and extradata.startswith((START_CODE, START_CODE[1:])):
            self._header = _sets(split_annexb(extradata))

    def complete(self, data: bytes, *, is_key: bool) -> bytes:
        """`data` as a decoder can begin with it, if it is a keyframe."""
        if self._is_hevc:
            return self._complete_hevc(data, is_key)
        if is_key and self._header and not has_av1_header(data):
            return self._header + data
        return data

    def _complete_hevc(self, data: bytes, is_key: bool) -> bytes:
        if not is_key:
            return data
        nals = split_annexb(data)
        if any(_hevc_type(nal) == _HEVC_SPS for nal in nals):
            self._header = _sets(nals)
            return data
        return self._header + data


def av1_header(extradata: bytes) -> bytes:
    """The sequence header out of AV1's configuration record, which a file need not repeat in its pictures."""
    return extradata[_AV1_RECORD_BYTES:] if extradata[:1] == bytes([_AV1_RECORD]) else b""


def has_av1_header(data: bytes) -> bool:
    """Whether a sequence header is among the units of a picture, as far as they tell their sizes (AV1 5.3)."""
    at = 0
    while at < len(data):
        kind, has_extension, has_size = data[at] >> 3 & 15, data[at] >> 2 & 1, data[at] >> 1 & 1
        if kind == _AV1_SEQUENCE_HEADER:
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


def is_vp9_key(data: bytes) -> bool:
    """Whether a VP9 frame is a keyframe, which FFmpeg does not tell of RTP (VP9 bitstream 6.2: frame_marker, profile, show_existing_frame,
    frame_type; profile 3 has a reserved bit before the last two)."""
    first = data[0] << 1 if data[0] & 0b0011_0000 == 0b0011_0000 else data[0]
    return data[0] >> 6 == _VP9_MARKER and not first & 0b0000_1100


def _hevc_type(nal: bytes) -> int:
    """H.265 7.3.1.2."""
    return nal[0] >> 1 & 0x3F


def _sets(nals: list[bytes]) -> bytes:
    return join_annexb([nal for nal in nals if _hevc_type(nal) in _HEVC_SETS])
