"""What differs by codec, asked of one object: its names, what it tells of its pictures, where decoding of it can start.

In: bytes of its packets. Out: facts of them. `Codec` itself is a codec that is decoded and not taken apart; the folders h264 and h265 and
the files av1 and vp9 know more. `stream.codec.codecs` lists them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stream.codec.h264.access_unit import Canonicaliser

CATCH_UP_S = 0.15
"""How long pictures that wait undecoded may take to decode: a question waits for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamClaims:
    """What the parameter sets of a stream say of it, None where they are silent. `coded_px`: width and height before cropping.
    `fps`, `cbr`, `kbps`: pictures per second, whether the bit rate is constant, and the bit rate."""

    profile: str | None = None
    level: str | None = None
    coded_px: tuple[int, int] | None = None
    bit_depth: int | None = None
    chroma: str | None = None
    interlaced: bool | None = None
    entropy: str | None = None
    fps: float | None = None
    cbr: bool | None = None
    kbps: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceStart:
    """What a stream says of its pictures where decoding begins. `size_px`: displayed (width, height). `reorders`: whether pictures are shown in
    another order than they are decoded in, None where it does not say."""

    size_px: tuple[int, int]
    bit_depth: int
    is_progressive: bool
    reorders: bool | None


class BlockGrids(Protocol):
    """What slice data tells of one picture, in grids [R, C] of blocks of 16 x 16 pixels: `bits`; `qp`, quantisers, and `mean_qp`; `levels`,
    sums of absolute quantised coefficients; `intra`, which were predicted from no other picture; `mean_vectors` float32 [R, C, 2] (x, y)
    in quarter pixels, zero where there are none (B slices do not tell theirs), None where they were not asked for. `refused`: why it was
    not read."""

    @property
    def bits(self) -> np.ndarray: ...

    @property
    def qp(self) -> np.ndarray: ...

    @property
    def mean_qp(self) -> float: ...

    @property
    def levels(self) -> np.ndarray: ...

    @property
    def intra(self) -> np.ndarray: ...

    @property
    def mean_vectors(self) -> np.ndarray | None: ...

    @property
    def picture_type(self) -> str: ...

    @property
    def refused(self) -> str: ...

    @property
    def is_whole(self) -> bool: ...


class BlockParser(Protocol):
    """Reads the slice data of one stream. `push`: None where a packet holds no picture, or its parameter sets are not known."""

    def see_parameter_sets(self, nals: Sequence[bytes]) -> None: ...

    def push(self, access_unit: bytes) -> BlockGrids | None: ...


class Headers:
    """What a decoder must know before a keyframe, wherever the sender told it, of one connection. Here: nothing."""

    def complete(self, data: bytes, *, is_key: bool) -> bytes:
        """`data` as a decoder can begin with it, if it is a keyframe."""
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """- `name`: FFmpeg's. `label`: for people. `rtp_name`: encoding name of its RTP payload. `bare_decoder`: FFmpeg's decoder, where it is
      not the one of that name.
    - `has_vectors`, `has_qp`: FFmpeg's decoder tells motion vectors, and quantisers in the steps of H.264. `has_bits`: `new_parser` reads
      the bits of every macroblock.
    - `empty_bytes`: a packet of so many bytes holds nothing. `annexb_filter`: FFmpeg's filter that brings packets to Annex B.
    - `raw_format`: FFmpeg's demuxer of its bare packets, empty where mp4 clips are not made of it; `mp4_tag`: its tag there, where FFmpeg's
      own choice will not do.
    """

    name: str
    label: str
    rtp_name: str = ""
    bare_decoder: str = ""
    has_vectors: bool = False
    has_qp: bool = False
    has_bits: bool = False
    empty_bytes: int = 0
    annexb_filter: str = ""
    raw_format: str = ""
    mp4_tag: str = ""

    @property
    def decoder(self) -> str:
        return self.bare_decoder or self.name

    def is_key(self, data: bytes) -> bool:
        """Whether a packet is a keyframe that FFmpeg does not flag as one."""
        return False

    def is_random_access(self, data: bytes) -> bool:
        """Whether decoding can start at a packet that is no keyframe."""
        return False

    def canonicaliser(self, extradata: bytes) -> Canonicaliser | None:
        """What brings packets to one form; None where they stay as they are."""
        return None

    def headers(self, extradata: bytes) -> Headers:
        """Of a connection whose container told `extradata`."""
        return Headers()

    def parameter_sets(self, data: bytes) -> tuple[bytes, ...]:
        """The sets that a packet brings and slice data depends on."""
        return ()

    def new_parser(self, *, with_motion: bool = False) -> BlockParser:
        """A parser of one stream's slice data. Only where `has_bits`."""
        raise NotImplementedError(f"expected a codec whose slice data is read, got {self.name}")

    def picture_type(self, data: bytes) -> str:
        """P, B or I, by the header of a packet's first slice; empty where nobody reads it."""
        return ""

    def sequence(self, data: bytes) -> SequenceStart | None:
        """What a packet says of itself and those behind it, up to the next that says it; none of them depends on packets before. None of any
        other packet, and of codecs that nobody reads."""
        return None

    def num_slices(self, data: bytes) -> int:
        """Slices of a packet."""
        return 1

    def claims(self, packets: Iterable[bytes]) -> StreamClaims:
        """What the parameter sets among packets say."""
        return StreamClaims()
