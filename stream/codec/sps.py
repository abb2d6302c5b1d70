"""Picture size from a sequence parameter set, so that every packet carries the size it will be shown at.

In: an SPS NAL unit. Out: displayed width and height, cropping applied (H.264 7.3.2.1.1, 7.4.2.1.1).
"""

from __future__ import annotations

from stream.codec.annexb import BitReader, unescape

_CHROMA_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
"""profile_idc values whose SPS carries chroma_format_idc and scaling lists (H.264 7.3.2.1.1)."""
_MACROBLOCK_PX = 16
_CROP_UNIT = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}
"""chroma_format_idc -> (SubWidthC, SubHeightC), 1 for monochrome (H.264 table 6-1)."""


def picture_size(sps: bytes) -> tuple[int, int] | None:
    """Displayed (width, height) in luma pixels, or None when the set is damaged."""
    bits = BitReader(unescape(sps[1:]))
    try:
        return _read_size(bits)
    except EOFError:
        return None


def parameter_set_id(nal: bytes) -> int:
    """seq_parameter_set_id of an SPS, pic_parameter_set_id of a PPS; -1 when the set is damaged."""
    is_sps = nal[0] & 31 == 7
    bits = BitReader(unescape(nal[4:12] if is_sps else nal[1:9]))
    try:
        return bits.ue()
    except EOFError:
        return -1


def _read_size(bits: BitReader) -> tuple[int, int] | None:
    profile = bits.u(8)
    bits.u(16)  # constraint flags, level
    bits.ue()  # seq_parameter_set_id
    chroma = _read_chroma(bits) if profile in _CHROMA_PROFILES else 1
    bits.ue()  # log2_max_frame_num_minus4
    _skip_picture_order(bits)
    bits.ue()  # max_num_ref_frames
    bits.u(1)  # gaps_in_frame_num_value_allowed_flag
    columns, rows = bits.ue() + 1, bits.ue() + 1
    frame_only = bits.u(1)
    if not frame_only:
        bits.u(1)  # mb_adaptive_frame_field_flag
    bits.u(1)  # direct_8x8_inference_flag
    left = right = top = bottom = 0
    if bits.u(1):
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
    unit_x, unit_y = _CROP_UNIT.get(chroma, (1, 1))
    width = columns * _MACROBLOCK_PX - unit_x * (left + right)
    height = (2 - frame_only) * (rows * _MACROBLOCK_PX - unit_y * (top + bottom))
    return (width, height) if width > 0 and height > 0 else None


def _read_chroma(bits: BitReader) -> int:
    """chroma_format_idc; the bit depths and scaling lists behind it are skipped."""
    chroma = bits.ue()
    if chroma == 3:
        bits.u(1)  # separate_colour_plane_flag
    bits.ue()
    bits.ue()
    bits.u(1)
    if bits.u(1):
        for index in range(12 if chroma == 3 else 8):
            if bits.u(1):
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return chroma


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _skip_picture_order(bits: BitReader) -> None:
    kind = bits.ue()
    if kind == 0:
        bits.ue()
    elif kind == 1:
        bits.u(1)
        bits.se()
        bits.se()
        for _ in range(bits.ue()):
            bits.se()
