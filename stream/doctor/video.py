"""What the pictures are: codec, profile and level, size, coding tools.

In: an `Observation` and the notes on its frames. Out: `Video`.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stream.codec.codecs import codec_of
from stream.doctor.examine import FrameNote
from stream.doctor.observe import Observation
from stream.doctor.pace import reorder_depth

Repeated = Literal["every key", "sometimes", "once", "header", "unknown"]
"""How often parameter sets come inside the stream; `header`: never, they are in the container or the session description alone."""


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
        return codec_of(self.codec).label


def video_of(watch: Observation, frames: Sequence[FrameNote]) -> Video:
    """Expects at least one packet."""
    sizes = list(dict.fromkeys((packet.width, packet.height) for packet in watch.packets))
    width, height = sizes[-1]
    depth = reorder_depth([packet.pts_s for packet in watch.packets])
    codec = codec_of(watch.codec)
    claims = codec.claims(packet.data for packet in watch.packets)
    coded_width, coded_height = claims.coded_px or (None, None)
    return Video(
        codec=watch.codec,
        profile=claims.profile,
        level=claims.level,
        width=width,
        height=height,
        coded_width=coded_width,
        coded_height=coded_height,
        num_sizes=len(sizes),
        bit_depth=claims.bit_depth,
        chroma=claims.chroma,
        interlaced=claims.interlaced,
        entropy=claims.entropy,
        slices=round(statistics.median(codec.num_slices(packet.data) for packet in watch.packets)),
        types=dict(sorted(Counter(frame.type for frame in frames).items())),
        reorder=depth,
        reorder_s=depth * _step_s(watch),
        parameter_sets=_repeated(watch),
        claimed_fps=claims.fps,
        claimed_cbr=claims.cbr,
        claimed_kbps=claims.kbps,
    )


def _step_s(watch: Observation) -> float:
    return watch.span_s / len(watch.packets) if watch.packets else 0.0


def _repeated(watch: Observation) -> Repeated:
    if watch.in_band_sets is None:
        return "unknown"
    num_keys = sum(packet.is_key for packet in watch.packets)
    if watch.in_band_sets == 0:
        return "header"
    if watch.in_band_sets >= num_keys:
        return "every key"
    return "once" if watch.in_band_sets == 1 else "sometimes"
