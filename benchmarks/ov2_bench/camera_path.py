"""What a camera's thread does with its packets, but for the model: boundary alerts, the choice of pictures, their pixels, canvases.

In: packets. Out: processor seconds, groups as digests, and how much was decoded; beside it plain decoding of the same packets. Both on one
thread, without reading them from anywhere.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ov2.canvas import CanvasGroup
    from stream.tokenizer.settings import TokenizerSettings
    from stream.units import Packet


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRun:
    """`decoded_share`: pictures decoded, of all."""

    seconds: float
    groups: tuple[CanvasGroup, ...]
    decoded_share: float

    @property
    def digests(self) -> list[str]:
        """SHA-256 of every group."""
        return [digest(group) for group in self.groups]


def run_path(packets: Iterable[Packet], settings: TokenizerSettings | None = None, *, eager: bool = False) -> PathRun:
    """Boundary alerts on, as `stream.camera.Camera` does it. `eager`: decode every picture as it comes."""
    from stream.codec.codec import CATCH_UP_S
    from stream.events.boundary import BoundaryDetector
    from stream.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer(settings, catch_up_s=0.0 if eager else CATCH_UP_S)
    boundaries = BoundaryDetector("bench")
    groups: list[CanvasGroup] = []
    began = time.perf_counter()
    for packet in packets:
        slices = tokenizer.slices(packet)
        boundaries.push(packet, slices.mean_qp(), slices.effort())
        groups += tokenizer.push(packet)
    groups += tokenizer.flush()
    seconds = time.perf_counter() - began
    return PathRun(seconds=seconds, groups=tuple(groups), decoded_share=tokenizer.decoded_share or 0.0)


def digest(group: CanvasGroup) -> str:
    """Of all that a group shows and tells, but for wall time."""
    found = hashlib.sha256()
    for array in (group.canvases, group.positions):
        found.update(np.ascontiguousarray(array).tobytes())
    found.update(repr((group.runs, group.group_id, group.start_s, group.end_s, group.closed_by, group.cost)).encode())
    return found.hexdigest()


def plain_seconds(packets: Sequence[Packet]) -> float:
    """FFmpeg's decoder alone, nothing asked of it but pictures."""
    import av

    from stream.codec.codecs import codec_of
    from stream.codec.decode import open_decoder
    from stream.codec.h264.parameter_sets import LARGEST_PICTURE_PX

    decoder = open_decoder(codec_of(packets[0].codec), max_picture_px=LARGEST_PICTURE_PX)
    began = time.perf_counter()
    for number, packet in enumerate(packets):
        unit = av.Packet(packet.data)
        unit.pts = number
        decoder.decode(unit)
    decoder.decode(None)
    return time.perf_counter() - began
