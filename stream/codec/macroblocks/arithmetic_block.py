"""Residual blocks in CABAC (H.264 7.3.5.3.3): counted and weighed, no coefficient is kept.

In: a reading, and the kind of block. Out: the number of its coefficients; the sum of absolute levels goes into the state. Nearly all bins of a
stream are read here, so the arithmetic decoder stays in registers for the whole block: range, offset, and the next byte to fetch.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import chosen, inlined, lean
from stream.codec.macroblocks import tables
from stream.codec.macroblocks.arithmetic import bypass, decide, decision, golomb_suffix, keep, refilled
from stream.codec.macroblocks.bits import LEVELS, NEXT, OFFSET, RANGE
from stream.codec.macroblocks.reading import Reading

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


@lean
def coded_block_flag(reading: Reading, category: int, increment: int) -> int:
    """coded_block_flag; 8x8 blocks have none in 4:2:0."""
    return decision(reading, _FIRST_FLAG[np.uintp(category)] + increment)


@inlined
def _count_4x4(reading: Reading, first: int, most: int, range_: int, offset: int, at: int) -> tuple[int, int, int, int]:
    """Number of coefficients by the significance map, whose flags have a context each, from `first` on. One loop reads both kinds
    of flags: which one is next is chosen, not branched on, and both candidates' contexts are fetched in time."""
    contexts = reading.contexts
    total, was_one, context, end = _ZERO, _ZERO, first, first + most
    word = contexts[context]
    while context != end:
        if_one = context + _TO_LAST
        if_zero = context + _ONE - (_TO_LAST & (_ZERO - was_one))
        word_if_zero, word_if_one = contexts[if_zero], contexts[if_one]
        bit, contexts[context], range_, offset = decide(word, range_, offset)
        offset, at = refilled(reading, offset, at)
        if bit & was_one:
            break
        total += bit
        was_one = bit
        word = chosen(bit != _ZERO, word_if_one, word_if_zero)
        context = chosen(bit != _ZERO, if_one, if_zero)
    return total + _U(context == end), range_, offset, at


@inlined
def _count_8x8(reading: Reading, range_: int, offset: int, at: int) -> tuple[int, int, int, int]:
    """The same where flags share contexts: the one that was just changed may be the next."""
    contexts = reading.contexts
    total, was_one, place, context = _ZERO, _ZERO, _ZERO, _U(_SIGNIFICANT_8X8)
    word = contexts[context]
    while place < _END_8X8:
        if_one, if_zero = _U(_CONTEXTS_8X8[place << _ONE]), _U(_CONTEXTS_8X8[place << _ONE | _ONE])
        word_if_zero, word_if_one = contexts[if_zero], contexts[if_one]
        bit, after, range_, offset = decide(word, range_, offset)
        contexts[context] = after
        offset, at = refilled(reading, offset, at)
        if bit & was_one:
            break
        total += bit
        was_one = bit
        place += _ONE - bit
        word_if_zero = chosen(if_zero == context, after, word_if_zero)
        word = chosen(bit != _ZERO, word_if_one, word_if_zero)
        context = chosen(bit != _ZERO, if_one, if_zero)
    return total + _U(place == _END_8X8), range_, offset, at


@inlined
def _rest_of_level(reading: Reading, context: int, range_: int, offset: int, at: int) -> tuple[int, int, int, int]:
    """coeff_abs_level_minus1 behind its first bin, which was one."""
    contexts, level = reading.contexts, _ONE
    word = contexts[context]
    while level < _MOST_PREFIX:
        bit, word, range_, offset = decide(word, range_, offset)
        offset, at = refilled(reading, offset, at)
        if not bit:
            break
        level += _ONE
    contexts[context] = word
    if level == _MOST_PREFIX:
        keep(reading.state, range_, offset, at)
        level += _U(golomb_suffix(reading, 0))
        offset, at = _U(reading.state[OFFSET]), reading.state[NEXT]
    return level, range_, offset, at


@inlined
def _weight(reading: Reading, category: int, total: int, range_: int, offset: int, at: int) -> tuple[int, int, int, int]:
    """Sum of the absolute values of `total` levels. Contexts of first bins count up until a level is above one, then stay at the first of
    all; those of the other bins count such levels."""
    contexts, first = reading.contexts, _FIRST_ABSOLUTE[np.uintp(category)]
    context, limit, large = first + _ONE, first + _NUM_FIRST, first + _MOST_LARGE
    last_large = large + (_NUM_FIRST - _ONE if category == CHROMA_DC else _NUM_FIRST)
    magnitudes, left, word = total, total, contexts[context]
    while left:
        left -= _ONE
        further = min(context + _ONE, limit)
        next_word = contexts[further]
        bit, after, range_, offset = decide(word, range_, offset)
        contexts[context] = after
        next_word = chosen(further == context, after, next_word)
        if bit:
            level, range_, offset, at = _rest_of_level(reading, large, range_, offset, at)
            magnitudes += level
            large = min(last_large, large + _ONE)
            further = limit = first
            next_word = contexts[first]
        word, context = next_word, further
        _, offset = bypass(range_, offset)
        offset, at = refilled(reading, offset, at)
    return magnitudes, range_, offset, at


@lean
def residual_block(reading: Reading, category: int) -> int:
    """residual_block_cabac behind its coded_block_flag: the number of coefficients that are not zero."""
    state = reading.state
    range_, offset, at = _U(state[RANGE]), _U(state[OFFSET]), state[NEXT]
    if category == LUMA_8X8:
        total, range_, offset, at = _count_8x8(reading, range_, offset, at)
    else:
        kind = np.uintp(category)
        total, range_, offset, at = _count_4x4(reading, _FIRST_SIGNIFICANT[kind], _MOST_FLAGS[kind], range_, offset, at)
    magnitudes, range_, offset, at = _weight(reading, category, total, range_, offset, at)
    keep(state, range_, offset, at)
    state[LEVELS] += np.int64(magnitudes)
    return np.int64(total)
