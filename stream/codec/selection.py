"""The k-th smallest of many numbers, compiled, digit by digit: as many steps whatever the numbers are.

In: float32 values without NaN. Out: one of them, or the mean of the middle two.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import compiled

_SHIFTS, _MASKS = np.array([21, 10, 0], np.uint32), np.array([0x7FF, 0x7FF, 0x3FF], np.uint32)
"""The three digits of a key of 32 bits."""
_NUM_BINS = 1 << 11
_SIGN, _ALL = np.uint32(1 << 31), np.uint32(0xFFFFFFFF)


@compiled
def ranked(values: np.ndarray, rank: int, scratch: np.ndarray) -> float:
    """The value that `rank` others stand in front of when they are sorted. `scratch`, as many float32, is written over."""
    keys, words, bins = scratch.view(np.uint32), values.view(np.uint32), np.zeros(_NUM_BINS, np.int32)
    num = len(values)
    for at in range(
        num
    ):  # keys are in the order of the numbers: a negative one has all its bits turned round, another its sign
        word = words[at]
        keys[at] = word ^ (_ALL if word & _SIGN else _SIGN)
        bins[keys[at] >> _SHIFTS[0]] += 1
    for step in range(len(_SHIFTS)):
        if step > 0:
            bins[:] = 0
            for at in range(num):
                bins[(keys[at] >> _SHIFTS[step]) & _MASKS[step]] += 1
        digit = 0
        while rank >= bins[digit]:
            rank -= bins[digit]
            digit += 1
        found, least, most = 0, _ALL, np.uint32(0)
        for at in range(num):
            key = keys[at]
            keys[found] = key
            if (key >> _SHIFTS[step]) & _MASKS[step] == np.uint32(digit):
                found, least, most = found + 1, min(least, key), max(most, key)
        num = found
        if least == most:
            break
    keys[0] ^= _SIGN if keys[0] & _SIGN else _ALL
    return scratch[0]


@compiled
def median_of(values: np.ndarray, scratch: np.ndarray) -> float:
    """Of an even number the mean of the two in the middle."""
    num = len(values)
    middle = ranked(values, (num - 1) // 2, scratch)
    if num % 2:
        return middle
    num_up_to, above = 0, np.float32(np.inf)
    for at in range(num):
        num_up_to += values[at] <= middle
        above = min(above, values[at] if values[at] > middle else np.float32(np.inf))
    return middle if num_up_to > num // 2 else (middle + above) / np.float32(2)
