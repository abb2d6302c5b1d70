"""Sequence and picture parameter sets, as far as slice data depends on them.

In: an SPS or PPS NAL unit. Out: `Sps`, `Pps`, the displayed size, the set's number; None (or -1) for a damaged one.
"""

from __future__ import annotations

from dataclasses import dataclass

from stream.codec.h264.annexb import BitReader, unescape

_CHROMA_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
"""profile_idc values whose SPS carries chroma_format_idc and scaling lists (H.264 7.3.2.1.1)."""
_MACROBLOCK_PX = 16
_CROP_UNIT = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}
"""chroma_format_idc -> (SubWidthC, SubHeightC), 1 for monochrome (H.264 table 6-1)."""
_MOST_CYCLE = 255
"""Largest num_ref_frames_in_pic_order_cnt_cycle (7.4.2.1.1)."""
_MOST_SIDE_MBS, _MOST_MBS = 1055, 139_264
"""Macroblocks along a side and in a frame at level 6.2 (A.3.1, table A-1). More is damage."""
LARGEST_PICTURE_PX = _MOST_MBS * _MACROBLOCK_PX**2
"""Pixels of the largest picture that the standard has a level for."""
_MOST_IDS = {7: 32, 8: 256}
"""Numbers that sequence and picture parameter sets may have (7.4.2.1.1, 7.4.2.2), by nal_unit_type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sps:
    """A sequence parameter set (H.264 7.3.2.1.1); names are the standard's. `crop`: left, right, top, bottom in crop units."""

    seq_parameter_set_id: int
    profile_idc: int
    chroma_format_idc: int
    separate_colour_plane_flag: int
    bit_depth: int
    log2_max_frame_num: int
    pic_order_cnt_type: int
    log2_max_pic_order_cnt_lsb: int
    delta_pic_order_always_zero_flag: int
    offset_for_non_ref_pic: int
    offset_for_top_to_bottom_field: int
    offset_for_ref_frame: tuple[int, ...]
    pic_width_in_mbs: int
    pic_height_in_map_units: int
    frame_mbs_only_flag: int
    mb_adaptive_frame_field_flag: int
    direct_8x8_inference_flag: int
    crop: tuple[int, int, int, int]

    @property
    def frame_height_in_mbs(self) -> int:
        return (2 - self.frame_mbs_only_flag) * self.pic_height_in_map_units

    @property
    def size_px(self) -> tuple[int, int]:
        """Displayed (width, height) in luma pixels."""
        unit_x, unit_y = _CROP_UNIT[self.chroma_format_idc]
        left, right, top, bottom = self.crop
        width = self.pic_width_in_mbs * _MACROBLOCK_PX - unit_x * (left + right)
        height = self.pic_height_in_map_units * _MACROBLOCK_PX - unit_y * (top + bottom)
        return width, (2 - self.frame_mbs_only_flag) * height


@dataclass(frozen=True, slots=True, kw_only=True)
class Pps:
    """A picture parameter set (H.264 7.3.2.2)."""

    pic_parameter_set_id: int
    seq_parameter_set_id: int
    entropy_coding_mode_flag: int
    bottom_field_pic_order_in_frame_present_flag: int
    num_slice_groups: int
    num_ref_idx_default_active: tuple[int, int]
    weighted_pred_flag: int
    weighted_bipred_idc: int
    pic_init_qp: int
    deblocking_filter_control_present_flag: int
    redundant_pic_cnt_present_flag: int
    transform_8x8_mode_flag: int


def picture_size(sps: bytes) -> tuple[int, int] | None:
    """Displayed (width, height) in luma pixels, or None when the set is damaged."""
    read = read_sps(sps)
    return read.size_px if read is not None else None


def parameter_set_id(nal: bytes) -> int:
    """seq_parameter_set_id of an SPS, pic_parameter_set_id of a PPS; -1 when the set is damaged."""
    kind = nal[0] & 31
    bits = BitReader(unescape(nal[4:12] if kind == 7 else nal[1:9]))
    try:
        number = bits.ue()
    except EOFError:
        return -1
    return number if number < _MOST_IDS[kind] else -1


def read_sps(nal: bytes) -> Sps | None:
    """The set of an SPS unit; None when it is cut off, or says what cannot be."""
    read = read_sps_to_vui(nal)
    return read[0] if read is not None else None


def read_sps_to_vui(nal: bytes) -> tuple[Sps, BitReader] | None:
    """The same, and the bits from vui_parameters_present_flag on."""
    bits = BitReader(unescape(nal[1:]))
    try:
        sps = _read_sps(bits)
    except EOFError:
        return None
    width, height = sps.pic_width_in_mbs, sps.frame_height_in_mbs
    plausible = (
        max(width, height) <= _MOST_SIDE_MBS
        and width * height <= _MOST_MBS
        and min(sps.size_px) > 0
        and sps.log2_max_frame_num <= 16
    )
    return (sps, bits) if plausible and sps.log2_max_pic_order_cnt_lsb <= 16 and sps.seq_parameter_set_id < 32 else None


def _read_sps(bits: BitReader) -> Sps:
    profile = bits.u(8)
    bits.u(16)  # constraint flags, level
    number = bits.ue()
    chroma, separate, depth = _read_chroma(bits) if profile in _CHROMA_PROFILES else (1, 0, 8)
    log2_max_frame_num = bits.ue() + 4
    kind = bits.ue()
    log2_max_lsb = bits.ue() + 4 if kind == 0 else 0
    always_zero = non_ref = top_to_bottom = 0
    cycle: tuple[int, ...] = ()
    if kind == 1:
        always_zero, non_ref, top_to_bottom = bits.u(1), bits.se(), bits.se()
        cycle = tuple(bits.se() for _ in range(min(bits.ue(), _MOST_CYCLE)))
    bits.ue()  # max_num_ref_frames
    bits.u(1)  # gaps_in_frame_num_value_allowed_flag
    columns, rows = bits.ue() + 1, bits.ue() + 1
    frame_only = bits.u(1)
    adaptive = 0 if frame_only else bits.u(1)
    inference = bits.u(1)
    crop = (bits.ue(), bits.ue(), bits.ue(), bits.ue()) if bits.u(1) else (0, 0, 0, 0)
    return Sps(
        seq_parameter_set_id=number,
        profile_idc=profile,
        chroma_format_idc=chroma,
        separate_colour_plane_flag=separate,
        bit_depth=depth,
        log2_max_frame_num=log2_max_frame_num,
        pic_order_cnt_type=kind,
        log2_max_pic_order_cnt_lsb=log2_max_lsb,
        delta_pic_order_always_zero_flag=always_zero,
        offset_for_non_ref_pic=non_ref,
        offset_for_top_to_bottom_field=top_to_bottom,
        offset_for_ref_frame=cycle,
        pic_width_in_mbs=columns,
        pic_height_in_map_units=rows,
        frame_mbs_only_flag=frame_only,
        mb_adaptive_frame_field_flag=adaptive,
        direct_8x8_inference_flag=inference,
        crop=crop,
    )


def _read_chroma(bits: BitReader) -> tuple[int, int, int]:
    """chroma_format_idc, separate_colour_plane_flag, and the greater bit depth; the scaling lists behind them are skipped."""
    chroma = bits.ue()
    if chroma not in _CROP_UNIT:
        raise EOFError(f"chroma_format_idc: expected 0 to 3, got {chroma}")
    separate = bits.u(1) if chroma == 3 else 0
    depth = 8 + max(bits.ue(), bits.ue())
    bits.u(1)  # qpprime_y_zero_transform_bypass_flag
    if bits.u(1):
        _skip_scaling_lists(bits, 12 if chroma == 3 else 8)
    return chroma, separate, depth


def _skip_scaling_lists(bits: BitReader, count: int) -> None:
    for index in range(count):
        if bits.u(1):
            last = following = 8
            for _ in range(16 if index < 6 else 64):
                if following:
                    following = (last + bits.se()) % 256
                last = following or last


def read_pps(nal: bytes) -> Pps | None:
    """The set of a PPS unit; None when it is cut off, or says what cannot be."""
    payload = unescape(nal[1:]).rstrip(b"\x00")
    bits = BitReader(payload)
    try:
        pps = _read_pps(bits, payload)
    except EOFError:
        return None
    plausible = pps.pic_parameter_set_id < 256 and pps.seq_parameter_set_id < 32 and max(pps.num_ref_idx_default_active) <= 32
    return pps if plausible and 0 <= pps.pic_init_qp <= 51 else None


def _read_pps(bits: BitReader, payload: bytes) -> Pps:
    number, sequence = bits.ue(), bits.ue()
    entropy, order_present = bits.u(1), bits.u(1)
    num_groups = bits.ue() + 1
    if num_groups > 1:  # slice groups are refused; what lies behind them is not needed then
        return _pps(number, sequence, entropy, order_present, num_groups, (1, 1), 0, 0, 26, 0, 0, 0)
    active = (bits.ue() + 1, bits.ue() + 1)
    weighted, bipred = bits.u(1), bits.u(2)
    init_qp = 26 + bits.se()
    bits.se()  # pic_init_qs_minus26
    bits.se()  # chroma_qp_index_offset
    deblocking = bits.u(1)
    bits.u(1)  # constrained_intra_pred_flag
    redundant = bits.u(1)
    transform = bits.u(1) if bits.num_left > _trailing_bits(payload) else 0
    return _pps(
        number, sequence, entropy, order_present, 1, active, weighted, bipred, init_qp, deblocking, redundant, transform
    )


def _pps(
    number: int,
    sequence: int,
    entropy: int,
    order_present: int,
    num_groups: int,
    active: tuple[int, int],
    weighted: int,
    bipred: int,
    init_qp: int,
    deblocking: int,
    redundant: int,
    transform: int,
) -> Pps:
    return Pps(
        pic_parameter_set_id=number,
        seq_parameter_set_id=sequence,
        entropy_coding_mode_flag=entropy,
        bottom_field_pic_order_in_frame_present_flag=order_present,
        num_slice_groups=num_groups,
        num_ref_idx_default_active=active,
        weighted_pred_flag=weighted,
        weighted_bipred_idc=bipred,
        pic_init_qp=init_qp,
        deblocking_filter_control_present_flag=deblocking,
        redundant_pic_cnt_present_flag=redundant,
        transform_8x8_mode_flag=transform,
    )


def _trailing_bits(payload: bytes) -> int:
    """Bits of rbsp_trailing_bits: the last one and the zeros behind it (7.3.2.11)."""
    return (payload[-1] & -payload[-1]).bit_length() if payload else 0
