"""What an H.265 stream says of itself: profile, level, size, depth. No more is read, since its evidence needs no more.

In: units of an access unit. Out: `StreamClaims`, None without a sequence parameter set that can be read.
"""

from __future__ import annotations

from collections.abc import Sequence

from stream.codec.codec import StreamClaims
from stream.codec.h264.annexb import BitReader, join_annexb, unescape

VPS, SPS, PPS = 32, 33, 34
FIRST_NON_VCL = 32
"""nal_unit_type of video, sequence and picture parameter sets, and of the first unit that is no slice (H.265 table 7-1)."""
_PROFILES = {1: "Main", 2: "Main 10", 3: "Main Still Picture", 4: "Range Extensions"}
_LEVEL_UNITS = 30
"""general_level_idc is 30 times the level (H.265 A.4)."""
_CHROMA = ("4:0:0", "4:2:0", "4:2:2", "4:4:4")


def nal_type(nal: bytes) -> int:
    """H.265 7.3.1.2."""
    return nal[0] >> 1 & 0x3F


def joined_sets(nals: Sequence[bytes]) -> bytes:
    """The parameter sets among units, as one byte stream."""
    return join_annexb([nal for nal in nals if nal_type(nal) in (VPS, SPS, PPS)])


def read_claims(nals: Sequence[bytes]) -> StreamClaims | None:
    """By the first sequence parameter set."""
    for nal in nals:
        if nal_type(nal) == SPS:
            try:
                return _read_sps(BitReader(unescape(nal[2:])))
            except (EOFError, IndexError):
                return None
    return None


def _read_sps(bits: BitReader) -> StreamClaims:
    """H.265 7.3.2.2.1 up to the bit depth, 7.3.3 for profile and level."""
    bits.u(4)
    num_below = bits.u(3)
    bits.u(1)
    bits.u(3)  # profile space, tier
    profile = bits.u(5)
    bits.u(32)
    bits.u(48)
    level = bits.u(8)
    present = [(bits.u(1), bits.u(1)) for _ in range(num_below)]
    if num_below:
        bits.u(2 * (8 - num_below))
    for has_profile, has_level in present:
        bits.u(88 * has_profile + 8 * has_level)
    bits.ue()
    chroma = bits.ue()
    if chroma == 3:
        bits.u(1)
    coded_px = (bits.ue(), bits.ue())
    if bits.u(1):
        for _ in range(4):
            bits.ue()
    depth = 8 + max(bits.ue(), bits.ue())
    return StreamClaims(
        profile=_PROFILES.get(profile, f"profile {profile}"),
        level=f"{level / _LEVEL_UNITS:.1f}",
        coded_px=coded_px,
        chroma=_CHROMA[chroma],
        bit_depth=depth,
    )
