"""What is known of the macroblocks of one picture while its slices are read, and who is whose neighbour.

In: a picture's size in macroblocks. Out: arrays; compiled look-ups for contexts and nC.

- `cells` uint8 [slots * NUM_CELL]: `KIND`, `CBP` (CodedBlockPattern), `FLAGS`; from `TOTALS` on the coefficients of each of 24 blocks; from
  `REFS` on whether refIdx is above 0, by list and quarter; from `DIFFERENCES` on |mvd|, by list, block, and x or y.
- `motion` int16 [slots * NUM_MOTION]: list 0 vectors of 16 blocks (x, y), then refIdx of four quarters (-1: none); of P slices.
- `counts` int32 [N * NUM_COUNT] by macroblock address: `SLICE` (the number of the slice that it was read in), `BITS`, `SUM` of absolute levels,
  `MB_QP`, `KINDS` (its `KIND`), `MOTION_X` and `MOTION_Y` (sums of the vectors of its 16 blocks).

Nobody looks further up than one row, so two rows of slots, used in turn, are enough, and stay in the nearest cache; all rows have their own
where all vectors are wanted.

Blocks within a macroblock are counted in raster order: luma 4x4 block (x, y) is y * 4 + x, chroma block 16 + 4 * component + y * 2 + x.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import compiled, inlined, lean
from stream.codec.h264.slice_data.bits import ABOVE, ADDRESS, COLUMN, FIRST, HAS_MOTION, LEFT, NUMBER, ROOM, SLOT, WIDTH
from stream.codec.h264.slice_data.reading import Reading

INTRA_BLOCKS, INTRA_16, PCM, SKIPPED, DIRECT, INTER = 1, 2, 4, 8, 16, 32
"""Bits of `KIND`: I_NxN; Intra_16x16; I_PCM; P_Skip and B_Skip; B_Skip and B_Direct_16x16; has vectors of its own."""
INTRA = INTRA_BLOCKS | INTRA_16 | PCM
LUMA_DC, CB_DC, CR_DC, EIGHT = 1, 2, 4, 8
"""Bits of `FLAGS`: coded_block_flag of each DC block; transform_size_8x8_flag. Above them: intra_chroma_pred_mode."""
MODE_SHIFT = 4
MOST_DIFFERENCE = 127
"""Vector differences are kept up to here; contexts tell none apart above 32 (9.3.3.1.1.7)."""


KIND, CBP, FLAGS, TOTALS, REFS, DIFFERENCES, NUM_CELL = 0, 1, 2, 8, 32, 40, 104
SLICE, BITS, SUM, MB_QP, KINDS, MOTION_X, MOTION_Y, NUM_COUNT = range(8)
NUM_BLOCKS, INDICES, NUM_MOTION = 16, 32, 36
"""Blocks with vectors in `motion`, and the first refIdx."""
ROWS_IN_USE = 2


def new_grid(
    columns: int, rows: int, *, with_motion: bool, keeps_rows: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells, counts and motion of pictures of so many macroblocks; motion is empty unless it is wanted."""
    slots = columns * (rows if keeps_rows else ROWS_IN_USE)
    motion = np.zeros(slots * NUM_MOTION if with_motion else 0, np.int16)
    return np.zeros(slots * NUM_CELL, np.uint8), np.full(columns * rows * NUM_COUNT, -1, np.int32), motion


@lean
def get(reading: Reading, slot: int, place: int) -> int:
    """One number of a cell."""
    return np.int64(reading.cells[slot * NUM_CELL + place])


@lean
def set_cell(reading: Reading, slot: int, place: int, value: int) -> None:
    """Write one."""
    reading.cells[slot * NUM_CELL + place] = value


@inlined
def start_macroblock(reading: Reading, address: int, slot: int, kind: int, qp: int) -> None:
    """One with nothing in it yet."""
    state, counts, first = reading.state, reading.counts, address * NUM_COUNT
    counts[first + SLICE], counts[first + BITS], counts[first + SUM], counts[first + MB_QP] = state[NUMBER], 0, 0, qp
    counts[first + KINDS], counts[first + MOTION_X], counts[first + MOTION_Y] = kind, 0, 0
    for place in range(REFS):
        set_cell(reading, slot, place, 0)
    set_cell(reading, slot, KIND, kind)
    if state[HAS_MOTION]:
        for place in range(INDICES):
            reading.motion[slot * NUM_MOTION + place] = 0
        for place in range(INDICES, NUM_MOTION):
            reading.motion[slot * NUM_MOTION + place] = -1


@lean
def above_right_of(state: np.ndarray) -> int:
    """Slot of mbAddrC (6.4.9): -1 outside the slice."""
    is_there = state[COLUMN] + 1 < state[WIDTH] and state[ADDRESS] - state[WIDTH] + 1 >= state[FIRST]
    return _row_above(state, state[SLOT] + 1) if is_there else -1


@lean
def above_left_of(state: np.ndarray) -> int:
    """Slot of mbAddrD."""
    is_there = state[COLUMN] > 0 and state[ADDRESS] - state[WIDTH] - 1 >= state[FIRST]
    return _row_above(state, state[SLOT] - 1) if is_there else -1


@inlined
def _row_above(state: np.ndarray, slot: int) -> int:
    above = slot - state[WIDTH]
    return above if above >= 0 else above + state[ROOM]


@lean
def enter(state: np.ndarray, address: int) -> None:
    """The next macroblock to be read is `address`, whose column and slot follow from that of the slice's first."""
    width = state[WIDTH]
    state[ADDRESS], state[COLUMN], state[SLOT] = address, address % width, address % state[ROOM]
    find_neighbours(state)


@lean
def find_neighbours(state: np.ndarray) -> None:
    """mbAddrA and mbAddrB. Macroblocks of a slice follow each other, so those from its first on are there."""
    state[LEFT] = state[SLOT] - 1 if state[COLUMN] > 0 and state[ADDRESS] > state[FIRST] else -1
    state[ABOVE] = _row_above(state, state[SLOT]) if state[ADDRESS] - state[WIDTH] >= state[FIRST] else -1


@lean
def go_on(state: np.ndarray) -> None:
    """To the next macroblock."""
    state[ADDRESS] += 1
    state[COLUMN] += 1
    state[SLOT] += 1
    if state[COLUMN] == state[WIDTH]:
        state[COLUMN] = 0
        if state[SLOT] == state[ROOM]:
            state[SLOT] = 0
    find_neighbours(state)


@lean
def predicted_total(reading: Reading, x: int, y: int) -> int:
    """nC of luma block (x, y) (9.2.1)."""
    state = reading.state
    slot, left, above = state[SLOT], state[LEFT], state[ABOVE]
    total, num = 0, 0
    if x > 0:
        total, num = get(reading, slot, TOTALS + 4 * y + x - 1), 1
    elif left >= 0:
        total, num = get(reading, left, TOTALS + 4 * y + 3), 1
    if y > 0:
        total, num = total + get(reading, slot, TOTALS + 4 * y - 4 + x), num + 1
    elif above >= 0:
        total, num = total + get(reading, above, TOTALS + 12 + x), num + 1
    return (total + 1) >> 1 if num == 2 else total


@lean
def predicted_chroma_total(reading: Reading, component: int, x: int, y: int) -> int:
    """nC of chroma AC block (x, y)."""
    state = reading.state
    slot, left, above = state[SLOT], state[LEFT], state[ABOVE]
    total, num, base = 0, 0, TOTALS + 16 + 4 * component
    if x > 0:
        total, num = get(reading, slot, base + 2 * y), 1
    elif left >= 0:
        total, num = get(reading, left, base + 2 * y + 1), 1
    if y > 0:
        total, num = total + get(reading, slot, base + x), num + 1
    elif above >= 0:
        total, num = total + get(reading, above, base + 2 + x), num + 1
    return (total + 1) >> 1 if num == 2 else total


@lean
def block_flag_increment(reading: Reading, x: int, y: int) -> int:
    """ctxIdxInc of coded_block_flag of luma block (x, y) (9.3.3.1.1.9)."""
    state = reading.state
    slot, left, above = state[SLOT], state[LEFT], state[ABOVE]
    outside = get(reading, slot, KIND) & INTRA != 0
    if x > 0:
        a = get(reading, slot, TOTALS + 4 * y + x - 1) != 0
    else:
        a = get(reading, left, TOTALS + 4 * y + 3) != 0 if left >= 0 else outside
    if y > 0:
        b = get(reading, slot, TOTALS + 4 * y - 4 + x) != 0
    else:
        b = get(reading, above, TOTALS + 12 + x) != 0 if above >= 0 else outside
    return int(a) + 2 * int(b)


@lean
def chroma_flag_increment(reading: Reading, component: int, x: int, y: int) -> int:
    """The same of chroma AC block (x, y)."""
    state = reading.state
    slot, left, above = state[SLOT], state[LEFT], state[ABOVE]
    outside, base = get(reading, slot, KIND) & INTRA != 0, TOTALS + 16 + 4 * component
    if x > 0:
        a = get(reading, slot, base + 2 * y) != 0
    else:
        a = get(reading, left, base + 2 * y + 1) != 0 if left >= 0 else outside
    if y > 0:
        b = get(reading, slot, base + x) != 0
    else:
        b = get(reading, above, base + 2 + x) != 0 if above >= 0 else outside
    return int(a) + 2 * int(b)


@lean
def dc_flag_increment(reading: Reading, flag: int) -> int:
    """The same of a DC block; `flag` is its bit in `FLAGS`."""
    state = reading.state
    left, above = state[LEFT], state[ABOVE]
    outside = get(reading, state[SLOT], KIND) & INTRA != 0
    a = get(reading, left, FLAGS) & flag != 0 if left >= 0 else outside
    b = get(reading, above, FLAGS) & flag != 0 if above >= 0 else outside
    return int(a) + 2 * int(b)


@lean
def difference_increment(reading: Reading, place: int, x: int, y: int) -> int:
    """Sum of |mvd| left of and above block (x, y); `place` is 32 * list + component (9.3.3.1.1.7)."""
    state = reading.state
    slot, left, above, base = state[SLOT], state[LEFT], state[ABOVE], DIFFERENCES + place
    total = 0
    if x > 0:
        total = get(reading, slot, base + 2 * (4 * y + x - 1))
    elif left >= 0 and get(reading, left, KIND) & INTER:
        total = get(reading, left, base + 2 * (4 * y + 3))
    if y > 0:
        total += get(reading, slot, base + 2 * (4 * y - 4 + x))
    elif above >= 0 and get(reading, above, KIND) & INTER:
        total += get(reading, above, base + 2 * (12 + x))
    return total


@lean
def reference_increment(reading: Reading, which: int, x: int, y: int) -> int:
    """ctxIdxInc of ref_idx of the quarter (x, y) of list `which` (9.3.3.1.1.6)."""
    state = reading.state
    slot, left, above, base = state[SLOT], state[LEFT], state[ABOVE], REFS + 4 * which
    a = b = 0
    if x > 0:
        a = get(reading, slot, base + 2 * y)
    elif left >= 0 and get(reading, left, KIND) & INTER:
        a = get(reading, left, base + 2 * y + 1)
    if y > 0:
        b = get(reading, slot, base + x)
    elif above >= 0 and get(reading, above, KIND) & INTER:
        b = get(reading, above, base + 2 + x)
    return a + 2 * b


@compiled
def collect(
    counts: np.ndarray,
    first_number: int,
    bits: np.ndarray,
    qp: np.ndarray,
    levels: np.ndarray,
    kind: np.ndarray,
    vectors: np.ndarray,
) -> int:
    """What was counted in slices from `first_number` on, into grids [R, C]; zero where none was read. `vectors` float32 [R, C, 2], means over
    the macroblock, or [0, 0, 2]. Returns the sum of the quantisers."""
    (rows, columns), total_qp = bits.shape, 0
    for row in range(rows):
        for column in range(columns):
            first = (row * columns + column) * NUM_COUNT
            share = np.int32(counts[first + SLICE] >= first_number)
            bits[row, column], levels[row, column] = share * counts[first + BITS], share * counts[first + SUM]
            qp[row, column], kind[row, column] = share * counts[first + MB_QP], share * counts[first + KINDS]
            total_qp += share * counts[first + MB_QP]
            if len(vectors):
                vectors[row, column, 0] = np.float32(share * counts[first + MOTION_X]) / np.float32(NUM_BLOCKS)
                vectors[row, column, 1] = np.float32(share * counts[first + MOTION_Y]) / np.float32(NUM_BLOCKS)
    return total_qp
