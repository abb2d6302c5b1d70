"""How the encoder shares out its bits: a guess from what varies and what does not.

In: bytes and mean quantiser of equal windows of time. Out: `Control`.

What the scene asks for in a window shows in bytes and quantiser together: six steps of the quantiser halve the bytes, so bytes times
2^(QP/6) is what the window would have cost at one and the same quantiser. The rules, in this order:

1. Constant quality: the quantiser hardly varies, while the bytes do.
2. Capped: of the windows, some have a raised quantiser; they all cost about the same, and more than the others, in which the quantiser
   is held.
3. Constant bit rate: the quantiser takes up most of what the scene asks for, so that bytes vary much less than the demand does.
4. Variable: neither; an average over a long time is held, if anything.

Where neither bytes nor quantiser vary, the scene asked for the same all the time, and nothing can be told but what the stream itself
declares (the rate model of its parameter set).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Mode = Literal["constant quality", "constant bit rate", "capped", "variable", "unknown"]
LEAST_WINDOWS = 5
HELD_QP = 1.5
"""Standard deviation of a quantiser that is held, steps: adaptive quantisation moves the mean of a picture by about one."""
HELD_BYTES = 0.15
"""Standard deviation of bytes that do not vary, share of their mean."""
CALM_QP = 1.75
"""The same for the calm windows of a capped stream: x264 and others lower it by some steps where nothing moves at all."""
CEILING = 1.2
"""Windows at the ceiling cost at least so many times the calm ones; at a constant bit rate both cost the same."""
LEAST_EACH = 2
"""Windows that must be at the ceiling, and below."""
ABSORBED = 0.35
"""Share of the demand's spread (logarithms) that the quantiser takes up at a constant bit rate; a rate buffer of a second leaves some."""
QP_PER_HALVING = 6.0
"""Steps that double the quantiser (H.264 8.5.9), which about halves the bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """`qp_spread`: standard deviation of the windows' quantiser, None where it is not told; `bytes_spread`: of their bytes, as a share of
    the mean. `absorbed`: share of the demand's spread that the quantiser took up. `why`: the rule that spoke."""

    mode: Mode
    qp_spread: float | None
    bytes_spread: float | None
    absorbed: float | None
    num_windows: int
    why: str


def control_of(num_bytes: Sequence[float], qp: Sequence[float], declared_cbr: bool | None) -> Control:
    """`qp`: NaN in windows that tell none."""
    sizes, steps = np.asarray(num_bytes, float), np.asarray(qp, float)
    known = np.isfinite(steps) & (sizes > 0)
    sizes, steps = sizes[known], steps[known]
    if len(sizes) < LEAST_WINDOWS:
        mode, why = _declared(declared_cbr, "too little was seen")
        return Control(mode=mode, qp_spread=None, bytes_spread=None, absorbed=None, num_windows=len(sizes), why=why)
    mode, why = _judge(sizes, steps, declared_cbr)
    return Control(
        mode=mode,
        qp_spread=float(steps.std()),
        bytes_spread=float(sizes.std() / sizes.mean()),
        absorbed=_absorbed(sizes, steps),
        num_windows=len(sizes),
        why=why,
    )


def _judge(sizes: np.ndarray, steps: np.ndarray, declared_cbr: bool | None) -> tuple[Mode, str]:
    if steps.std() <= HELD_QP:
        if sizes.std() > HELD_BYTES * sizes.mean():
            return "constant quality", "the quantiser is held while bytes follow the scene"
        return _declared(declared_cbr, "the scene asked for the same all the time")
    if _is_capped(sizes, steps):
        return "capped", "the quantiser is held but for the costliest stretches, which all cost the same"
    if _absorbed(sizes, steps) >= ABSORBED:
        return "constant bit rate", "the quantiser follows the scene, so that bytes need not"
    if declared_cbr:
        return "constant bit rate", "the stream declares it"
    return "variable", "bytes and quantiser both follow the scene"


def _is_capped(sizes: np.ndarray, steps: np.ndarray) -> bool:
    raised = steps > (steps.min() + steps.max()) / 2
    if min(raised.sum(), (~raised).sum()) < LEAST_EACH:
        return False
    ceiling, calm = sizes[raised], sizes[~raised]
    return bool(
        steps[~raised].std() <= CALM_QP
        and ceiling.std() <= HELD_BYTES * ceiling.mean()
        and ceiling.mean() >= CEILING * calm.mean()
    )


def _absorbed(sizes: np.ndarray, steps: np.ndarray) -> float:
    """1: bytes are the same whatever the scene asks for; 0: they follow it fully."""
    spent = np.log2(sizes)
    asked = float((spent + steps / QP_PER_HALVING).std())
    return 1 - float(spent.std()) / asked if asked else 0.0


def _declared(cbr: bool | None, why: str) -> tuple[Mode, str]:
    return ("constant bit rate", f"{why}; the stream declares it") if cbr else ("unknown", why)
