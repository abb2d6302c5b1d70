"""The arithmetic decoder of CABAC (H.264 9.3) and its residual blocks.

In: a reading, whose contexts are uint8 [460], pStateIdx << 1 | valMPS. Out: bins. codIOffset is kept with up to 55 bits that are not due
yet, so that bytes are fetched four at a time; `position` tells exactly how many bits the standard's decoder would have read.

A decision is written without branches: whether a bin is the likely one cannot be predicted, by its nature.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import leading_zeros_of, lean
from stream.codec.macroblocks import tables
from stream.codec.macroblocks.bits import AHEAD, FAILED, LEVELS, NEXT, OFFSET, RANGE, SIZE
from stream.codec.macroblocks.reading import Reading

NUM_CONTEXTS = 460
CODED_BLOCK_FLAG, SIGNIFICANT, LAST, ABSOLUTE = 85, 105, 166, 227
"""ctxIdxOffset of the residual's elements in frames (table 9-34)."""
SIGNIFICANT_8X8, LAST_8X8, ABSOLUTE_8X8 = 402, 417, 426
I16_DC, I16_AC, LUMA_4X4, CHROMA_DC, CHROMA_AC, LUMA_8X8 = range(6)
"""ctxBlockCat (table 9-42)."""
_FLAG_OFFSET = np.array([0, 4, 8, 12, 16], np.int64)
_MAP_OFFSET = np.array([0, 15, 29, 44, 47], np.int64)
_ABSOLUTE_OFFSET = np.array([0, 10, 20, 30, 39], np.int64)
"""ctxBlockCatOffset of coded_block_flag, of the significance map, and of coeff_abs_level_minus1 (table 9-40)."""
_NUM_COEFFS = np.array([16, 15, 16, 4, 15, 64], np.int64)
_SIGNIFICANT_8X8 = np.array(tables.SIGNIFICANT_8X8, np.int64)
_LAST_8X8 = np.array(tables.LAST_8X8, np.int64)
_MOST_GOLOMB = 16
"""Leading ones of the longest suffix of a level or a vector difference that 8 bit video can hold."""


def _ranges() -> np.ndarray:
    """rangeTabLPS by qCodIRangeIdx << 7 | context value."""
    return np.array(tables.RANGE_LPS, np.uint8).repeat(2, axis=0).T.reshape(-1).copy()


def _next_states() -> np.ndarray:
    """The next context value: after the likely bin by 128 + context value, after the other by 127 - context value."""
    after = np.zeros(256, np.uint8)
    for state, after_lps in enumerate(tables.NEXT_LPS):
        for mps in (0, 1):
            value = state << 1 | mps
            after[128 + value] = min(state + 1, 62) << 1 | mps if state < 63 else value
            after[127 - value] = after_lps << 1 | (mps if state else 1 - mps)
    return after


_RANGE_LPS, _NEXT_STATE = _ranges(), _next_states()
_CLEAR = 64 - 9
"""Leading zeros of a codIRange that needs no renormalisation (9.3.3.2.2), as int64."""
_INIT = np.array(tables.CONTEXT_INIT, np.int64)


@lean
def start_contexts(reading: Reading, table: int, qp: int) -> None:
    """Contexts at the start of a slice (9.3.1.1). `table`: 0 for I slices, else 1 + cabac_init_idc."""
    qp = min(max(qp, 0), 51)
    for index in range(NUM_CONTEXTS):
        state = min(max(((_INIT[table, index, 0] * qp) >> 4) + _INIT[table, index, 1], 1), 126)
        reading.contexts[index] = (63 - state) << 1 if state <= 63 else ((state - 64) << 1) | 1


@lean
def start_engine(reading: Reading, first_byte: int) -> None:
    """Begin at a byte: nine bits are read (9.3.1.2)."""
    state = reading.state
    state[RANGE], state[OFFSET], state[AHEAD], state[NEXT] = 510, 0, -9, first_byte
    state[OFFSET], state[AHEAD], state[NEXT] = fetch(reading, state[OFFSET], state[AHEAD], state[NEXT])


@lean
def position(state: np.ndarray) -> int:
    """Bits of the payload that the arithmetic decoder has read."""
    return 8 * state[NEXT] - state[AHEAD]


@lean
def fetch(reading: Reading, offset: int, ahead: int, at: int) -> tuple[int, int, int]:
    """Four more bytes behind the offset; zeros past the end."""
    word = np.int64(0)
    if 0 <= at <= reading.state[SIZE] - 4:
        i = np.uintp(at)
        word = (np.int64(reading.data[i]) << 24) | (np.int64(reading.data[i + np.uintp(1)]) << 16)
        word |= (np.int64(reading.data[i + np.uintp(2)]) << 8) | np.int64(reading.data[i + np.uintp(3)])
    return (offset << 32) | word, ahead + 32, at + 4


@lean
def decide(reading: Reading, context: int, range_: int, offset: int, ahead: int, at: int) -> tuple[int, int, int, int, int]:
    """DecodeDecision and RenormD (9.3.3.2.1, 9.3.3.2.2): the bin, and what changed."""
    value = np.int64(reading.contexts[context])
    lps_range = np.int64(_RANGE_LPS[np.uintp(((range_ & 0xC0) << 1) + value)])
    range_ -= lps_range
    scaled = range_ << ahead
    above = offset - scaled
    likely = above >> 63  # all ones, or none
    offset = above + (scaled & likely)
    range_ = lps_range + ((range_ - lps_range) & likely)
    shift = leading_zeros_of(range_) - _CLEAR
    range_ <<= shift
    ahead -= shift
    outcome = value ^ ~likely
    reading.contexts[context] = _NEXT_STATE[np.uintp(outcome + 128)]
    if ahead < 8:
        offset, ahead, at = fetch(reading, offset, ahead, at)
    return outcome & 1, range_, offset, ahead, at


@lean
def bypass(reading: Reading, range_: int, offset: int, ahead: int, at: int) -> tuple[int, int, int, int]:
    """DecodeBypass (9.3.3.2.3)."""
    ahead -= 1
    above = offset - (range_ << ahead)
    bit = np.int64(above >= 0)
    offset -= (range_ << ahead) & -bit
    if ahead < 8:
        offset, ahead, at = fetch(reading, offset, ahead, at)
    return bit, offset, ahead, at


@lean
def decision(reading: Reading, context: int) -> int:
    """One bin of a context."""
    state = reading.state
    bit, range_, offset, ahead, at = decide(reading, np.uintp(context), state[RANGE], state[OFFSET], state[AHEAD], state[NEXT])
    state[RANGE], state[OFFSET], state[AHEAD], state[NEXT] = range_, offset, ahead, at
    return bit


@lean
def bypass_bit(reading: Reading) -> int:
    """One bin without a context."""
    state = reading.state
    bit, offset, ahead, at = bypass(reading, state[RANGE], state[OFFSET], state[AHEAD], state[NEXT])
    state[OFFSET], state[AHEAD], state[NEXT] = offset, ahead, at
    return bit


@lean
def terminate(reading: Reading) -> int:
    """DecodeTerminate (9.3.3.2.2.3): 1 ends the slice, or announces samples as they are."""
    state = reading.state
    range_, offset, ahead, at = state[RANGE] - 2, state[OFFSET], state[AHEAD], state[NEXT]
    if offset >= range_ << ahead:
        state[RANGE] = range_
        return 1
    shift = leading_zeros_of(range_) - _CLEAR
    range_ <<= shift
    ahead -= shift
    if ahead < 8:
        offset, ahead, at = fetch(reading, offset, ahead, at)
    state[RANGE], state[OFFSET], state[AHEAD], state[NEXT] = range_, offset, ahead, at
    return 0


@lean
def golomb_suffix(reading: Reading, order: int) -> int:
    """The Exp-Golomb suffix of UEGk (9.3.2.3)."""
    value = 0
    for _ in range(_MOST_GOLOMB + 1):
        if not bypass_bit(reading):
            break
        value += 1 << order
        order += 1
    if order > _MOST_GOLOMB:
        reading.state[FAILED] = 1
        return 0
    for bit in range(order - 1, -1, -1):
        value += bypass_bit(reading) << bit
    return value


@lean
def coded_block_flag(reading: Reading, category: int, increment: int) -> int:
    """coded_block_flag; 8x8 blocks have none in 4:2:0."""
    return decision(reading, CODED_BLOCK_FLAG + _FLAG_OFFSET[np.uintp(category)] + increment)


@lean
def residual_block(reading: Reading, category: int) -> int:
    """residual_block_cabac (7.3.5.3.3) behind its coded_block_flag: the number of coefficients that are not zero."""
    state = reading.state
    range_, offset, ahead, at = state[RANGE], state[OFFSET], state[AHEAD], state[NEXT]
    last_index = _NUM_COEFFS[np.uintp(category)] - 1
    total, index = 0, 0
    if category == LUMA_8X8:
        absolute = ABSOLUTE_8X8
        while index < last_index:
            context = np.uintp(SIGNIFICANT_8X8 + _SIGNIFICANT_8X8[np.uintp(index)])
            bit, range_, offset, ahead, at = decide(reading, context, range_, offset, ahead, at)
            if bit:
                total += 1
                context = np.uintp(LAST_8X8 + _LAST_8X8[np.uintp(index)])
                bit, range_, offset, ahead, at = decide(reading, context, range_, offset, ahead, at)
                if bit:
                    break
            index += 1
    else:
        absolute = ABSOLUTE + _ABSOLUTE_OFFSET[np.uintp(category)]
        significant = SIGNIFICANT + _MAP_OFFSET[np.uintp(category)]
        farthest = 2 if category == CHROMA_DC else last_index
        while index < last_index:
            context = significant + min(index, farthest)
            bit, range_, offset, ahead, at = decide(reading, np.uintp(context), range_, offset, ahead, at)
            if bit:
                total += 1
                context += LAST - SIGNIFICANT
                bit, range_, offset, ahead, at = decide(reading, np.uintp(context), range_, offset, ahead, at)
                if bit:
                    break
            index += 1
    if index == last_index:
        total += 1
    most_large = 3 if category == CHROMA_DC else 4
    num_one, num_large, magnitudes = 1, 0, total
    for _ in range(total):
        context = absolute + num_one
        bit, range_, offset, ahead, at = decide(reading, np.uintp(context), range_, offset, ahead, at)
        if bit:
            context = absolute + 5 + num_large
            more = 1
            while more < 14:
                bit, range_, offset, ahead, at = decide(reading, np.uintp(context), range_, offset, ahead, at)
                if not bit:
                    break
                more += 1
            if more == 14:
                state[RANGE], state[OFFSET], state[AHEAD], state[NEXT] = range_, offset, ahead, at
                more += golomb_suffix(reading, 0)
                offset, ahead, at = state[OFFSET], state[AHEAD], state[NEXT]
            magnitudes += more
            num_one, num_large = 0, min(most_large, num_large + 1)
        elif num_one:
            num_one = min(4, num_one + 1)
        ahead -= 1  # the sign: seven bits are ahead at least, enough for the decision behind it
        scaled = range_ << ahead
        above = offset - scaled
        offset = above + (scaled & (above >> 63))
    if ahead < 8:
        offset, ahead, at = fetch(reading, offset, ahead, at)
    state[RANGE], state[OFFSET], state[AHEAD], state[NEXT] = range_, offset, ahead, at
    state[LEVELS] += magnitudes
    return total
