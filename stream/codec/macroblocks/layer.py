"""Slice data and the macroblock layer (H.264 7.3.4, 7.3.5): every syntax element is read, no picture is made.

In: a payload, its slice header, a grid. Out: the grid, filled for the macroblocks of the slice. All loops are bounded by the picture's size
or by the standard's own limits, so that damaged data end in `FAILED`, never in a read out of bounds.

Functions take what `bits` and `grid` describe: payload, state, contexts, cells, counts, motion; from `read_slice` on as bare pointers. An
array is seven numbers to Numba, and is counted: with many small functions that cost more than the work itself. With NUMBA_BOUNDSCHECK=1
the same functions get the arrays, and every index is looked at.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import lean, pointer_to
from stream.codec.macroblocks import arithmetic, elements, vlc
from stream.codec.macroblocks import slice_header as head
from stream.codec.macroblocks.bits import (
    ABOVE,
    ADDRESS,
    AT,
    END_FLAGS,
    FAILED,
    HAS_CHROMA,
    INFERENCE,
    IS_CABAC,
    LAST_DELTA,
    LEFT,
    LEVELS,
    NUM_MBS,
    NUM_REF_0,
    NUM_REF_1,
    NUMBER,
    QP,
    TRANSFORM_8X8,
    TYPE,
    WIDTH,
    WITH_VECTORS,
    ue,
)
from stream.codec.macroblocks.grid import (
    BITS,
    CB_DC,
    CBP,
    CR_DC,
    DIFFERENCES,
    DIRECT,
    EIGHT,
    FLAGS,
    INDICES,
    INTER,
    INTRA_16,
    INTRA_BLOCKS,
    KIND,
    LUMA_DC,
    MB_QP,
    MODE_SHIFT,
    MOST_DIFFERENCE,
    NUM_CELL,
    NUM_COUNT,
    NUM_MOTION,
    PCM,
    REFS,
    SKIPPED,
    SLICE,
    SUM,
    TOTALS,
    above_of,
    block_flag_increment,
    chroma_flag_increment,
    dc_flag_increment,
    difference_increment,
    get,
    left_of,
    predicted_chroma_total,
    predicted_total,
    reference_increment,
    set_cell,
)
from stream.codec.macroblocks.vectors import predict, predict_skipped, put

P, B, I = head.P_SLICE, head.B_SLICE, head.I_SLICE  # noqa: E741
_PCM_BITS, _PCM_GREY_BITS = 384 * 8, 256 * 8
_PCM_TOTAL = 16
"""Coefficients that neighbours of samples as they are count with (9.2.1)."""
_MOST_VECTOR = 1 << 13
"""Quarter pixels; level 6.2 allows 8192 down and 8192 across (A.3.1, table A-1)."""

_B_PARTS = np.array(
    # lists of each partition (1: list 0, 2: list 1, 3: both), and the shape: 0 is 16x16, 1 is 16x8, 2 is 8x16
    [(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0), (1, 1, 1), (1, 1, 2), (2, 2, 1), (2, 2, 2), (1, 2, 1), (1, 2, 2), (2, 1, 1), (2, 1, 2),
     (1, 3, 1), (1, 3, 2), (2, 3, 1), (2, 3, 2), (3, 1, 1), (3, 1, 2), (3, 2, 1), (3, 2, 2), (3, 3, 1), (3, 3, 2)],
    np.int64,
)  # fmt: skip
"""mb_type 0 to 21 of B slices (table 7-14)."""
_B_SUB_LISTS = np.array([0, 1, 2, 3, 1, 1, 2, 2, 3, 3, 1, 2, 3], np.int64)
_B_SUB_SHAPES = np.array([0, 0, 0, 0, 1, 2, 1, 2, 1, 2, 3, 3, 3], np.int64)
"""Lists and shape (8x8, 8x4, 4x8, 4x4) of sub_mb_type of B slices (table 7-18); 0 is direct."""


@lean
def _start(state: np.ndarray, cells: np.ndarray, counts: np.ndarray, address: int, kind: int, qp: int) -> None:
    """A macroblock with nothing in it yet."""
    first = address * NUM_COUNT
    counts[first + SLICE], counts[first + SUM], counts[first + MB_QP] = state[NUMBER], 0, qp
    for place in range(REFS):
        set_cell(cells, address, place, 0)
    set_cell(cells, address, KIND, kind)


@lean
def _skip_vector(state: np.ndarray, counts: np.ndarray, motion: np.ndarray) -> None:
    """Vector of P_Skip."""
    address = state[ADDRESS]
    x, y = predict_skipped(state, counts, motion)
    for quarter in range(4):
        motion[address * NUM_MOTION + INDICES + quarter] = 0
    put(motion, address, 0, 0, 4, 4, x, y)


@lean
def _pcm(data: np.ndarray, state: np.ndarray, cells: np.ndarray, counts: np.ndarray) -> None:
    """I_PCM: samples as they are, from the next whole byte on."""
    address = state[ADDRESS]
    _start(state, cells, counts, address, PCM, 0)
    size = _PCM_BITS if state[HAS_CHROMA] else _PCM_GREY_BITS
    if state[IS_CABAC]:
        end = ((arithmetic.position(state) + 7) >> 3) + (size >> 3)
        arithmetic.start_engine(data, state, end)
    else:
        state[AT] = ((state[AT] + 7) & ~7) + size
    set_cell(cells, address, CBP, 0x2F)
    set_cell(cells, address, FLAGS, LUMA_DC | CB_DC | CR_DC)
    for place in range(TOTALS, REFS):
        set_cell(cells, address, place, _PCM_TOTAL)
    state[LAST_DELTA] = 0


@lean
def _read_difference(
    data: np.ndarray,
    state: np.ndarray,
    contexts: np.ndarray,
    cells: np.ndarray,
    counts: np.ndarray,
    motion: np.ndarray,
    which: int,
    box: tuple[int, int, int, int],
) -> None:
    """mvd of one partition; `box` is its place and size in blocks."""
    address, (x, y, width, height), place = state[ADDRESS], box, 32 * which
    sum_x = sum_y = 0
    if state[IS_CABAC]:
        sum_x = difference_increment(state, cells, place, x, y)
        sum_y = difference_increment(state, cells, place + 1, x, y)
    difference_x = elements.difference(data, state, contexts, 0, sum_x)
    difference_y = elements.difference(data, state, contexts, 1, sum_y)
    if abs(difference_x) > 2 * _MOST_VECTOR or abs(difference_y) > 2 * _MOST_VECTOR:
        state[FAILED] = 1
        return
    if state[IS_CABAC]:
        far_x, far_y = min(abs(difference_x), MOST_DIFFERENCE), min(abs(difference_y), MOST_DIFFERENCE)
        for row in range(y, y + height):
            for column in range(x, x + width):
                set_cell(cells, address, DIFFERENCES + place + 2 * (4 * row + column), far_x)
                set_cell(cells, address, DIFFERENCES + place + 2 * (4 * row + column) + 1, far_y)
    if state[WITH_VECTORS]:
        index = motion[address * NUM_MOTION + INDICES + (y >> 1) * 2 + (x >> 1)]
        vector_x, vector_y = predict(state, counts, motion, x, y, width, height, index)
        put(motion, address, x, y, width, height, vector_x + difference_x, vector_y + difference_y)


@lean
def _read_reference(
    data: np.ndarray,
    state: np.ndarray,
    contexts: np.ndarray,
    cells: np.ndarray,
    motion: np.ndarray,
    which: int,
    box: tuple[int, int, int, int],
    is_read: bool,
) -> None:
    """ref_idx of the partition `box` (place and size in quarters), where it is in the stream."""
    address, (x, y, width, height), index = state[ADDRESS], box, 0
    num_refs = state[NUM_REF_1] if which else state[NUM_REF_0]
    if num_refs > 1 and is_read:
        increment = reference_increment(state, cells, which, x, y) if state[IS_CABAC] else 0
        index = elements.reference_index(data, state, contexts, num_refs, increment)
    for row in range(y, y + height):
        for column in range(x, x + width):
            set_cell(cells, address, REFS + 4 * which + 2 * row + column, index > 0)
            if state[WITH_VECTORS]:
                motion[address * NUM_MOTION + INDICES + 2 * row + column] = index


@lean
def _read_parts(
    data: np.ndarray,
    state: np.ndarray,
    contexts: np.ndarray,
    cells: np.ndarray,
    counts: np.ndarray,
    motion: np.ndarray,
    shape: int,
    lists: tuple[int, int],
) -> None:
    """Reference indices and vectors of 16x16, 16x8 and 8x16 partitions; `lists` of the first and second one."""
    num_parts, num_lists = 1 if shape == 0 else 2, 2 if state[TYPE] == B else 1
    wide, high = 1 if shape == 2 else 2, 1 if shape == 1 else 2
    for which in range(num_lists):
        for number in range(num_parts):
            if lists[number] >> which & 1:
                x, y = number if shape == 2 else 0, number if shape == 1 else 0
                _read_reference(data, state, contexts, cells, motion, which, (x, y, wide, high), True)
    for which in range(num_lists):
        for number in range(num_parts):
            if lists[number] >> which & 1:
                x, y = number if shape == 2 else 0, number if shape == 1 else 0
                box = (2 * x, 2 * y, 2 * wide, 2 * high)
                _read_difference(data, state, contexts, cells, counts, motion, which, box)


@lean
def _read_quarters(
    data: np.ndarray,
    state: np.ndarray,
    contexts: np.ndarray,
    cells: np.ndarray,
    counts: np.ndarray,
    motion: np.ndarray,
    with_references: bool,
) -> bool:
    """sub_mb_pred of P_8x8 and B_8x8 (7.3.5.2); True when a transform of 8x8 may follow."""
    is_b = state[TYPE] == B
    may_be_eight, num_lists, all_lists, all_shapes = True, 2 if is_b else 1, 0, 0
    for quarter in range(4):
        kind = elements.sub_mb_type(data, state, contexts)
        if kind >= (len(_B_SUB_LISTS) if is_b else 4):
            state[FAILED] = 1
            return False
        lists, shape = (_B_SUB_LISTS[kind], _B_SUB_SHAPES[kind]) if is_b else (np.int64(1), np.int64(kind))
        all_lists |= lists << 2 * quarter
        all_shapes |= shape << 2 * quarter
        may_be_eight = may_be_eight and (state[INFERENCE] != 0 if lists == 0 else shape == 0)
    for which in range(num_lists):
        for quarter in range(4):
            if all_lists >> 2 * quarter + which & 1:
                box = (quarter & 1, quarter >> 1, 1, 1)
                _read_reference(data, state, contexts, cells, motion, which, box, with_references)
    for which in range(num_lists):
        for quarter in range(4):
            if all_lists >> 2 * quarter + which & 1 == 0:
                continue
            left, top = 2 * (quarter & 1), 2 * (quarter >> 1)
            shape = all_shapes >> 2 * quarter & 3
            wide, high = 1 if shape & 2 else 2, 1 if shape & 1 else 2
            for y in range(top, top + 2, high):
                for x in range(left, left + 2, wide):
                    _read_difference(data, state, contexts, cells, counts, motion, which, (x, y, wide, high))
    return may_be_eight


@lean
def _luma_cavlc(data: np.ndarray, state: np.ndarray, cells: np.ndarray) -> None:
    """residual_luma (7.3.5.3.1)."""
    address, most = state[ADDRESS], 16
    if get(cells, address, KIND) & INTRA_16:
        vlc.residual_block(data, state, predicted_total(state, cells, 0, 0), 16)
        most = 15
    cbp = get(cells, address, CBP)
    for quarter in range(4):
        if cbp >> quarter & 1:
            left, top = 2 * (quarter & 1), 2 * (quarter >> 1)
            for y in range(top, top + 2):
                for x in range(left, left + 2):
                    total = vlc.residual_block(data, state, predicted_total(state, cells, x, y), most)
                    set_cell(cells, address, TOTALS + 4 * y + x, total)


@lean
def _luma_cabac(data: np.ndarray, state: np.ndarray, contexts: np.ndarray, cells: np.ndarray) -> None:
    """The same."""
    address, category = state[ADDRESS], arithmetic.LUMA_4X4
    if get(cells, address, KIND) & INTRA_16:
        category = arithmetic.I16_AC
        increment = dc_flag_increment(state, cells, LUMA_DC)
        if arithmetic.coded_block_flag(data, state, contexts, arithmetic.I16_DC, increment):
            arithmetic.residual_block(data, state, contexts, arithmetic.I16_DC)
            set_cell(cells, address, FLAGS, get(cells, address, FLAGS) | LUMA_DC)
    cbp, eight = get(cells, address, CBP), get(cells, address, FLAGS) & EIGHT != 0
    for quarter in range(4):
        if not cbp >> quarter & 1:
            continue
        left, top = 2 * (quarter & 1), 2 * (quarter >> 1)
        total = arithmetic.residual_block(data, state, contexts, arithmetic.LUMA_8X8) if eight else 0
        for y in range(top, top + 2):
            for x in range(left, left + 2):
                if not eight:
                    increment = block_flag_increment(state, cells, x, y)
                    total = arithmetic.coded_block_flag(data, state, contexts, category, increment)
                    if total:
                        total = arithmetic.residual_block(data, state, contexts, category)
                set_cell(cells, address, TOTALS + 4 * y + x, total)


@lean
def _chroma_cavlc(data: np.ndarray, state: np.ndarray, cells: np.ndarray) -> None:
    """Chroma DC and AC of 4:2:0."""
    address = state[ADDRESS]
    vlc.residual_block(data, state, vlc.CHROMA_DC, 4)
    vlc.residual_block(data, state, vlc.CHROMA_DC, 4)
    if get(cells, address, CBP) & 0x20:
        for block in range(8):
            nc = predicted_chroma_total(state, cells, block >> 2, block & 1, block >> 1 & 1)
            set_cell(cells, address, TOTALS + 16 + block, vlc.residual_block(data, state, nc, 15))


@lean
def _chroma_cabac(data: np.ndarray, state: np.ndarray, contexts: np.ndarray, cells: np.ndarray) -> None:
    """The same."""
    address = state[ADDRESS]
    for flag in (CB_DC, CR_DC):
        increment = dc_flag_increment(state, cells, flag)
        if arithmetic.coded_block_flag(data, state, contexts, arithmetic.CHROMA_DC, increment):
            arithmetic.residual_block(data, state, contexts, arithmetic.CHROMA_DC)
            set_cell(cells, address, FLAGS, get(cells, address, FLAGS) | flag)
    if get(cells, address, CBP) & 0x20:
        for block in range(8):
            increment = chroma_flag_increment(state, cells, block >> 2, block & 1, block >> 1 & 1)
            total = arithmetic.coded_block_flag(data, state, contexts, arithmetic.CHROMA_AC, increment)
            if total:
                total = arithmetic.residual_block(data, state, contexts, arithmetic.CHROMA_AC)
            set_cell(cells, address, TOTALS + 16 + block, total)


@lean
def _residual(data: np.ndarray, state: np.ndarray, contexts: np.ndarray, cells: np.ndarray, counts: np.ndarray) -> None:
    """mb_qp_delta and residual."""
    address = state[ADDRESS]
    delta = elements.qp_delta(data, state, contexts)
    state[LAST_DELTA], state[LEVELS] = delta, 0
    state[QP] = (state[QP] + delta + 52) % 52
    counts[address * NUM_COUNT + MB_QP] = state[QP]
    has_chroma = state[HAS_CHROMA] != 0 and get(cells, address, CBP) & 0x30 != 0
    if state[IS_CABAC]:
        _luma_cabac(data, state, contexts, cells)
        if has_chroma:
            _chroma_cabac(data, state, contexts, cells)
    else:
        _luma_cavlc(data, state, cells)
        if has_chroma:
            _chroma_cavlc(data, state, cells)
    counts[address * NUM_COUNT + SUM] = state[LEVELS]


@lean
def _intra(
    data: np.ndarray,
    state: np.ndarray,
    contexts: np.ndarray,
    cells: np.ndarray,
    counts: np.ndarray,
    motion: np.ndarray,
    mb_type: int,
) -> None:
    """An intra macroblock; `mb_type` as table 7-11 counts."""
    address = state[ADDRESS]
    if mb_type > elements.I_PCM:
        state[FAILED] = 1
        return
    if mb_type == elements.I_PCM:
        _pcm(data, state, cells, counts)
        return
    _start(state, cells, counts, address, INTRA_16 if mb_type else INTRA_BLOCKS, state[QP])
    if mb_type == 0:
        eight = state[TRANSFORM_8X8] != 0 and elements.transform_flag(data, state, contexts, cells) != 0
        if eight:
            set_cell(cells, address, FLAGS, EIGHT)
        elements.skip_intra_modes(data, state, contexts, 4 if eight else 16)
    if state[HAS_CHROMA]:
        mode = elements.chroma_mode(data, state, contexts, cells)
        if mode > 3:
            state[FAILED] = 1
            return
        set_cell(cells, address, FLAGS, get(cells, address, FLAGS) | mode << MODE_SHIFT)
    if mb_type:
        set_cell(cells, address, CBP, ((mb_type - 1) // 4 % 3) << 4 | (15 if mb_type >= 13 else 0))
    else:
        set_cell(cells, address, CBP, elements.coded_block_pattern(data, state, contexts, cells, False))
    if mb_type or get(cells, address, CBP):
        _residual(data, state, contexts, cells, counts)
    else:
        state[LAST_DELTA] = 0


@lean
def _inter(
    data: np.ndarray,
    state: np.ndarray,
    contexts: np.ndarray,
    cells: np.ndarray,
    counts: np.ndarray,
    motion: np.ndarray,
    mb_type: int,
) -> None:
    """An inter macroblock; `mb_type` as table 7-13 or 7-14 counts."""
    address, is_b = state[ADDRESS], state[TYPE] == B
    is_direct = is_b and mb_type == 0
    _start(state, cells, counts, address, DIRECT if is_direct else INTER, state[QP])
    may_be_eight = True
    if is_direct:
        may_be_eight = state[INFERENCE] != 0
    else:
        for place in range(REFS, NUM_CELL):
            set_cell(cells, address, place, 0)
        if mb_type >= (elements.B_8X8 if is_b else 3):
            with_references = is_b or mb_type == 3
            may_be_eight = _read_quarters(data, state, contexts, cells, counts, motion, with_references)
        elif is_b:
            lists = (_B_PARTS[mb_type, 0], _B_PARTS[mb_type, 1])
            _read_parts(data, state, contexts, cells, counts, motion, _B_PARTS[mb_type, 2], lists)
        else:
            _read_parts(data, state, contexts, cells, counts, motion, mb_type, (np.int64(1), np.int64(1)))
    if state[FAILED]:
        return
    cbp = elements.coded_block_pattern(data, state, contexts, cells, True)
    set_cell(cells, address, CBP, cbp)
    may_be_eight = may_be_eight and cbp & 15 != 0 and state[TRANSFORM_8X8] != 0
    if may_be_eight and elements.transform_flag(data, state, contexts, cells):
        set_cell(cells, address, FLAGS, get(cells, address, FLAGS) | EIGHT)
    if cbp:
        _residual(data, state, contexts, cells, counts)
    else:
        state[LAST_DELTA] = 0


@lean
def _macroblock(
    data: np.ndarray, state: np.ndarray, contexts: np.ndarray, cells: np.ndarray, counts: np.ndarray, motion: np.ndarray
) -> None:
    """macroblock_layer."""
    mb_type = elements.mb_type(data, state, contexts, cells)
    first_intra = elements.P_INTRA if state[TYPE] == P else elements.B_INTRA if state[TYPE] == B else 0
    if mb_type >= first_intra:
        _intra(data, state, contexts, cells, counts, motion, mb_type - first_intra)
    else:
        _inter(data, state, contexts, cells, counts, motion, mb_type)


@lean
def _slice_cavlc(
    data: np.ndarray,
    state: np.ndarray,
    contexts: np.ndarray,
    cells: np.ndarray,
    counts: np.ndarray,
    motion: np.ndarray,
    stop: int,
) -> None:
    """Macroblocks until the stop bit, at bit `stop`. A run of skipped ones is charged to its first. `ADDRESS` ends behind the last."""
    num_mbs, skipped = state[NUM_MBS], SKIPPED | DIRECT if state[TYPE] == B else SKIPPED
    while state[ADDRESS] < num_mbs:
        begin = state[AT]
        if state[TYPE] != I:
            run = ue(data, state)
            if run > num_mbs - state[ADDRESS] or state[FAILED]:
                break
            for number in range(run):
                address = state[ADDRESS]
                _start(state, cells, counts, address, skipped, state[QP])
                counts[address * NUM_COUNT + BITS] = state[AT] - begin if number == 0 else 0
                if state[WITH_VECTORS]:
                    _skip_vector(state, counts, motion)
                state[ADDRESS] = address + 1
            if run:
                begin = state[AT]
            if state[AT] >= stop:
                return
            if state[ADDRESS] >= num_mbs:
                break
        address = state[ADDRESS]
        state[LEFT], state[ABOVE] = left_of(counts, state, address), above_of(counts, state, address)
        _macroblock(data, state, contexts, cells, counts, motion)
        if state[FAILED] or state[AT] > stop:
            break
        counts[address * NUM_COUNT + BITS] = state[AT] - begin
        state[ADDRESS] = address + 1
        if state[AT] >= stop:
            return
    state[FAILED] = 1


@lean
def _slice_cabac(
    data: np.ndarray,
    state: np.ndarray,
    contexts: np.ndarray,
    cells: np.ndarray,
    counts: np.ndarray,
    motion: np.ndarray,
    stop: int,
) -> None:
    """The same; the last bit that the arithmetic decoder reads is the stop bit (9.3.1.2). end_of_slice_flag belongs to no macroblock: its
    bits are counted apart."""
    num_mbs, skipped = state[NUM_MBS], SKIPPED | DIRECT if state[TYPE] == B else SKIPPED
    while state[ADDRESS] < num_mbs:
        address, begin = state[ADDRESS], arithmetic.position(state)
        state[LEFT], state[ABOVE] = left_of(counts, state, address), above_of(counts, state, address)
        if state[TYPE] != I and elements.skip_flag(data, state, contexts, cells):
            _start(state, cells, counts, address, skipped, state[QP])
            state[LAST_DELTA] = 0
            if state[WITH_VECTORS]:
                _skip_vector(state, counts, motion)
        else:
            _macroblock(data, state, contexts, cells, counts, motion)
        end = arithmetic.position(state)
        is_last = arithmetic.terminate(data, state)
        if state[FAILED] or arithmetic.position(state) > stop + 1:
            break
        counts[address * NUM_COUNT + BITS] = end - begin
        state[END_FLAGS] += arithmetic.position(state) - end
        state[ADDRESS] = address + 1
        if is_last:
            return
    state[FAILED] = 1


@lean
def read_slice(
    data: np.ndarray,
    state: np.ndarray,
    contexts: np.ndarray,
    numbers: np.ndarray,
    header: np.ndarray,
    cells: np.ndarray,
    counts: np.ndarray,
    motion: np.ndarray,
    number: int,
    stop: int,
) -> tuple[int, int, int]:
    """Slice data. `number` tells the slices of a picture apart; `stop`: place of the last bit that is one. Returns the address behind the
    last macroblock, the bits in front of the first one (of CABAC with eight of the nine that start the engine: the ninth stands for
    the stop bit at the end), and the place behind the last one, which is `stop` if all is well."""
    slice_type = header[head.SLICE_TYPE]
    state[QP], state[LAST_DELTA], state[FAILED], state[END_FLAGS] = header[head.SLICE_QP], 0, 0, 0
    state[NUMBER], state[TYPE], state[IS_CABAC] = number, slice_type, numbers[head.CABAC]
    state[WIDTH], state[NUM_MBS] = numbers[head.MB_WIDTH], numbers[head.MB_WIDTH] * numbers[head.MB_HEIGHT]
    state[NUM_REF_0], state[NUM_REF_1] = header[head.NUM_REF_0], header[head.NUM_REF_1]
    state[TRANSFORM_8X8], state[INFERENCE] = numbers[head.TRANSFORM_8X8], numbers[head.DIRECT_8X8_INFERENCE]
    state[HAS_CHROMA] = numbers[head.CHROMA_FORMAT]
    state[WITH_VECTORS] = slice_type == P and len(motion) > 0
    state[ADDRESS] = header[head.FIRST_MB]
    fast = (
        pointer_to(data),
        pointer_to(state),
        pointer_to(contexts),
        pointer_to(cells),
        pointer_to(counts),
        pointer_to(motion),
    )
    if not state[IS_CABAC]:
        begin = state[AT]
        _slice_cavlc(*fast, stop)
        return state[ADDRESS], begin, state[AT]
    begin = (state[AT] + 7) >> 3
    arithmetic.start_contexts(fast[2], 0 if slice_type == I else 1 + header[head.INIT_IDC], header[head.SLICE_QP])
    arithmetic.start_engine(fast[0], fast[1], begin)
    _slice_cabac(*fast, stop)
    return state[ADDRESS], 8 * begin + 8, arithmetic.position(fast[1]) - 1
