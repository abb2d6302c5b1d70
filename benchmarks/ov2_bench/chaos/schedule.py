"""What happens to whom, and when: drawn from a seed, so that a run can be had again.

In: a seed, cameras that may be touched, limits. Out: `Fault`s, one after another. Kinds come from a bag, so that a short run sees each.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

HOUR_S = 3600


class FaultKind(StrEnum):
    """What can happen to a camera.

    KILL: its process dies, and comes back. STALL: nothing moves either way. HALF_CLOSE: one side is told that nothing more comes. SLOW:
    less gets through than it sends. CUT: the connection ends in the middle of a packet. RESIZE: it dies, and comes back with another
    picture size. CLOCK: its timestamps and sender reports move by an hour.
    """

    KILL = "kill"
    STALL = "stall"
    HALF_CLOSE = "half_close"
    SLOW = "slow"
    CUT = "cut"
    RESIZE = "resize"
    CLOCK = "clock"


LASTING = frozenset({FaultKind.KILL, FaultKind.STALL, FaultKind.SLOW, FaultKind.RESIZE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`after_s` the last one, to the first of `cameras` that is well. `lasts_s`: how long, where it lasts; `dice` in [0, 1) decides
    what else there is to decide."""

    after_s: float
    kind: FaultKind
    lasts_s: float
    cameras: tuple[str, ...]
    dice: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds between faults, of a stall or a slow network, and without a camera."""

    between_s: tuple[float, float] = (5.0, 15.0)
    stall_s: tuple[float, float] = (2.0, 20.0)
    down_s: tuple[float, float] = (1.0, 10.0)


def draw_faults(seed: int, cameras: Sequence[str], limits: Limits | None = None) -> Iterator[Fault]:
    """Without end."""
    limits = limits or Limits()
    dice = random.Random(seed)
    while True:
        bag = list(FaultKind)
        dice.shuffle(bag)
        for kind in bag:
            order = list(cameras)
            dice.shuffle(order)
            span = limits.down_s if kind in (FaultKind.KILL, FaultKind.RESIZE) else limits.stall_s
            lasts_s = dice.uniform(*span)
            yield Fault(
                after_s=dice.uniform(*limits.between_s),
                kind=kind,
                lasts_s=lasts_s if kind in LASTING else 0.0,
                cameras=tuple(order),
                dice=dice.random(),
            )
