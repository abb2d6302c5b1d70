"""Residual blocks in CABAC (H.264 7.3.5.3.3): counted and weighed, no coefficient is kept.

In: a reading, and the kind of block. Out: the number of its coefficients; the sum of absolute levels goes into the state. Nearly all bins of a
stream are read here, so the arithmetic decoder stays in registers for the whole block: range, offset, and the next byte to fetch.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import chosen, inlined, lean, rarely
from stream.codec.h264.slice_data import tables
from stream.codec.h264.slice_data.arithmetic import advance, bypass, decide, golomb_suffix, keep, refilled
from stream.codec.h264.slice_data.bits import LEVELS, NEXT, OFFSET, RANGE
from stream.codec.h264.slice_data.reading import Reading

I16_DC, I16_AC, LUMA_4X4, CHROMA_DC, CHROMA_AC, LUMA_8X8 = range(6)
"""ctxBlockCat (table 9-42)."""
_FLAG, _SIGNIFICANT, _LAST, _ABSOLUTE = 85, 105, 166, 227
"""ctxIdxOffset of the residual's elements in frames (table 9-34)."""
_SIGNIFICANT_8X8, _LAST_8X8, _ABSOLUTE_8X8 = 402, 417, 426
_FIRST_FLAG = _FLAG + np.array([0, 4, 8, 12, 16], np.int64)
_FIRST_SIGNIFICANT = (_SIGNIFICANT + np.array([0, 15, 29, 44, 47])).astype(np.uint64)
_FIRST_ABSOLUTE = np.array(
    [_ABSOLUTE, _ABSOLUTE + 10, _ABSOLUTE + 20, _ABSOLUTE + 30, _ABSOLUTE + 39, _ABSOLUTE_8X8], np.uint64
)
"""First contexts of coded_block_flag, of the significance map, and of coeff_abs_level_minus1 by ctxBlockCat (table 9-40)."""
_MOST_FLAGS = np.array([15, 14, 15, 3, 14], np.uint64)
"""significant_coeff_flags of a block whose last coefficient is not zero."""
_CONTEXTS_8X8 = np.stack(
    [_LAST_8X8 + np.array(tables.LAST_8X8), _SIGNIFICANT_8X8 + np.array([*tables.SIGNIFICANT_8X8[1:], 0])], axis=1
).astype(np.uint16).reshape(-1)  # fmt: skip
"""By two times the place: context of last_significant_coeff_flag there, and of significant_coeff_flag at the next one."""
_U = np.uint64
_ZERO, _ONE = _U(0), _U(1)
_TO_LAST = _U(_LAST - _SIGNIFICANT)
_END_8X8 = _U(63)
_NUM_FIRST, _MOST_LARGE = _U(4), _U(5)
"""Contexts of the first bin of a level before any level was above one; those of its other bins, of chroma DC one less (9.3.3.1.3)."""
_MOST_PREFIX = _U(14)
"""Ones in front of the suffix of a level (UEG0, 9.3.2.3)."""
_TO_SUM = _U(32)
_BIN, _LEFT = _ONE << _TO_SUM, (_ONE << _TO_SUM) - _ONE


@inlined
def _count_4x4(reading: Reading, first: int, most: int, range_: int, offset: int, at: int) -> tuple[int, int, int, int]:
    """Number of coefficients by the significance map, whose flags have a context each, from `first` on. One loop reads both kinds
    of flags: which one is next is chosen, not branched on, and both candidates' contexts are fetched in time."""
    contexts = reading.contexts
    total, was_one, place, end = _ZERO, _ZERO, first, first + most
    context, word = first, contexts[first]
    while place != end:
        if_one, if_zero = place + _TO_LAST, place + _ONE
        word_if_one, word_if_zero = contexts[if_one], contexts[if_zero]
        bit, contexts[context], range_, offset = decide(contexts, word, range_, offset)
        offset, at = refilled(reading, offset, at)
        if bit & was_one:
            break
        total += bit
        was_one = bit
        place = if_zero - bit
        word = chosen(bit != _ZERO, word_if_one, word_if_zero)
        context = chosen(bit != _ZERO, if_one, if_zero)
    return total + _U(place == end), range_, offset, at


@inlined
def _count_8x8(reading: Reading, range_: int, offset: int, at: int) -> tuple[int, int, int, int]:
    """The same where flags share contexts, so that the one that was just changed may be the next."""
    contexts = reading.contexts
    total, was_one, place, context = _ZERO, _ZERO, _ZERO, _U(_SIGNIFICANT_8X8)
    word = contexts[context]
    while place < _END_8X8:
        if_one, if_zero = _U(_CONTEXTS_8X8[place << _ONE]), _U(_CONTEXTS_8X8[place << _ONE | _ONE])
        bit, context, word, range_, offset = advance(contexts, context, word, if_zero, if_one, range_, offset)
        offset, at = refilled(reading, offset, at)
        if bit & was_one:
            break
        total += bit
        was_one = bit
        place += _ONE - bit
    return total + _U(place == _END_8X8), range_, offset, at


@inlined
def _weight(reading: Reading, category: int, total: int, range_: int, offset: int, at: int) -> tuple[int, int, int, int]:
    """Sum of the absolute values of `total` levels. A level's bins are as many ones as it is above one, then a zero, so that bins are
    counted; then its sign. Contexts of first bins count up until a level is above one, then stay at the first of all; those of the other
    bins count such levels. One loop reads both kinds of bins: how long a level is cannot be foreseen either. For want of registers
    `account` holds two numbers: the sum, and below it the levels that are left."""
    contexts, first = reading.contexts, _FIRST_ABSOLUTE[np.uintp(category)]
    most = first + _NUM_FIRST
    if_one, last = first + _MOST_LARGE, most + (_NUM_FIRST if category == CHROMA_DC else _MOST_LARGE)
    context, if_zero = first + _ONE, first + _ONE + _ONE
    account, ones, word = total, _ZERO, contexts[context]
    while account & _LEFT:
        is_rest = context == if_one
        bit, context, word, range_, offset = advance(contexts, context, word, if_zero, if_one, range_, offset)
        is_one = bit != _ZERO
        _, signed = bypass(range_, offset)  # costs no time: the range is what the next bin waits for
        offset, at = refilled(reading, chosen(is_one, offset, signed), at)
        account += _BIN - _ONE + bit
        if_zero = chosen(is_one, first, min(if_zero + _U(if_zero != first), most))
        if_one = chosen(is_one, if_one, min(if_one + _U(is_rest), last))
        ones = chosen(is_one, ones + _ONE, _ZERO)
        if rarely(ones == _MOST_PREFIX):
            keep(reading.state, range_, offset, at)
            account += (_U(golomb_suffix(reading, 0)) << _TO_SUM) + _BIN - _ONE
            offset, at = _U(reading.state[OFFSET]), reading.state[NEXT]
            _, offset = bypass(range_, offset)
            offset, at = refilled(reading, offset, at)
            if_one = min(if_one + _ONE, last)
            context, word, ones = first, contexts[first], _ZERO
    return account >> _TO_SUM, range_, offset, at


@lean
def residual_block(reading: Reading, category: int, increment: int) -> int:
    """residual_block_cabac: the number of coefficients that are not zero. `increment`: ctxIdxInc of coded_block_flag, which 8x8 blocks
    do not have in 4:2:0."""
    state, contexts, kind = reading.state, reading.contexts, np.uintp(category)
    range_, offset, at = _U(state[RANGE]), _U(state[OFFSET]), state[NEXT]
    if category == LUMA_8X8:
        total, range_, offset, at = _count_8x8(reading, range_, offset, at)
    else:
        flag = np.uintp(_FIRST_FLAG[kind] + increment)
        bit, contexts[flag], range_, offset = decide(contexts, contexts[flag], range_, offset)
        offset, at = refilled(reading, offset, at)
        if not bit:
            keep(state, range_, offset, at)
            return 0
        total, range_, offset, at = _count_4x4(reading, _FIRST_SIGNIFICANT[kind], _MOST_FLAGS[kind], range_, offset, at)
    magnitudes, range_, offset, at = _weight(reading, category, total, range_, offset, at)
    keep(state, range_, offset, at)
    state[LEVELS] += np.int64(magnitudes)
    return np.int64(total)
