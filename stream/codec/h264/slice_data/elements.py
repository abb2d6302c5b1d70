"""Syntax elements of the macroblock layer, in CAVLC and CABAC (H.264 7.3.5, 9.1, 9.3.3.1.1).

In: a reading, and what the neighbours say. Out: the element's value. Numbers of contexts are ctxIdxOffset of table 9-34.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import lean
from stream.codec.h264.slice_data import tables
from stream.codec.h264.slice_data.arithmetic import bypass_bit, decision, golomb_suffix, terminate
from stream.codec.h264.slice_data.bits import ABOVE, FAILED, HAS_CHROMA, IS_CABAC, LAST_DELTA, LEFT, TYPE, se, u, ue
from stream.codec.h264.slice_data.grid import CBP, DIRECT, EIGHT, FLAGS, INTRA_BLOCKS, KIND, MODE_SHIFT, SKIPPED, get
from stream.codec.h264.slice_data.reading import Reading

P_INTRA, B_INTRA = 5, 23
"""mb_type of the first intra type in P and B slices (tables 7-13 and 7-14)."""
B_8X8, I_PCM = 22, 25
_MOST_DELTA = 104
"""Bins of the longest mb_qp_delta."""
_CBP = np.array([tables.CBP_INTRA, tables.CBP_INTER], np.int64)
_CBP_GREY = np.array([tables.CBP_INTRA_GREY, tables.CBP_INTER_GREY], np.int64)


@lean
def _intra_type(reading: Reading, first: int, step: int) -> int:
    """Bins of an intra mb_type behind its first one (table 9-36); `step` is 1 where each bin has a context of its own, in I slices."""
    if terminate(reading):
        return I_PCM
    value = 1 + 12 * decision(reading, first)
    if decision(reading, first + 1):
        value += 4 + 4 * decision(reading, first + 1 + step)
    value += 2 * decision(reading, first + 2 + step)
    return value + decision(reading, first + 2 + 2 * step)


@lean
def _b_type(reading: Reading, increment: int) -> int:
    """mb_type of B slices (table 9-37)."""
    if not decision(reading, 27 + increment):
        return 0
    if not decision(reading, 30):
        return 1 + decision(reading, 32)
    bits = decision(reading, 31) << 3
    bits |= decision(reading, 32) << 2
    bits |= decision(reading, 32) << 1
    bits |= decision(reading, 32)
    if bits < 8:
        return bits + 3
    if bits == 13:
        if not decision(reading, 32):
            return B_INTRA
        return B_INTRA + _intra_type(reading, 33, 0)
    if bits == 14:
        return 11
    if bits == 15:
        return B_8X8
    return ((bits << 1) | decision(reading, 32)) - 4


@lean
def mb_type(reading: Reading) -> int:
    """mb_type as table 7-11 (I), 7-13 (P) or 7-14 (B) counts."""
    data, state = reading.data, reading.state
    if not state[IS_CABAC]:
        return ue(data, state)
    if state[TYPE] == 0:
        if decision(reading, 14):
            if not decision(reading, 17):
                return P_INTRA
            return P_INTRA + _intra_type(reading, 18, 0)
        if decision(reading, 15):
            return 2 - decision(reading, 17)
        return 3 * decision(reading, 16)
    if state[TYPE] == 1:
        a = state[LEFT] >= 0 and not get(reading, state[LEFT], KIND) & DIRECT
        b = state[ABOVE] >= 0 and not get(reading, state[ABOVE], KIND) & DIRECT
        return _b_type(reading, int(a) + int(b))
    a = state[LEFT] >= 0 and not get(reading, state[LEFT], KIND) & INTRA_BLOCKS
    b = state[ABOVE] >= 0 and not get(reading, state[ABOVE], KIND) & INTRA_BLOCKS
    if not decision(reading, 3 + int(a) + int(b)):
        return 0
    return _intra_type(reading, 6, 1)


@lean
def skip_flag(reading: Reading) -> int:
    """mb_skip_flag."""
    state = reading.state
    a = state[LEFT] >= 0 and not get(reading, state[LEFT], KIND) & SKIPPED
    b = state[ABOVE] >= 0 and not get(reading, state[ABOVE], KIND) & SKIPPED
    return decision(reading, (11 if state[TYPE] == 0 else 24) + int(a) + int(b))


@lean
def sub_mb_type(reading: Reading) -> int:
    """sub_mb_type as tables 7-17 (P) and 7-18 (B) count."""
    data, state = reading.data, reading.state
    if not state[IS_CABAC]:
        return ue(data, state)
    if state[TYPE] == 0:
        if decision(reading, 21):
            return 0
        if not decision(reading, 22):
            return 1
        return 2 if decision(reading, 23) else 3
    if not decision(reading, 36):
        return 0
    if not decision(reading, 37):
        return 1 + decision(reading, 39)
    value = 3
    if decision(reading, 38):
        if decision(reading, 39):
            return 11 + decision(reading, 39)
        value = 7
    value += 2 * decision(reading, 39)
    return value + decision(reading, 39)


@lean
def transform_flag(reading: Reading) -> int:
    """transform_size_8x8_flag."""
    data, state = reading.data, reading.state
    if not state[IS_CABAC]:
        return u(data, state, 1)
    increment = int(state[LEFT] >= 0 and get(reading, state[LEFT], FLAGS) & EIGHT != 0) + int(
        state[ABOVE] >= 0 and get(reading, state[ABOVE], FLAGS) & EIGHT != 0
    )
    return decision(reading, 399 + increment)


@lean
def skip_intra_modes(reading: Reading, num_blocks: int) -> None:
    """prev_intra_pred_mode_flag and rem_intra_pred_mode of every block."""
    data, state = reading.data, reading.state
    for _ in range(num_blocks):
        if state[IS_CABAC]:
            if not decision(reading, 68):
                for _ in range(3):
                    decision(reading, 69)
        elif not u(data, state, 1):
            u(data, state, 3)


@lean
def chroma_mode(reading: Reading) -> int:
    """intra_chroma_pred_mode."""
    data, state = reading.data, reading.state
    if not state[IS_CABAC]:
        return ue(data, state)
    increment = int(state[LEFT] >= 0 and get(reading, state[LEFT], FLAGS) >> MODE_SHIFT != 0)
    increment += int(state[ABOVE] >= 0 and get(reading, state[ABOVE], FLAGS) >> MODE_SHIFT != 0)
    if not decision(reading, 64 + increment):
        return 0
    if not decision(reading, 67):
        return 1
    return 2 + decision(reading, 67)


@lean
def reference_index(reading: Reading, num_refs: int, increment: int) -> int:
    """ref_idx of a list of `num_refs`."""
    data, state = reading.data, reading.state
    if not state[IS_CABAC]:
        index = 1 - u(data, state, 1) if num_refs == 2 else ue(data, state)
    else:
        index, context = 0, increment
        while decision(reading, 54 + context):
            index += 1
            context = (context >> 2) + 4
            if index >= 32:
                break
    if index >= num_refs:
        state[FAILED] = 1
        return 0
    return index


@lean
def difference(reading: Reading, component: int, near: int) -> int:
    """One component of mvd; `near`: what its neighbours' add up to."""
    data, state = reading.data, reading.state
    if not state[IS_CABAC]:
        return se(data, state)
    first = 40 + 7 * component
    if not decision(reading, first + int(near > 2) + int(near > 32)):
        return 0
    value, context = 1, first + 3
    while value < 9 and decision(reading, context):
        if value < 4:
            context += 1
        value += 1
    if value == 9:
        value += golomb_suffix(reading, 3)
    return -value if bypass_bit(reading) else value


@lean
def coded_block_pattern(reading: Reading, is_inter: bool) -> int:
    """coded_block_pattern: four bits of luma, chroma above them."""
    data, state = reading.data, reading.state
    if not state[IS_CABAC]:
        code = ue(data, state)
        if code >= (48 if state[HAS_CHROMA] else 16):
            state[FAILED] = 1
            return 0
        return int(_CBP[int(is_inter), code] if state[HAS_CHROMA] else _CBP_GREY[int(is_inter), code])
    of_left = _pattern_of(reading, state[LEFT])
    of_above = _pattern_of(reading, state[ABOVE])
    cbp = 0
    for block in range(4):
        a = cbp >> (block - 1) & 1 if block & 1 else of_left >> (block + 1) & 1
        b = cbp >> (block - 2) & 1 if block & 2 else of_above >> (block + 2) & 1
        cbp |= decision(reading, 73 + (1 - a) + 2 * (1 - b)) << block
    if state[HAS_CHROMA]:
        a, b = _chroma_of(reading, state[LEFT]), _chroma_of(reading, state[ABOVE])
        if decision(reading, 77 + int(a > 0) + 2 * int(b > 0)):
            cbp |= (1 + decision(reading, 81 + int(a > 1) + 2 * int(b > 1))) << 4
    return cbp


@lean
def _pattern_of(reading: Reading, near: int) -> int:
    """Luma bits of a neighbour; outside the slice all count as coded."""
    return 15 if near < 0 else get(reading, near, CBP)


@lean
def _chroma_of(reading: Reading, near: int) -> int:
    """Chroma of a neighbour: 0 nothing, 1 DC, 2 all."""
    return 0 if near < 0 else get(reading, near, CBP) >> 4


@lean
def qp_delta(reading: Reading) -> int:
    """mb_qp_delta."""
    data, state = reading.data, reading.state
    if not state[IS_CABAC]:
        return se(data, state)
    context, value = int(state[LAST_DELTA] != 0), 0
    while decision(reading, 60 + context):
        context = 2 + (context >> 1)
        value += 1
        if value > _MOST_DELTA:
            state[FAILED] = 1
            return 0
    return (value + 1) >> 1 if value & 1 else -(value >> 1)
