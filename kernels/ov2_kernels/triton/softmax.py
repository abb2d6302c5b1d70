"""The running softmax that all attention kernels share, in powers of two.

In: scores of one tile of keys, the tile's values, and the state so far. Out: the new state: the unnormalised sum `acc`, the largest
score `top`, and the sum of weights `total` of each row.

Shape letters: M rows, N keys, D head size.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def take_in(scores_MN, v_ND, value_scale_N, acc_MD, top_M, total_M, DOT: tl.constexpr, SCALED: tl.constexpr):
    """Add one tile of keys; scores of keys that a row does not see are minus infinity. `value_scale_N` counts if SCALED."""
    new_top_M = tl.maximum(top_M, tl.max(scores_MN, 1))
    # a row that has seen nothing yet has no top to subtract: infinity minus infinity would be NaN
    base_M = tl.where(new_top_M == float("-inf"), 0.0, new_top_M)
    weights_MN = tl.exp2(scores_MN - base_M[:, None])
    fade_M = tl.exp2(top_M - base_M)
    total_M = total_M * fade_M + tl.sum(weights_MN, 1)
    if SCALED:
        weights_MN = weights_MN * value_scale_N[None, :]
    acc_MD = acc_MD * fade_M[:, None]
    acc_MD = tl.dot(weights_MN.to(DOT), v_ND.to(DOT), acc_MD, input_precision="ieee")
    return acc_MD, new_top_M, total_M


@triton.jit
def finish(acc_MD, top_M, total_M):
    """Normalised sums, and the base-2 logarithm of each row's weights; a row that saw nothing gives zeros and minus infinity."""
    saw_M = total_M > 0.0
    safe_M = tl.where(saw_M, total_M, 1.0)
    lse_M = tl.where(saw_M, top_M + tl.log2(safe_M), float("-inf"))
    return acc_MD / safe_M[:, None], lse_M
