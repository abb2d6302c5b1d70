"""What the pictures are: codec, profile and level, size, coding tools.

In: an `Observation` and the notes on its frames. Out: `Video`.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stream.codec.h264.annexb import TYPE_MASK, NalType, split_annexb
from stream.codec.h264.parameter_sets import Pps, read_pps
from stream.codec.h264.vui import Claims, Vui, read_claims
from stream.doctor import hevc
from stream.doctor.examine import FrameNote
from stream.doctor.observe import Observation
from stream.doctor.pace import reorder_depth

Repeated = Literal["every key", "sometimes", "once", "header", "unknown"]
"""How often parameter sets come inside the stream; `header`: never, they are in the container or the session description alone."""
_CHROMA = {0: "4:0:0", 1: "4:2:0", 2: "4:2:2", 3: "4:4:4"}
_SLICES = (NalType.SLICE, NalType.PARTITION_A, NalType.IDR)
NAMES = {"h264": "H.264", "hevc": "H.265", "vp8": "VP8", "vp9": "VP9", "av1": "AV1", "mjpeg": "MJPEG"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """None where the codec is not taken apart, or no parameter set came.

    - `width`, `height`: displayed; `coded_width`, `coded_height`: before cropping.
    - `interlaced`: pictures may be fields. `slices`: median slices of a picture.
    - `types`: pictures by type. `reorder`: pictures that wait until one sent later has been shown; `reorder_s`: how long that is.
    - `claimed_fps`, `claimed_cbr`, `claimed_kbps`: what the parameter set promises.
    - `parameter_sets`: how often they come. `num_sizes`: displayed sizes seen.
    """

    codec: str
    profile: str | None
    level: str | None
    width: int
    height: int
    coded_width: int | None
    coded_height: int | None
    num_sizes: int
    bit_depth: int | None
    chroma: str | None
    interlaced: bool | None
    entropy: str | None
    slices: int
    types: dict[str, int]
    reorder: int
    reorder_s: float
    parameter_sets: Repeated
    claimed_fps: float | None
    claimed_cbr: bool | None
    claimed_kbps: float | None

    @property
    def is_cropped(self) -> bool:
        return (self.coded_width, self.coded_height) not in ((None, None), (self.width, self.height))

    @property
    def name(self) -> str:
        return NAMES.get(self.codec, self.codec)


def video_of(watch: Observation, frames: Sequence[FrameNote]) -> Video:
    """Expects at least one packet."""
    sizes = list(dict.fromkeys((packet.width, packet.height) for packet in watch.packets))
    width, height = sizes[-1]
    depth = reorder_depth([packet.pts_s for packet in watch.packets])
    is_h264 = watch.codec == "h264"
    claims, pps = _sets(watch) if is_h264 else (None, None)
    other = (
        None if watch.codec != "hevc" else next(filter(None, (hevc.read_hevc(packet.data) for packet in watch.packets)), None)
    )
    vui = claims.vui if claims is not None else Vui()
    sps = claims.sps if claims is not None else None
    coded = (16 * sps.pic_width_in_mbs, 16 * sps.frame_height_in_mbs) if sps else other.coded_px if other else (None, None)
    return Video(
        codec=watch.codec,
        profile=claims.profile if claims else other.profile if other else None,
        level=claims.level if claims else other.level if other else None,
        width=width,
        height=height,
        coded_width=coded[0],
        coded_height=coded[1],
        num_sizes=len(sizes),
        bit_depth=sps.bit_depth if sps else other.bit_depth if other else None,
        chroma=_CHROMA[sps.chroma_format_idc] if sps else other.chroma if other else None,
        interlaced=not sps.frame_mbs_only_flag if sps else None,
        entropy=("CABAC" if pps.entropy_coding_mode_flag else "CAVLC") if pps else None,
        slices=round(statistics.median(_num_slices(packet.data, watch.codec) for packet in watch.packets)),
        types=dict(sorted(Counter(frame.type for frame in frames).items())),
        reorder=depth,
        reorder_s=depth * _step_s(watch),
        parameter_sets=_repeated(watch),
        claimed_fps=vui.fps,
        claimed_cbr=vui.hrd_cbr,
        claimed_kbps=vui.hrd_kbps,
    )


def _step_s(watch: Observation) -> float:
    return watch.span_s / len(watch.packets) if watch.packets else 0.0


def _sets(watch: Observation) -> tuple[Claims | None, Pps | None]:
    """The sequence parameter set and the picture parameter set that came last."""
    claims: Claims | None = None
    pps: Pps | None = None
    for packet in watch.packets:
        if packet.data[4] & TYPE_MASK not in (NalType.SPS, NalType.PPS):
            continue  # canonical units hold them in front
        for nal in split_annexb(packet.data):
            if nal[0] & TYPE_MASK == NalType.SPS:
                claims = read_claims(nal) or claims
            elif nal[0] & TYPE_MASK == NalType.PPS:
                pps = read_pps(nal) or pps
    return claims, pps


def _num_slices(data: bytes, codec: str) -> int:
    if codec != "h264":
        return hevc.num_slices(data) if codec == "hevc" else 1
    return sum(1 for nal in split_annexb(data) if nal[0] & TYPE_MASK in _SLICES)


def _repeated(watch: Observation) -> Repeated:
    if watch.in_band_sets is None:
        return "unknown"
    num_keys = sum(packet.is_key for packet in watch.packets)
    if watch.in_band_sets == 0:
        return "header"
    if watch.in_band_sets >= num_keys:
        return "every key"
    return "once" if watch.in_band_sets == 1 else "sometimes"
