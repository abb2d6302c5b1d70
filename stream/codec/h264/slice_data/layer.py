"""Slice data and the macroblock layer (H.264 7.3.4, 7.3.5): every syntax element is read, no picture is made.

In: a payload, its slice header, a grid. Out: the grid, filled for the macroblocks of the slice. All loops are bounded by the picture's size
or by the standard's own limits, so that damaged data end in `FAILED`, never in a read out of bounds.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import inlined, lean
from stream.codec.h264.slice_data import arithmetic, elements
from stream.codec.h264.slice_data import slice_header as head
from stream.codec.h264.slice_data.bits import (
    ADDRESS,
    AT,
    BEGIN,
    END_FLAGS,
    FAILED,
    FIRST,
    HAS_CHROMA,
    HAS_MOTION,
    INFERENCE,
    IS_CABAC,
    LAST_DELTA,
    MACROBLOCKS,
    NUM_MBS,
    NUM_REF_0,
    NUM_REF_1,
    NUMBER,
    QP,
    ROOM,
    SLOT,
    TRANSFORM_8X8,
    TYPE,
    WIDTH,
    WITH_VECTORS,
    ue,
)
from stream.codec.h264.slice_data.coefficients import read_residual
from stream.codec.h264.slice_data.grid import (
    BITS,
    CB_DC,
    CBP,
    CR_DC,
    DIRECT,
    EIGHT,
    FLAGS,
    INDICES,
    INTER,
    INTRA_16,
    INTRA_BLOCKS,
    LUMA_DC,
    MODE_SHIFT,
    MOTION_X,
    MOTION_Y,
    NUM_CELL,
    NUM_COUNT,
    NUM_MOTION,
    PCM,
    REFS,
    TOTALS,
    enter,
    get,
    go_on,
    set_cell,
    start_macroblock,
)
from stream.codec.h264.slice_data.prediction import B_PARTS, read_parts, read_quarters
from stream.codec.h264.slice_data.reading import Reading, reading_of
from stream.codec.h264.slice_data.skipped import skip_by_flags, skip_by_run

P, B, I = head.P_SLICE, head.B_SLICE, head.I_SLICE  # noqa: E741
_PCM_BITS, _PCM_GREY_BITS = 384 * 8, 256 * 8
_PCM_TOTAL = 16
"""Coefficients that neighbours of samples as they are count with (9.2.1)."""


@inlined
def _start(reading: Reading, kind: int, qp: int) -> None:
    start_macroblock(reading, reading.state[ADDRESS], reading.state[SLOT], kind, qp)


@lean
def _pcm(reading: Reading) -> None:
    """I_PCM: samples as they are, from the next whole byte on."""
    state = reading.state
    slot = state[SLOT]
    _start(reading, PCM, 0)
    size = _PCM_BITS if state[HAS_CHROMA] else _PCM_GREY_BITS
    if state[IS_CABAC]:
        end = ((arithmetic.position(state) + 7) >> 3) + (size >> 3)
        arithmetic.start_engine(reading, end)
    else:
        state[AT] = ((state[AT] + 7) & ~7) + size
    set_cell(reading, slot, CBP, 0x2F)
    set_cell(reading, slot, FLAGS, LUMA_DC | CB_DC | CR_DC)
    for place in range(TOTALS, REFS):
        set_cell(reading, slot, place, _PCM_TOTAL)
    state[LAST_DELTA] = 0


@lean
def _intra(reading: Reading, mb_type: int) -> None:
    """An intra macroblock; `mb_type` as table 7-11 counts."""
    state = reading.state
    slot = state[SLOT]
    if mb_type > elements.I_PCM:
        state[FAILED] = 1
        return
    if mb_type == elements.I_PCM:
        _pcm(reading)
        return
    _start(reading, INTRA_16 if mb_type else INTRA_BLOCKS, state[QP])
    if mb_type == 0:
        eight = state[TRANSFORM_8X8] != 0 and elements.transform_flag(reading) != 0
        if eight:
            set_cell(reading, slot, FLAGS, EIGHT)
        elements.skip_intra_modes(reading, 4 if eight else 16)
    if state[HAS_CHROMA]:
        mode = elements.chroma_mode(reading)
        if mode > 3:
            state[FAILED] = 1
            return
        set_cell(reading, slot, FLAGS, get(reading, slot, FLAGS) | mode << MODE_SHIFT)
    if mb_type:
        set_cell(reading, slot, CBP, ((mb_type - 1) // 4 % 3) << 4 | (15 if mb_type >= 13 else 0))
    else:
        set_cell(reading, slot, CBP, elements.coded_block_pattern(reading, False))
    if mb_type or get(reading, slot, CBP):
        read_residual(reading)
    else:
        state[LAST_DELTA] = 0


@lean
def _inter(reading: Reading, mb_type: int) -> None:
    """An inter macroblock; `mb_type` as table 7-13 or 7-14 counts."""
    state = reading.state
    slot, is_b = state[SLOT], state[TYPE] == B
    is_direct = is_b and mb_type == 0
    _start(reading, DIRECT if is_direct else INTER, state[QP])
    may_be_eight = True
    if is_direct:
        may_be_eight = state[INFERENCE] != 0
    else:
        for place in range(REFS, NUM_CELL):
            set_cell(reading, slot, place, 0)
        if mb_type >= (elements.B_8X8 if is_b else 3):
            with_references = is_b or mb_type == 3
            may_be_eight = read_quarters(reading, with_references)
        elif is_b:
            lists = (B_PARTS[mb_type, 0], B_PARTS[mb_type, 1])
            read_parts(reading, B_PARTS[mb_type, 2], lists)
        else:
            read_parts(reading, mb_type, (np.int64(1), np.int64(1)))
    if state[FAILED]:
        return
    cbp = elements.coded_block_pattern(reading, True)
    set_cell(reading, slot, CBP, cbp)
    may_be_eight = may_be_eight and cbp & 15 != 0 and state[TRANSFORM_8X8] != 0
    if may_be_eight and elements.transform_flag(reading):
        set_cell(reading, slot, FLAGS, get(reading, slot, FLAGS) | EIGHT)
    if cbp:
        read_residual(reading)
    else:
        state[LAST_DELTA] = 0


@lean
def _macroblock(reading: Reading) -> None:
    """macroblock_layer."""
    state = reading.state
    mb_type = elements.mb_type(reading)
    first_intra = elements.P_INTRA if state[TYPE] == P else elements.B_INTRA if state[TYPE] == B else 0
    if mb_type >= first_intra:
        _intra(reading, mb_type - first_intra)
        return
    _inter(reading, mb_type)
    if state[WITH_VECTORS]:
        _sum_vectors(reading)


@lean
def _sum_vectors(reading: Reading) -> None:
    motion, first, x, y = reading.motion, reading.state[SLOT] * NUM_MOTION, 0, 0
    for block in range(INDICES // 2):
        x += int(motion[first + 2 * block])
        y += int(motion[first + 2 * block + 1])
    counts, place = reading.counts, reading.state[ADDRESS] * NUM_COUNT
    counts[place + MOTION_X], counts[place + MOTION_Y] = x, y


@inlined
def _charge(reading: Reading, bits: int) -> None:
    """What the macroblock cost."""
    state = reading.state
    reading.counts[state[ADDRESS] * NUM_COUNT + BITS] = bits
    state[MACROBLOCKS] += bits


@lean
def _slice_cavlc(reading: Reading, stop: int) -> None:
    """Macroblocks until the stop bit, at bit `stop`. `ADDRESS` ends behind the last."""
    data, state = reading.data, reading.state
    num_mbs = state[NUM_MBS]
    while state[ADDRESS] < num_mbs:
        begin = state[AT]
        if state[TYPE] != I:
            run = ue(data, state)
            if run > num_mbs - state[ADDRESS] or state[FAILED]:
                break
            if run:
                skip_by_run(reading, run, state[AT] - begin)
                begin = state[AT]
            if state[AT] >= stop:
                return
            if state[ADDRESS] >= num_mbs:
                break
        _macroblock(reading)
        if state[FAILED] or state[AT] > stop:
            break
        _charge(reading, state[AT] - begin)
        go_on(state)
        if state[AT] >= stop:
            return
    state[FAILED] = 1


@lean
def _slice_cabac(reading: Reading, stop: int) -> None:
    """The same; the last bit that the arithmetic decoder reads is the stop bit (9.3.1.2). end_of_slice_flag belongs to no macroblock: its
    bits are counted apart."""
    state = reading.state
    num_mbs = state[NUM_MBS]
    while state[ADDRESS] < num_mbs:
        state[BEGIN] = arithmetic.position(state)
        if state[TYPE] != I:
            if skip_by_flags(reading, stop):
                return
            if state[FAILED] or state[ADDRESS] >= num_mbs:
                break
        _macroblock(reading)
        end = arithmetic.position(state)
        is_last = arithmetic.terminate(reading)
        if state[FAILED] or arithmetic.position(state) > stop + 1:
            break
        _charge(reading, end - state[BEGIN])
        state[END_FLAGS] += arithmetic.position(state) - end
        go_on(state)
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
    state[HAS_MOTION], state[ROOM] = len(motion) > 0, len(cells) // NUM_CELL
    state[WITH_VECTORS] = slice_type == P and len(motion) > 0
    state[FIRST] = header[head.FIRST_MB]
    enter(state, state[FIRST])
    reading = reading_of(data, state, contexts, cells, counts, motion)
    if not state[IS_CABAC]:
        begin = state[AT]
        _slice_cavlc(reading, stop)
        return state[ADDRESS], begin, state[AT]
    begin = (state[AT] + 7) >> 3
    arithmetic.start_contexts(reading, 0 if slice_type == I else 1 + header[head.INIT_IDC], header[head.SLICE_QP])
    arithmetic.start_engine(reading, begin)
    if not state[FAILED]:
        _slice_cabac(reading, stop)
    return state[ADDRESS], 8 * begin + 8, arithmetic.position(state) - 1
