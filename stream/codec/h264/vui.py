"""What an H.264 sequence parameter set says beyond what slice data depends on: profile, level, timing, rate, reordering.

In: an SPS unit. Out: `Claims`. A set that is cut off tells what came before the cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stream.codec.h264.annexb import BitReader
from stream.codec.h264.parameter_sets import Sps, read_sps_to_vui

_EXTENDED_SAR = 255
"""aspect_ratio_idc behind which a width and a height follow (H.264 table E-1)."""
_PROFILES = {
    66: "Baseline",
    77: "Main",
    88: "Extended",
    100: "High",
    110: "High 10",
    122: "High 4:2:2",
    244: "High 4:4:4 Predictive",
    44: "CAVLC 4:4:4",
}
"""profile_idc (H.264 A.2)."""
_LEVEL_1B = 11
_MOST_CPB = 32
"""cpb_cnt_minus1 is at most 31 (H.264 E.2.2)."""


@dataclass(slots=True, kw_only=True)
class Vui:
    """Parts of the video usability information (H.264 E.1.1), None where it is silent. `fps`: pictures per second by the timing;
    `hrd_cbr`: the rate model says that the bit rate is constant; `hrd_kbps`: its rate.
    `num_reorder_frames`: how many pictures may come before one and be shown after it."""

    fps: float | None = None
    hrd_cbr: bool | None = None
    hrd_kbps: float | None = None
    num_reorder_frames: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """A sequence parameter set in words."""

    sps: Sps
    profile: str
    level: str
    vui: Vui = field(default_factory=Vui)


def read_claims(nal: bytes) -> Claims | None:
    """None for a set that is damaged before its VUI."""
    read = read_sps_to_vui(nal)
    if read is None:
        return None
    sps, bits = read
    vui = Vui()
    try:
        if bits.u(1):
            _read_vui(bits, vui)
    except EOFError:
        pass  # what came before the cut is kept
    return Claims(sps=sps, profile=_profile(nal), level=_level(nal), vui=vui)


def _profile(nal: bytes) -> str:
    """Constraint flag 1 makes Baseline the Constrained Baseline that everybody decodes (A.2.1.1)."""
    name = _PROFILES.get(nal[1], f"profile {nal[1]}")
    return f"Constrained {name}" if nal[1] == 66 and nal[2] & 0x40 else name


def _level(nal: bytes) -> str:
    if nal[3] == _LEVEL_1B and nal[2] & 0x10:
        return "1b"
    return f"{nal[3] / 10:.1f}"


def _read_vui(bits: BitReader, vui: Vui) -> None:
    if bits.u(1) and bits.u(8) == _EXTENDED_SAR:
        bits.u(32)
    if bits.u(1):  # overscan_info
        bits.u(1)
    if bits.u(1):  # video_signal_type
        bits.u(4)
        if bits.u(1):
            bits.u(24)
    if bits.u(1):  # chroma_loc_info
        bits.ue()
        bits.ue()
    if bits.u(1):
        units, scale = bits.u(32), bits.u(32)
        bits.u(1)  # fixed_frame_rate_flag
        vui.fps = scale / (2 * units) if units and scale else None  # two fields per picture (E.2.1)
    has_hrd = False
    for _ in range(2):  # NAL, VCL
        if bits.u(1):
            _read_hrd(bits, vui)
            has_hrd = True
    bits.u(2 if has_hrd else 1)  # low_delay_hrd_flag, pic_struct_present_flag
    if bits.u(1):  # bitstream_restriction
        bits.u(1)  # motion_vectors_over_pic_boundaries_flag
        for _ in range(4):  # bytes of a picture, bits of a macroblock, lengths of vectors
            bits.ue()
        vui.num_reorder_frames = bits.ue()


def _read_hrd(bits: BitReader, vui: Vui) -> None:
    """Of several buffers the last, which has the highest rate (E.2.2)."""
    count = min(bits.ue() + 1, _MOST_CPB)
    rate_scale = bits.u(4)
    bits.u(4)  # cpb_size_scale
    for _ in range(count):
        vui.hrd_kbps = (bits.ue() + 1) * 2 ** (6 + rate_scale) / 1000
        bits.ue()
        vui.hrd_cbr = bool(bits.u(1))
    bits.u(20)  # lengths of delays and of time_offset
