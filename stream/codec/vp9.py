"""VP9, as far as it is taken apart: which frames are keyframes.

In: a packet's bytes. Out: whether FFmpeg should have called it a keyframe.
"""

from __future__ import annotations

from stream.codec.codec import Codec

_MARKER = 2


class _Vp9(Codec):
    __slots__ = ()

    def is_key(self, data: bytes) -> bool:
        return is_vp9_key(data)


VP9 = _Vp9(name="vp9", label="VP9", rtp_name="VP9")


def is_vp9_key(data: bytes) -> bool:
    """Whether a VP9 frame is a keyframe, which FFmpeg does not tell of RTP (VP9 bitstream 6.2: frame_marker, profile, show_existing_frame,
    frame_type; profile 3 has a reserved bit before the last two)."""
    first = data[0] << 1 if data[0] & 0b0011_0000 == 0b0011_0000 else data[0]
    return data[0] >> 6 == _MARKER and not first & 0b0000_1100
