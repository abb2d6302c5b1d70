"""CAVLC residual blocks (H.264 9.2): counted and weighed, no coefficient is kept.

In: a payload and a state. Out: TotalCoeff of one block; the sum of absolute levels goes into the state.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import lean
from stream.codec.macroblocks import tables
from stream.codec.macroblocks.bits import AT, FAILED, LEVELS, leading_zeros, peek, u

CHROMA_DC = -1
"""nC of chroma DC blocks of 4:2:0."""
_MOST_PREFIX = 25
"""level_prefix of the largest level that 8 bit video can hold, and then some."""
_HEAD, _TAIL = 2048, 256


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


@lean
def _coeff_token(data: np.ndarray, state: np.ndarray, nc: int) -> int:
    """TotalCoeff << 2 | TrailingOnes (9.2.1)."""
    word = peek(data, state) >> 16
    if nc >= 8:
        state[AT] += 6
        token = word >> 10
        return 0 if token == 3 else ((token >> 2) + 1) << 2 | (token & 3)
    table = 3 if nc < 0 else 0 if nc < 2 else 1 if nc < 4 else 2
    entry = np.int64(_COEFF_TOKEN[np.uintp(table), np.uintp(word >> 5 if word >> 8 else _HEAD + word)])
    if entry == 0:
        state[FAILED] = 1
    state[AT] += entry >> 8
    return entry & 255


@lean
def _levels(data: np.ndarray, state: np.ndarray, total: int, ones: int) -> None:
    """Signs of the trailing ones and the other levels (9.2.2): their magnitudes are added up."""
    state[AT] += ones
    magnitudes, suffix_length = ones, 1 if total > 10 and ones < 3 else 0
    for index in range(ones, total):
        prefix = leading_zeros(peek(data, state))
        if prefix > _MOST_PREFIX:
            state[FAILED] = 1
            return
        state[AT] += prefix + 1
        size = suffix_length
        if prefix == 14 and suffix_length == 0:
            size = 4
        elif prefix >= 15:
            size = prefix - 3
        code = (min(15, prefix) << suffix_length) + u(data, state, size)
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
    state[LEVELS] += magnitudes


@lean
def _runs(data: np.ndarray, state: np.ndarray, total: int, most: int, nc: int) -> None:
    """total_zeros and every run_before (9.2.3)."""
    word = peek(data, state)
    if nc == CHROMA_DC:
        entry = np.int64(_TOTAL_ZEROS_CHROMA_DC[np.uintp(total - 1), np.uintp(word >> 29)])
    else:
        entry = np.int64(_TOTAL_ZEROS[np.uintp(total - 1), np.uintp(word >> 23)])
    state[AT] += entry >> 4
    left = entry & 15
    if entry == 0 or left + total > most:
        state[FAILED] = 1
        return
    for _ in range(total - 1):
        if left <= 0:
            return
        word = peek(data, state)
        if left <= 6:
            entry = np.int64(_RUN_BEFORE[np.uintp(left - 1), np.uintp(word >> 29)])
            state[AT] += entry >> 4
            left -= entry & 15
        elif word >> 29:
            state[AT] += 3
            left -= 7 - (word >> 29)
        else:
            zeros = leading_zeros(word)
            state[AT] += zeros + 1
            left -= zeros + 4
        if left < 0:
            state[FAILED] = 1


@lean
def residual_block(data: np.ndarray, state: np.ndarray, nc: int, most: int) -> int:
    """residual_block_cavlc of at most `most` coefficients (7.3.5.3.2): TotalCoeff."""
    token = _coeff_token(data, state, nc)
    total, ones = token >> 2, token & 3
    if total == 0:
        return 0
    if total > most:
        state[FAILED] = 1
        return 0
    _levels(data, state, total, ones)
    if total < most and not state[FAILED]:
        _runs(data, state, total, most, nc)
    return total
