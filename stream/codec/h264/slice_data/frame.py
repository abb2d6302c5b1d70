"""What the parser tells of one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.codec.h264.slice_data.grid import INTRA, SKIPPED


class SliceBits(NamedTuple):
    """Where the bits of one slice unit went. They add up: `total_bits` of the unit, its first byte and emulation prevention bytes included,
    is the sum of the six parts, unless the slice is damaged.

    - `unit_bits`: the NAL unit's first byte. `header_bits`: slice header, alignment, and start of the arithmetic decoder.
    - `macroblock_bits`: all macroblocks. `flag_bits`: end_of_slice_flag behind each of them (CABAC; a fraction of a bit each, whole bits
      now and then). `trailing_bits`: stop bit, alignment and cabac_zero_words. `emulation_bits`: inserted bytes.
    """

    first_mb: int
    num_mbs: int
    total_bits: int
    header_bits: int
    macroblock_bits: int
    flag_bits: int
    trailing_bits: int
    emulation_bits: int
    damaged: bool
    unit_bits: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class MacroblockFrame:
    """Macroblocks of one coded picture; R rows and C columns cover the coded size, cropping not applied.

    - `bits` int32 [R, C]: bits read for each macroblock, exactly; CABAC by the arithmetic decoder's own position. A CAVLC run of
      skipped ones is charged to its first.
    - `qp` int8 [R, C]: QP_Y; `mean_qp`. `levels` int32 [R, C]: sum of absolute quantised levels. `kind` uint8 [R, C]: bits as in
      `stream.codec.h264.slice_data.grid` (INTRA_BLOCKS, INTRA_16, PCM, SKIPPED, DIRECT, INTER). `skipped` bool [R, C].
    - `mean_vectors` float32 [R, C, 2] (x, y) quarter pixels, mean over the macroblock, 0 where it has none; None unless motion was asked for.
    - `vectors` int16 [R, C, 4, 4, 2] (x, y) quarter pixels and `references` int8 [R, C, 2, 2] (refIdx of list 0, -1 for none) of P
      slices, where they were asked for, else None.
    - `picture_type`: I, P or B; `sequence`, `order`: pictures are displayed by (sequence, order). `is_reference`.
    - `slices`: their bits. `damaged`: something could not be read, or is missing; what was read before is kept, the rest is 0.
    - `refused`: why this picture was not read at all (interlaced, another chroma format...), else empty; all grids are 0 then.
    """

    bits: np.ndarray
    qp: np.ndarray
    levels: np.ndarray
    kind: np.ndarray
    mean_qp: float
    mean_vectors: np.ndarray | None
    vectors: np.ndarray | None
    references: np.ndarray | None
    picture_type: str
    sequence: int
    order: int
    is_reference: bool
    slices: tuple[SliceBits, ...]
    damaged: bool
    refused: str

    @property
    def skipped(self) -> np.ndarray:
        skipped: np.ndarray = (self.kind & SKIPPED) != 0
        return skipped

    @property
    def intra(self) -> np.ndarray:
        intra: np.ndarray = (self.kind & INTRA) != 0
        return intra

    @property
    def is_whole(self) -> bool:
        """Whether the grids can be relied on."""
        return not self.damaged and not self.refused
