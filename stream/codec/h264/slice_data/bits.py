"""Bits of a payload, read from compiled code.

In: a payload as uint8 without emulation prevention, padded with `PADDING` zero bytes, and a state. Out: numbers; the state moves on.
Past the end zeros are read, for as long as somebody asks: callers bound their loops and check `AT` against the end.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import leading_zeros_of, lean

PADDING = 8
"""Zero bytes behind a payload."""
WINDOW = 57

(
    AT,
    FAILED,
    RANGE,
    OFFSET,
    NEXT,
    QP,
    LAST_DELTA,
    LEVELS,
    END_FLAGS,
    MACROBLOCKS,
    NUMBER,
    TYPE,
    IS_CABAC,
    WIDTH,
    NUM_MBS,
    NUM_REF_0,
    NUM_REF_1,
    TRANSFORM_8X8,
    INFERENCE,
    HAS_CHROMA,
    WITH_VECTORS,
    ADDRESS,
    LEFT,
    ABOVE,
    SIZE,
    FIRST,
    COLUMN,
    SLOT,
    ROOM,
    BEGIN,
    HAS_MOTION,
    NUM_STATE,
) = range(32)
"""Places in the int64 state of a slice that is read.

- `AT`: bits read; `FAILED`: something impossible was read. `RANGE`, `OFFSET`, `NEXT`: codIRange, codIOffset and what is read ahead, the
  next byte to fetch (see `arithmetic`). `QP`: QP_Y of the macroblock before; `LAST_DELTA`: its mb_qp_delta; `LEVELS`: sum of absolute
  levels of this one. `MACROBLOCKS`, `END_FLAGS`: bits of all macroblocks, of all
  end_of_slice_flags.
- Of the slice: its number in the picture, type, entropy coder, picture width and size in macroblocks, lengths of its reference lists,
  transform_8x8_mode_flag, direct_8x8_inference_flag, whether there is chroma, whether vectors are wanted.
- The macroblock that is read: `ADDRESS`, `COLUMN`, `SLOT` in `cells` and `motion` of `ROOM` slots; `LEFT`, `ABOVE`: slots of its
  neighbours, -1 outside the slice. `BEGIN`: bits read before it. `FIRST`: the slice's first.
- `SIZE`: bytes of the payload, padding included. `HAS_MOTION`: there is room for vectors; `WITH_VECTORS`: and the slice has some.
"""

_LONGEST = 31
"""Leading zeros of the longest Exp-Golomb code that fits 32 bits."""


@lean
def window(data: np.ndarray, state: np.ndarray, at: int) -> int:
    """The bits from `at` on in front of a uint64, `WINDOW` of them at least."""
    first = at >> 3
    if first < 0 or first > state[SIZE] - PADDING:
        return np.uint64(0)
    i, word = np.uintp(first), np.uint64(0)
    for number in range(PADDING):
        word = (word << np.uint64(8)) | np.uint64(data[i + np.uintp(number)])
    return word << np.uint64(at & 7)


@lean
def peek(data: np.ndarray, state: np.ndarray) -> int:
    """The next 32 bits."""
    return np.int64(window(data, state, state[AT]) >> np.uint64(32))


@lean
def leading_zeros(word: int) -> int:
    """Zeros in front of the first one of 32 bits."""
    return leading_zeros_of(word) - 32 if word else 32


@lean
def u(data: np.ndarray, state: np.ndarray, count: int) -> int:
    """u(n), n at most 32 (H.264 7.2)."""
    value = peek(data, state) >> (32 - count) if count else 0
    state[AT] += count
    return value


@lean
def ue(data: np.ndarray, state: np.ndarray) -> int:
    """ue(v) (H.264 9.1)."""
    word = peek(data, state)
    zeros = leading_zeros(word)
    if zeros < 16:
        state[AT] += 2 * zeros + 1
        return (word >> (31 - 2 * zeros)) - 1
    if zeros > _LONGEST:
        state[FAILED] = 1
        state[AT] += 32
        return 0
    state[AT] += zeros + 1
    return (1 << zeros) - 1 + u(data, state, zeros)


@lean
def se(data: np.ndarray, state: np.ndarray) -> int:
    """se(v) (H.264 9.1.1)."""
    code = ue(data, state)
    return (code + 1) >> 1 if code & 1 else -(code >> 1)
