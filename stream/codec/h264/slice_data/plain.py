"""Grids of plain pictures, read in one compiled call: most access units of a camera are one slice and nothing else.

In: access units of one H.264 stream in decoding order, Annex B. Out: `PlainGrids`; what `MacroblockParser` gives where a picture has several
slices, brings parameter sets, cannot be read, or is damaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stream.codec.codec import BlockGrids
from stream.codec.compiled import compiled
from stream.codec.h264.annexb import SHORT_CODE, START_CODE, TYPE_MASK, NalType, unescape
from stream.codec.h264.slice_data import slice_header as head
from stream.codec.h264.slice_data.arithmetic import new_contexts
from stream.codec.h264.slice_data.bits import NUM_STATE, PADDING, SIZE
from stream.codec.h264.slice_data.grid import INTRA, collect, new_grid
from stream.codec.h264.slice_data.layer import read_slice
from stream.codec.h264.slice_data.parser import MARK_BITS, MOST_NUMBER, TYPES, MacroblockParser, Sets, size_mbs

_PAD = bytes(PADDING)
_NO_VECTORS = np.zeros((0, 0, 2), np.float32)


class PlainGrids(NamedTuple):
    """`BlockGrids` of a whole picture."""

    bits: np.ndarray
    qp: np.ndarray
    levels: np.ndarray
    intra: np.ndarray
    mean_vectors: np.ndarray | None
    mean_qp: float
    picture_type: str
    refused: str = ""
    is_whole: bool = True


class PlainParser:
    """Reads one stream. Not thread safe. `with_motion`: as of `MacroblockParser`."""

    def __init__(self, *, with_motion: bool = False) -> None:
        self._parser = MacroblockParser(with_motion=with_motion)
        self._with_motion = with_motion
        self._pps_id = 0
        self._size, self._grid, self._number = (0, 0), new_grid(0, 0, with_motion=with_motion), 0
        self._state, self._header = np.zeros(NUM_STATE, np.int64), np.zeros(head.NUM_HEADER, np.int64)
        self._contexts = new_contexts()

    def see_parameter_sets(self, nals: Sequence[bytes]) -> None:
        """As `MacroblockParser.see_parameter_sets`."""
        self._parser.see_parameter_sets(nals)

    def push(self, access_unit: bytes) -> BlockGrids | None:
        """As `MacroblockParser.push`."""
        sets = self._parser.sets_of(self._pps_id) if _is_one_slice(access_unit) else None
        plain = self._read(access_unit, sets) if sets is not None and not sets.unsupported else None
        if plain is not None:
            return plain
        whole = self._parser.push(access_unit)
        self._pps_id = self._parser.pps_id
        return whole

    def _read(self, access_unit: bytes, sets: Sets) -> PlainGrids | None:
        """None where the picture is not plain after all."""
        size = size_mbs(sets.sps)
        if self._size != size or self._number > MOST_NUMBER:
            self._size, self._grid, self._number = size, new_grid(*size, with_motion=self._with_motion), 0
        self._number += 1
        shape = size[1], size[0]
        bits, levels, qp = np.empty(shape, np.int32), np.empty(shape, np.int32), np.empty(shape, np.int8)
        kind, intra = np.empty(shape, np.uint8), np.empty(shape, np.bool_)
        vectors = np.empty((*shape, 2), np.float32) if self._with_motion else _NO_VECTORS
        data = np.frombuffer(unescape(access_unit[len(START_CODE) + 1 :]) + _PAD, np.uint8)
        is_read, total_qp = read_plain(
            data,
            access_unit[len(START_CODE)],
            self._pps_id,
            self._state,
            self._header,
            self._contexts,
            sets.numbers,
            self._grid,
            self._number,
            (bits, qp, levels, kind, intra, vectors),
        )
        if not is_read:
            return None
        picture_type = TYPES[int(self._header[head.SLICE_TYPE])]
        return PlainGrids(bits, qp, levels, intra, vectors if self._with_motion else None, total_qp / qp.size, picture_type)


def _is_one_slice(access_unit: bytes) -> bool:
    """Whether a slice that is no IDR picture is all there is in it."""
    begin = len(START_CODE)
    if not access_unit.startswith(START_CODE) or len(access_unit) == begin:
        return False
    return access_unit[begin] & TYPE_MASK == NalType.SLICE and access_unit.find(SHORT_CODE, begin) < 0


@compiled
def read_plain(
    data: np.ndarray,
    nal: int,
    pps_id: int,
    state: np.ndarray,
    header: np.ndarray,
    contexts: np.ndarray,
    numbers: np.ndarray,
    grid: tuple[np.ndarray, np.ndarray, np.ndarray],
    number: int,
    grids: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> tuple[bool, int]:
    """The one slice of a picture: whether it is read, undamaged and whole, and the sum of the quantisers.

    `data`: its payload, padded; `nal`: the unit's first byte; `numbers`: of the sets of `pps_id`. `grid`: cells, counts, motion. `grids`,
    written: bits, quantisers, levels, kinds, intra, mean vectors."""
    (cells, counts, motion), (bits, qp, levels, kind, intra, vectors) = grid, grids
    state[:] = 0
    state[SIZE] = len(data)
    if not head.read_start(data, state, header) or header[head.PPS_ID] != pps_id or header[head.FIRST_MB] != 0:
        return False, 0
    slice_type = header[head.SLICE_TYPE]
    if slice_type == head.SP_SLICE or slice_type == head.SI_SLICE:
        return False, 0
    if not head.read_rest(data, state, numbers, nal, header) or header[head.FIELD] or header[head.REDUNDANT_COUNT]:
        return False, 0
    last = len(data) - PADDING - 1
    while last >= 0 and data[last] == 0:
        last -= 1
    stop = 0
    if last >= 0:
        stop = 8 * last + 7
        while not data[last] >> (8 * last + 7 - stop) & 1:
            stop -= 1
    end, _, at = read_slice(data, state, contexts, numbers, header, cells, counts, motion, number, stop)
    if not 0 <= stop - at < (MARK_BITS if numbers[head.CABAC] else 1) or end != bits.size:
        return False, 0
    total_qp = collect(counts, number, bits, qp, levels, kind, vectors)
    for row in range(kind.shape[0]):
        for column in range(kind.shape[1]):
            intra[row, column] = kind[row, column] & INTRA != 0
    return True, total_qp
