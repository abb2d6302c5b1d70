"""Runs of skipped macroblocks (H.264 7.3.4): most of a picture in which little happens, so next to nothing is called for each of them.

In: a reading, at a macroblock whose skip flag or run comes next. Out: the grid, filled up to the next macroblock that is not skipped.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import inlined, leading_zeros_of, lean
from stream.codec.h264.slice_data.arithmetic import TWO, decide, keep, position_of, refilled
from stream.codec.h264.slice_data.bits import (
    ABOVE,
    ADDRESS,
    BEGIN,
    COLUMN,
    END_FLAGS,
    FAILED,
    FIRST,
    LAST_DELTA,
    LEFT,
    MACROBLOCKS,
    NEXT,
    NUM_MBS,
    OFFSET,
    QP,
    RANGE,
    ROOM,
    SLOT,
    TYPE,
    WIDTH,
    WITH_VECTORS,
)
from stream.codec.h264.slice_data.grid import (
    BITS,
    DIRECT,
    INDICES,
    KIND,
    MOTION_X,
    MOTION_Y,
    NUM_CELL,
    NUM_COUNT,
    NUM_MOTION,
    SKIPPED,
    find_neighbours,
    go_on,
    start_macroblock,
)
from stream.codec.h264.slice_data.reading import Reading
from stream.codec.h264.slice_data.slice_header import B_SLICE, P_SLICE
from stream.codec.h264.slice_data.vectors import predict, put

_U = np.uint64
_FIRST_FLAG_P, _FIRST_FLAG_B = 11, 24
"""ctxIdxOffset of mb_skip_flag (table 9-34)."""
_RIGHT, _BOTTOM = 3, 12
"""The blocks of the neighbours that P_Skip looks at: the last of the first row, and the first of the last."""


@inlined
def _is_still(motion: np.ndarray, slot: int, block: int) -> bool:
    """Whether a neighbour's block has refIdx 0 and the vector 0 (8.4.1.1)."""
    first = slot * NUM_MOTION
    index = motion[first + INDICES + (block >> 3) * 2 + (block & 3) // 2]
    return (index | motion[first + 2 * block] | motion[first + 2 * block + 1]) == 0


@lean
def _predict(reading: Reading, address: int, column: int, slot: int, left: int, above: int) -> None:
    """The vector of a P_Skip beside something that moves."""
    state, counts = reading.state, reading.counts
    state[ADDRESS], state[COLUMN], state[SLOT], state[LEFT], state[ABOVE] = address, column, slot, left, above
    x, y = predict(reading, 0, 0, 4, 4, 0)
    put(reading, slot, 0, 0, 4, 4, x, y)
    counts[address * NUM_COUNT + MOTION_X], counts[address * NUM_COUNT + MOTION_Y] = 16 * x, 16 * y


@inlined
def _put(reading: Reading, address: int, column: int, slot: int, left: int, above: int) -> None:
    """A skipped macroblock; `left` and `above`: slots of its neighbours, -1 outside the slice."""
    state, motion = reading.state, reading.motion
    start_macroblock(reading, address, slot, SKIPPED | DIRECT if state[TYPE] == B_SLICE else SKIPPED, state[QP])
    if not state[WITH_VECTORS]:
        return
    for quarter in range(4):
        motion[slot * NUM_MOTION + INDICES + quarter] = 0
    if left >= 0 and above >= 0 and not _is_still(motion, left, _RIGHT) and not _is_still(motion, above, _BOTTOM):
        _predict(reading, address, column, slot, left, above)


@lean
def skip_by_run(reading: Reading, run: int, bits: int) -> None:
    """mb_skip_run of CAVLC, which is charged to the first."""
    state = reading.state
    state[MACROBLOCKS] += bits
    for _ in range(run):
        _put(reading, state[ADDRESS], state[COLUMN], state[SLOT], state[LEFT], state[ABOVE])
        reading.counts[state[ADDRESS] * NUM_COUNT + BITS] = bits
        bits = 0
        go_on(state)


@lean
def skip_by_flags(reading: Reading, stop: int) -> bool:
    """mb_skip_flag and end_of_slice_flag of CABAC, until one is not set: true at the end of the slice. The arithmetic decoder stays in
    registers. `BEGIN`: the bits in front of the macroblock that is not skipped."""
    state, contexts, cells = reading.state, reading.contexts, reading.cells
    first_flag = _FIRST_FLAG_P if state[TYPE] == P_SLICE else _FIRST_FLAG_B
    address, column, slot, width, first = state[ADDRESS], state[COLUMN], state[SLOT], state[WIDTH], state[FIRST]
    num_mbs, room, end_flags = state[NUM_MBS], state[ROOM], state[END_FLAGS]
    range_, offset, at = _U(state[RANGE]), _U(state[OFFSET]), state[NEXT]
    begin = position_of(offset, at)
    bits, is_last = 0, False
    while address < num_mbs:
        left = slot - 1 if column > 0 and address > first else -1
        above = slot - width if slot >= width else slot - width + room
        above = above if address - width >= first else -1
        a = left >= 0 and cells[left * NUM_CELL + KIND] & SKIPPED == 0
        b = above >= 0 and cells[above * NUM_CELL + KIND] & SKIPPED == 0
        context = np.uintp(first_flag + int(a) + int(b))
        bit, contexts[context], range_, offset = decide(contexts, contexts[context], range_, offset)
        offset, at = refilled(reading, offset, at)
        if not bit:
            break
        end = position_of(offset, at)
        _put(reading, address, column, slot, left, above)
        state[LAST_DELTA] = 0
        range_ -= TWO
        is_other = offset >= range_
        if not is_other:
            shift = leading_zeros_of(range_)
            range_ <<= shift
            offset, at = refilled(reading, offset << shift, at)
        after = position_of(offset, at)
        if after > stop + 1:
            state[FAILED] = 1
            break
        reading.counts[address * NUM_COUNT + BITS] = end - begin
        bits += end - begin
        begin, end_flags, is_last = after, end_flags + after - end, is_other
        address, column, slot = address + 1, column + 1, slot + 1
        if column == width:
            column = 0
            slot = 0 if slot == room else slot
        if is_last:
            break
    keep(state, range_, offset, at)
    state[BEGIN], state[END_FLAGS] = begin, end_flags
    state[MACROBLOCKS] += bits
    state[ADDRESS], state[COLUMN], state[SLOT] = address, column, slot
    find_neighbours(state)
    return is_last
