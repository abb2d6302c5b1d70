"""What a coded video sequence promises at its IDR picture: the size, and whether pictures are shown in the order in which they come.

In: a canonical access unit. Out: `SequenceStart`, None of a unit that is no IDR picture, or damaged.
"""

from __future__ import annotations

from stream.codec.codec import SequenceStart
from stream.codec.h264.annexb import FIRST_UNITS, TYPE_MASK, BitReader, NalType, split_annexb, unescape
from stream.codec.h264.parameter_sets import read_pps
from stream.codec.h264.vui import Claims, read_claims

_BASELINE = 66
"""profile_idc without B pictures (A.2.1)."""
_IN_DECODE_ORDER = 2
"""pic_order_cnt_type by which the order of output is that of decoding (8.2.1.3)."""
_SLICE_HEAD_BYTES = 24


def read_sequence(data: bytes) -> SequenceStart | None:
    """By the sets that the first slice refers to."""
    sequences: dict[int, Claims] = {}
    pictures: dict[int, int] = {}
    for nal in split_annexb(data, FIRST_UNITS):
        kind = nal[0] & TYPE_MASK
        if kind == NalType.SPS and (claims := read_claims(nal)) is not None:
            sequences[claims.sps.seq_parameter_set_id] = claims
        elif kind == NalType.PPS and (pps := read_pps(nal)) is not None:
            pictures[pps.pic_parameter_set_id] = pps.seq_parameter_set_id
        elif kind == NalType.IDR:
            claims = sequences.get(pictures.get(_picture_set(nal), -1))
            return _sequence(claims) if claims is not None else None
        elif kind in (NalType.SLICE, NalType.PARTITION_A):
            return None
    return None


def _picture_set(nal: bytes) -> int:
    """pic_parameter_set_id of a slice (7.3.3)."""
    bits = BitReader(unescape(nal[1:_SLICE_HEAD_BYTES]))
    try:
        bits.ue()  # first_mb_in_slice
        bits.ue()  # slice_type
        return bits.ue()
    except EOFError:
        return -1


def _sequence(claims: Claims) -> SequenceStart:
    sps, reorder = claims.sps, claims.vui.num_reorder_frames
    in_order = sps.profile_idc == _BASELINE or sps.pic_order_cnt_type == _IN_DECODE_ORDER
    return SequenceStart(
        size_px=sps.size_px,
        bit_depth=sps.bit_depth,
        is_progressive=bool(sps.frame_mbs_only_flag),
        reorders=False if in_order else None if reorder is None else reorder > 0,
    )
