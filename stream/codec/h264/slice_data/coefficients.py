"""Residual of a macroblock (H.264 7.3.5.3): quantiser and coefficients, in CAVLC and CABAC.

In: a reading, at a macroblock whose coded_block_pattern is known. Out: its quantiser and sum of absolute levels; coefficients of each block,
counted, which later ones predict theirs from.
"""

from __future__ import annotations

from stream.codec.compiled import lean
from stream.codec.h264.slice_data import arithmetic_block, elements, vlc
from stream.codec.h264.slice_data.bits import ADDRESS, HAS_CHROMA, IS_CABAC, LAST_DELTA, LEVELS, QP, SLOT
from stream.codec.h264.slice_data.grid import (
    CB_DC,
    CBP,
    CR_DC,
    EIGHT,
    FLAGS,
    INTRA_16,
    KIND,
    LUMA_DC,
    MB_QP,
    NUM_COUNT,
    SUM,
    TOTALS,
    block_flag_increment,
    chroma_flag_increment,
    dc_flag_increment,
    get,
    predicted_chroma_total,
    predicted_total,
    set_cell,
)
from stream.codec.h264.slice_data.reading import Reading


@lean
def _luma_cavlc(reading: Reading) -> None:
    """residual_luma (7.3.5.3.1)."""
    state = reading.state
    slot, most = state[SLOT], 16
    if get(reading, slot, KIND) & INTRA_16:
        vlc.residual_block(reading, predicted_total(reading, 0, 0), 16)
        most = 15
    cbp = get(reading, slot, CBP)
    for quarter in range(4):
        if cbp >> quarter & 1:
            left, top = 2 * (quarter & 1), 2 * (quarter >> 1)
            for y in range(top, top + 2):
                for x in range(left, left + 2):
                    total = vlc.residual_block(reading, predicted_total(reading, x, y), most)
                    set_cell(reading, slot, TOTALS + 4 * y + x, total)


@lean
def _luma_cabac(reading: Reading) -> None:
    """The same."""
    slot, category = reading.state[SLOT], arithmetic_block.LUMA_4X4
    if get(reading, slot, KIND) & INTRA_16:
        category = arithmetic_block.I16_AC
        increment = dc_flag_increment(reading, LUMA_DC)
        if arithmetic_block.residual_block(reading, arithmetic_block.I16_DC, increment):
            set_cell(reading, slot, FLAGS, get(reading, slot, FLAGS) | LUMA_DC)
    cbp, eight = get(reading, slot, CBP), get(reading, slot, FLAGS) & EIGHT != 0
    for quarter in range(4):
        if not cbp >> quarter & 1:
            continue
        left, top = 2 * (quarter & 1), 2 * (quarter >> 1)
        total = arithmetic_block.residual_block(reading, arithmetic_block.LUMA_8X8, 0) if eight else 0
        for y in range(top, top + 2):
            for x in range(left, left + 2):
                if not eight:
                    increment = block_flag_increment(reading, x, y)
                    total = arithmetic_block.residual_block(reading, category, increment)
                set_cell(reading, slot, TOTALS + 4 * y + x, total)


@lean
def _chroma_cavlc(reading: Reading) -> None:
    """Chroma DC and AC of 4:2:0."""
    state = reading.state
    slot = state[SLOT]
    vlc.residual_block(reading, vlc.CHROMA_DC, 4)
    vlc.residual_block(reading, vlc.CHROMA_DC, 4)
    if get(reading, slot, CBP) & 0x20:
        for block in range(8):
            nc = predicted_chroma_total(reading, block >> 2, block & 1, block >> 1 & 1)
            set_cell(reading, slot, TOTALS + 16 + block, vlc.residual_block(reading, nc, 15))


@lean
def _chroma_cabac(reading: Reading) -> None:
    """The same."""
    slot = reading.state[SLOT]
    for flag in (CB_DC, CR_DC):
        increment = dc_flag_increment(reading, flag)
        if arithmetic_block.residual_block(reading, arithmetic_block.CHROMA_DC, increment):
            set_cell(reading, slot, FLAGS, get(reading, slot, FLAGS) | flag)
    if get(reading, slot, CBP) & 0x20:
        for block in range(8):
            increment = chroma_flag_increment(reading, block >> 2, block & 1, block >> 1 & 1)
            total = arithmetic_block.residual_block(reading, arithmetic_block.CHROMA_AC, increment)
            set_cell(reading, slot, TOTALS + 16 + block, total)


@lean
def read_residual(reading: Reading) -> None:
    """mb_qp_delta and residual."""
    state = reading.state
    first = state[ADDRESS] * NUM_COUNT
    delta = elements.qp_delta(reading)
    state[LAST_DELTA], state[LEVELS] = delta, 0
    state[QP] = (state[QP] + delta + 52) % 52
    reading.counts[first + MB_QP] = state[QP]
    has_chroma = state[HAS_CHROMA] != 0 and get(reading, state[SLOT], CBP) & 0x30 != 0
    if state[IS_CABAC]:
        _luma_cabac(reading)
        if has_chroma:
            _chroma_cabac(reading)
    else:
        _luma_cavlc(reading)
        if has_chroma:
            _chroma_cavlc(reading)
    reading.counts[first + SUM] = state[LEVELS]
