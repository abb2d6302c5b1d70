"""H.264 as a `Codec`: the only one whose slice data is read.

In: canonical access units. Out: what `stream.codec.codec` promises.
"""

from __future__ import annotations

from collections.abc import Iterable

from stream.codec.codec import BlockParser, Codec, SequenceStart, StreamClaims
from stream.codec.h264.access_unit import Canonicaliser, is_random_access
from stream.codec.h264.annexb import START_CODE, TYPE_MASK, NalType, nal_type, picture_type, split_annexb
from stream.codec.h264.parameter_sets import Pps, read_pps
from stream.codec.h264.sequence import read_sequence
from stream.codec.h264.vui import Claims, Vui, read_claims

_SETS = (NalType.SPS, NalType.PPS)
_SLICES = (NalType.SLICE, NalType.PARTITION_A, NalType.IDR)
_CHROMA = ("4:0:0", "4:2:0", "4:2:2", "4:4:4")


class _H264(Codec):
    __slots__ = ()

    def is_random_access(self, data: bytes) -> bool:
        return is_random_access(data)

    def canonicaliser(self, extradata: bytes) -> Canonicaliser:
        return Canonicaliser(extradata)

    def parameter_sets(self, data: bytes) -> tuple[bytes, ...]:
        if nal_type(data[len(START_CODE) : len(START_CODE) + 1]) not in _SETS:
            return ()  # canonical units hold them in front
        return tuple(nal for nal in split_annexb(data) if nal[0] & TYPE_MASK in _SETS)

    def new_parser(self, *, with_motion: bool = False) -> BlockParser:
        from stream.codec.h264.slice_data.plain import PlainParser  # loads Numba, which reader processes do without

        return PlainParser(with_motion=with_motion)

    def picture_type(self, data: bytes) -> str:
        return picture_type(data)

    def sequence(self, data: bytes) -> SequenceStart | None:
        return read_sequence(data)

    def num_slices(self, data: bytes) -> int:
        return sum(1 for nal in split_annexb(data) if nal[0] & TYPE_MASK in _SLICES)

    def claims(self, packets: Iterable[bytes]) -> StreamClaims:
        """By the sequence parameter set and the picture parameter set that came last."""
        claims: Claims | None = None
        pps: Pps | None = None
        for nal in (nal for data in packets for nal in self.parameter_sets(data)):
            if nal[0] & TYPE_MASK == NalType.SPS:
                claims = read_claims(nal) or claims
            else:
                pps = read_pps(nal) or pps
        sps = claims.sps if claims is not None else None
        vui = claims.vui if claims is not None else Vui()
        return StreamClaims(
            profile=claims.profile if claims else None,
            level=claims.level if claims else None,
            coded_px=(16 * sps.pic_width_in_mbs, 16 * sps.frame_height_in_mbs) if sps else None,
            bit_depth=sps.bit_depth if sps else None,
            chroma=_CHROMA[sps.chroma_format_idc] if sps else None,
            interlaced=not sps.frame_mbs_only_flag if sps else None,
            entropy=("CABAC" if pps.entropy_coding_mode_flag else "CAVLC") if pps else None,
            fps=vui.fps,
            cbr=vui.hrd_cbr,
            kbps=vui.hrd_kbps,
        )


H264 = _H264(
    name="h264",
    label="H.264",
    rtp_name="H264",
    has_vectors=True,
    has_qp=True,
    has_bits=True,
    empty_bytes=len(START_CODE),
    raw_format="h264",
)
