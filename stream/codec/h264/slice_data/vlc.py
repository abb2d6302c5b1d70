"""CAVLC residual blocks (H.264 9.2): counted and weighed, no coefficient is kept.

In: a reading, and what the neighbours say. Out: TotalCoeff of one block; the sum of absolute levels goes into the state. For the whole block
the next bits stay in a register: `word` holds them in front, `held` counts those that are certain, `at` is the place of the first.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import inlined, leading_zeros_of, lean
from stream.codec.h264.slice_data import tables
from stream.codec.h264.slice_data.bits import AT, FAILED, LEVELS, WINDOW, window
from stream.codec.h264.slice_data.reading import Reading

CHROMA_DC = -1
"""nC of chroma DC blocks of 4:2:0."""
_MOST_PREFIX = 25
"""level_prefix of the largest level that 8 bit video can hold, and then some."""
_HEAD, _TAIL = 2048, 256
_U = np.uint64
_ONE = _U(1)
_LONGEST = 32
"""Bits to hold before an element is read; level_suffix counts as one."""


def _codes(table: str) -> list[list[str]]:
    return [line.split() for line in table.split("\n") if line.strip()]


def _coeff_token_table(table: str) -> np.ndarray:
    """Looked up by the next 11 bits where one of the first 8 is set, else by 8 bits from the ninth on: length << 8 | total << 2 |
    trailing ones. No entry: 0."""
    found = np.zeros(_HEAD + _TAIL, np.uint16)
    for total, row in enumerate(_codes(table)):
        for ones, code in enumerate(row):
            if code == "-":
                continue
            low = int(code, 2) << (16 - len(code))
            high = low + (1 << (16 - len(code)))
            assert low < _TAIL or len(code) <= 11, f"coeff_token {code}: expected at most three bits behind its first one"
            entry = len(code) << 8 | total << 2 | ones
            found[_HEAD + low : _HEAD + min(high, _TAIL)] = entry
            found[max(low, _TAIL) >> 5 : high >> 5] = entry
    return found


def _lookup(table: str, num_bits: int) -> np.ndarray:
    """uint8 [rows, 2^num_bits]: length << 4 | value of the code that the bits begin with; no entry: 0."""
    rows = _codes(table)
    found = np.zeros((len(rows), 1 << num_bits), np.uint8)
    for index, row in enumerate(rows):
        for value, code in enumerate(row):
            shift = num_bits - len(code)
            low = int(code, 2) << shift
            found[index, low : low + (1 << shift)] = len(code) << 4 | value
    return found


_COEFF_TOKEN = np.stack([_coeff_token_table(table) for table in tables.COEFF_TOKEN])
_TOTAL_ZEROS = _lookup(tables.TOTAL_ZEROS, 9)
_TOTAL_ZEROS_CHROMA_DC = _lookup(tables.TOTAL_ZEROS_CHROMA_DC, 3)
_RUN_BEFORE = _lookup(tables.RUN_BEFORE, 3)


@inlined
def _behind(word: int, at: int, held: int, size: int) -> tuple[int, int, int]:
    """Past `size` bits."""
    return word << _U(size), at + size, held - size


@inlined
def _refilled(reading: Reading, word: int, at: int, held: int) -> tuple[int, int]:
    """With the longest element held."""
    if held < _LONGEST:
        return window(reading.data, reading.state, at), WINDOW
    return word, held


@inlined
def _coeff_token(word: int, nc: int) -> int:
    """Length << 8 | TotalCoeff << 2 | TrailingOnes (9.2.1); no such code: 0."""
    first = np.int64(word >> _U(48))
    if nc >= 8:
        token = first >> 10
        return 6 << 8 if token == 3 else 6 << 8 | ((token >> 2) + 1) << 2 | (token & 3)
    table = 3 if nc < 0 else 0 if nc < 2 else 1 if nc < 4 else 2
    return np.int64(_COEFF_TOKEN[np.uintp(table), np.uintp(first >> 5 if first >> 8 else _HEAD + first)])


@inlined
def _levels(reading: Reading, word: int, at: int, held: int, total: int, ones: int) -> tuple[int, int, int]:
    """Levels but for the trailing ones (9.2.2): their magnitudes are added up."""
    magnitudes, suffix_length = ones, 1 if total > 10 and ones < 3 else 0
    for index in range(ones, total):
        word, held = _refilled(reading, word, at, held)
        prefix = np.int64(leading_zeros_of(word | _ONE))
        if prefix > _MOST_PREFIX:
            reading.state[FAILED], magnitudes = 1, 0
            break
        word, at, held = _behind(word, at, held, prefix + 1)
        size = suffix_length
        if prefix == 14 and suffix_length == 0:
            size = 4
        elif prefix >= 15:
            size = prefix - 3
            word, held = _refilled(reading, word, at, held)
        code = (min(15, prefix) << suffix_length) + np.int64((word >> _ONE) >> _U(63 - size))
        word, at, held = _behind(word, at, held, size)
        if prefix >= 15 and suffix_length == 0:
            code += 15
        if prefix >= 16:
            code += (1 << (prefix - 3)) - 4096
        if index == ones and ones < 3:
            code += 2
        magnitude = (code + 2 - (code & 1)) >> 1
        magnitudes += magnitude
        if suffix_length == 0:
            suffix_length = 1
        if magnitude > 3 << (suffix_length - 1) and suffix_length < 6:
            suffix_length += 1
    reading.state[LEVELS] += magnitudes
    return word, at, held


@inlined
def _runs(reading: Reading, word: int, at: int, held: int, total: int, most: int, nc: int) -> int:
    """total_zeros and every run_before (9.2.3): the place behind them."""
    word, held = _refilled(reading, word, at, held)
    if nc == CHROMA_DC:
        entry = np.int64(_TOTAL_ZEROS_CHROMA_DC[np.uintp(total - 1), np.uintp(word >> _U(61))])
    else:
        entry = np.int64(_TOTAL_ZEROS[np.uintp(total - 1), np.uintp(word >> _U(55))])
    word, at, held = _behind(word, at, held, entry >> 4)
    left = entry & 15
    if entry == 0 or left + total > most:
        reading.state[FAILED] = 1
        return at
    for _ in range(total - 1):
        if left <= 0:
            return at
        word, held = _refilled(reading, word, at, held)
        first = np.int64(word >> _U(61))
        if left <= 6:
            entry = np.int64(_RUN_BEFORE[np.uintp(left - 1), np.uintp(first)])
            size, run = entry >> 4, entry & 15
        elif first:
            size, run = 3, 7 - first
        else:
            zeros = min(np.int64(leading_zeros_of(word | _ONE)), 32)
            size, run = zeros + 1, zeros + 4
        left -= run
        word, at, held = _behind(word, at, held, size)
        if left < 0:
            reading.state[FAILED] = 1
    return at


@lean
def residual_block(reading: Reading, nc: int, most: int) -> int:
    """residual_block_cavlc of at most `most` coefficients (7.3.5.3.2): TotalCoeff."""
    state = reading.state
    at = state[AT]
    word, held = window(reading.data, state, at), WINDOW
    token = _coeff_token(word, nc)
    if token == 0:
        state[FAILED] = 1
    total, ones = token >> 2 & 31, token & 3
    if total == 0:
        state[AT] = at + (token >> 8)
        return 0
    word, at, held = _behind(word, at, held, token >> 8)
    if total > most:
        state[FAILED], state[AT] = 1, at
        return 0
    word, at, held = _behind(word, at, held, ones)
    word, at, held = _levels(reading, word, at, held, total, ones)
    if total < most and not state[FAILED]:
        at = _runs(reading, word, at, held, total, most, nc)
    state[AT] = at
    return total
