"""H.265 as a `Codec`: its parameter sets are read and put in front of keyframes; its slice data is not read.

In: packets, Annex B. Out: what `stream.codec.codec` promises.
"""

from __future__ import annotations

from collections.abc import Iterable

from stream.codec.codec import Codec, Headers, StreamClaims
from stream.codec.h264.annexb import START_CODE, split_annexb
from stream.codec.h265.parameter_sets import FIRST_NON_VCL, SPS, joined_sets, nal_type, read_claims


class HevcHeaders(Headers):
    """The newest parameter sets: senders may give them in the session description alone, or once in the stream."""

    def __init__(self, extradata: bytes) -> None:
        is_annexb = extradata.startswith((START_CODE, START_CODE[1:]))
        self._sets = joined_sets(split_annexb(extradata)) if is_annexb else b""

    def complete(self, data: bytes, *, is_key: bool) -> bytes:
        if not is_key:
            return data
        nals = split_annexb(data)
        if any(nal_type(nal) == SPS for nal in nals):
            self._sets = joined_sets(nals)
            return data
        return self._sets + data


class _H265(Codec):
    __slots__ = ()

    def headers(self, extradata: bytes) -> Headers:
        return HevcHeaders(extradata)

    def num_slices(self, data: bytes) -> int:
        return sum(1 for nal in split_annexb(data) if nal_type(nal) < FIRST_NON_VCL)

    def claims(self, packets: Iterable[bytes]) -> StreamClaims:
        """By the first sequence parameter set that can be read."""
        return next(filter(None, (read_claims(split_annexb(data)) for data in packets)), StreamClaims())


H265 = _H265(
    name="hevc",
    label="H.265",
    rtp_name="H265",
    empty_bytes=len(START_CODE),
    annexb_filter="hevc_mp4toannexb",
    raw_format="hevc",
    mp4_tag="hvc1",
)
"""`hvc1`: parameter sets in the header, which Apple's players insist on."""
