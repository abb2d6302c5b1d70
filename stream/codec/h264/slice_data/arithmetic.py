"""The arithmetic decoder of CABAC (H.264 9.3).

In: a reading. Out: bins. A bin is a chain of a dozen operations, each of which waits for the one before; everything here keeps it short.

- codIRange is a uint64 whose first nine bits it is. codIOffset stands in the first nine bits of another, with what is read ahead behind it,
  then a one that marks the end, then zeros. To renormalise is to shift both; four bytes are fetched when the mark is in the upper half.
- A context is a uint64: pStateIdx << 1 | valMPS in its low seven bits, and the four rangeTabLPS of that state as bytes from bit 31 on,
  so that the one of the present range is had by a shift.
- The likely bin and the other are not told apart by branches: which one it is cannot be foreseen, by its nature.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import chosen, inlined, leading_zeros_of, lean, rarely, trailing_zeros_of
from stream.codec.h264.slice_data import tables
from stream.codec.h264.slice_data.bits import FAILED, NEXT, OFFSET, RANGE, SIZE
from stream.codec.h264.slice_data.reading import Reading

NUM_CONTEXTS = 460
_MOST_GOLOMB = 16
"""Leading ones of the longest suffix of a level or a vector difference that 8 bit video can hold."""
_TOP = 64 - 9
"""Where codIRange and codIOffset stand."""
_NUM_VALUES = 128
_U = np.uint64
_ZERO, _ONE, _VALUE, _LOW = _U(0), _U(1), _U(2 * _NUM_VALUES - 1), _U(0xFFFFFFFF)
_AFTER, _IF_OTHER = _U(NUM_CONTEXTS), _U(_NUM_VALUES)
_TO_QUARTER, _QUARTER = _U(_TOP + 3), _U(3 << 3)
"""What makes eight times qCodIRangeIdx of a range: bits 6 and 7 of codIRange."""
_LPS_RANGE = _U(0xFF << _TOP)
_START_RANGE, TWO = _U(510 << _TOP), _U(2 << _TOP)
_MARK_ALONE = _U(1 << 63)


def _words() -> np.ndarray:
    """Contexts by their value, pStateIdx << 1 | valMPS."""
    words = [
        value | sum(int(lps) << (_TOP - 8 * quarter) for quarter, lps in enumerate(tables.RANGE_LPS[value >> 1]))
        for value in range(_NUM_VALUES)
    ]
    return np.array(words, np.uint64)


def new_contexts() -> np.ndarray:
    """Room for the contexts of a slice. Behind them lies the next context by the value of this one: after the likely bin, then after the
    other. One pointer serves both, which leaves a register to the inner loops."""
    likely, other = np.zeros(_NUM_VALUES, np.int64), np.zeros(_NUM_VALUES, np.int64)
    for state, after_lps in enumerate(tables.NEXT_LPS):
        for mps in (0, 1):
            value = state << 1 | mps
            likely[value] = min(state + 1, 62) << 1 | mps if state < 63 else value
            other[value] = after_lps << 1 | (mps if state else 1 - mps)
    return np.concatenate([np.zeros(NUM_CONTEXTS, np.uint64), _WORDS[likely], _WORDS[other]])


_WORDS = _words()
_INIT = np.array(tables.CONTEXT_INIT, np.int64)


@lean
def start_contexts(reading: Reading, table: int, qp: int) -> None:
    """Contexts at the start of a slice (9.3.1.1). `table`: 0 for I slices, else 1 + cabac_init_idc."""
    qp = min(max(qp, 0), 51)
    for index in range(NUM_CONTEXTS):
        state = min(max(((_INIT[table, index, 0] * qp) >> 4) + _INIT[table, index, 1], 1), 126)
        reading.contexts[index] = _WORDS[(63 - state) << 1 if state <= 63 else ((state - 64) << 1) | 1]


@lean
def start_engine(reading: Reading, first_byte: int) -> None:
    """Begin at a byte: nine bits are read (9.3.1.2), of which 510 and 511 are forbidden."""
    state = reading.state
    offset, at = fetch(reading, _MARK_ALONE, first_byte)
    if offset >= _START_RANGE:
        state[FAILED] = 1
    keep(state, _START_RANGE, offset, at)


@inlined
def keep(state: np.ndarray, range_: int, offset: int, at: int) -> None:
    """Put the decoder back into the state."""
    state[RANGE], state[OFFSET], state[NEXT] = np.int64(range_), np.int64(offset), at


@inlined
def position_of(offset: int, at: int) -> int:
    """Bits of the payload that the arithmetic decoder has read: all that were fetched but those between codIOffset and the mark."""
    return 8 * at - (_TOP - 1) + trailing_zeros_of(offset)


@lean
def position(state: np.ndarray) -> int:
    """The same of a decoder that was put back."""
    return position_of(state[OFFSET], state[NEXT])


@lean
def fetch(reading: Reading, offset: int, at: int) -> tuple[int, int]:
    """Four more bytes where the mark was, which must be in the upper half; zeros past the end."""
    data, word = reading.data, _U(0)
    if 0 <= at <= reading.state[SIZE] - 4:
        i = np.uintp(at)
        word = (_U(data[i]) << _U(24)) | (_U(data[i + np.uintp(1)]) << _U(16))
        word |= (_U(data[i + np.uintp(2)]) << _U(8)) | _U(data[i + np.uintp(3)])
    mark = trailing_zeros_of(offset)
    return (offset ^ (_ONE << mark)) | (word << (mark - _U(31))) | (_ONE << (mark - _U(32))), at + 4


@inlined
def refilled(reading: Reading, offset: int, at: int) -> tuple[int, int]:
    """With 23 bits read ahead at least: enough for three decisions, or two and a few bins without a context."""
    if rarely(offset & _LOW == 0):
        return fetch(reading, offset, at)
    return offset, at


@inlined
def decide(contexts: np.ndarray, word: int, range_: int, offset: int) -> tuple[int, int, int, int]:
    """DecodeDecision and RenormD (9.3.3.2.1, 9.3.3.2.2) by a context: the bin, the context after it, and what changed."""
    lps_range = (word << ((range_ >> _TO_QUARTER) & _QUARTER)) & _LPS_RANGE
    likely_range = range_ - lps_range
    is_other = offset >= likely_range
    value = word & _VALUE
    after = contexts[_AFTER + chosen(is_other, value | _IF_OTHER, value)]
    range_ = chosen(is_other, lps_range, likely_range)
    offset = chosen(is_other, offset - likely_range, offset)
    shift = leading_zeros_of(range_)
    return (word & _ONE) ^ _U(is_other), after, range_ << shift, offset << shift


@inlined
def advance(
    contexts: np.ndarray, context: int, word: int, if_zero: int, if_one: int, range_: int, offset: int
) -> tuple[int, int, int, int, int]:
    """The same of `context`, which holds `word`, where the bin tells which context is next: the bin, that one and its word, and what
    changed. Both ways on are made ready before the bin is known, which then only picks one: a load that waits for the bin is late."""
    lps_range = (word << ((range_ >> _TO_QUARTER) & _QUARTER)) & _LPS_RANGE
    likely_range = range_ - lps_range
    is_other, likely_one = offset >= likely_range, word & _ONE != _ZERO
    value = _AFTER + (word & _VALUE)
    after_likely, after_other = contexts[value], contexts[value + _IF_OTHER]
    next_likely, next_other = chosen(likely_one, if_one, if_zero), chosen(likely_one, if_zero, if_one)
    # the context that is changed here may be the next
    word_likely = chosen(next_likely == context, after_likely, contexts[next_likely])
    word_other = chosen(next_other == context, after_other, contexts[next_other])
    contexts[context] = chosen(is_other, after_other, after_likely)
    range_ = chosen(is_other, lps_range, likely_range)
    offset = chosen(is_other, offset - likely_range, offset)
    shift = leading_zeros_of(range_)
    context, after = chosen(is_other, next_other, next_likely), chosen(is_other, word_other, word_likely)
    return (word & _ONE) ^ _U(is_other), context, after, range_ << shift, offset << shift


@inlined
def bypass(range_: int, offset: int) -> tuple[int, int]:
    """DecodeBypass (9.3.3.2.3): the bin, and the offset."""
    half = range_ >> _ONE
    is_one = offset >= half
    return np.int64(is_one), chosen(is_one, offset - half, offset) << _ONE


@lean
def decision(reading: Reading, context: int) -> int:
    """One bin of a context."""
    state, contexts, place = reading.state, reading.contexts, np.uintp(context)
    bit, contexts[place], range_, offset = decide(contexts, contexts[place], _U(state[RANGE]), _U(state[OFFSET]))
    offset, at = refilled(reading, offset, state[NEXT])
    keep(state, range_, offset, at)
    return np.int64(bit)


@lean
def bypass_bit(reading: Reading) -> int:
    """One bin without a context."""
    state = reading.state
    bit, offset = bypass(_U(state[RANGE]), _U(state[OFFSET]))
    offset, state[NEXT] = refilled(reading, offset, state[NEXT])
    state[OFFSET] = np.int64(offset)
    return bit


@lean
def terminate(reading: Reading) -> int:
    """DecodeTerminate (9.3.3.2.2.3): 1 ends the slice, or announces samples as they are."""
    state = reading.state
    range_, offset = _U(state[RANGE]) - TWO, _U(state[OFFSET])
    if offset >= range_:
        state[RANGE] = np.int64(range_)
        return 1
    shift = leading_zeros_of(range_)
    offset, at = refilled(reading, offset << shift, state[NEXT])
    keep(state, range_ << shift, offset, at)
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
