"""What breaks, and when: drawn from a seed, so that a run can be had again.

In: a seed, kinds of faults, limits. Out: `Fault`s, one after another, without end. Kinds come from a bag, so that a short run sees each. The
broker has a line of faults of its own: it breaks whatever else is broken.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """What can break.

    BROKER_KILLED, BROKER_STOPPED: Mosquitto, at once or after it has put its things in order. SERVICE_KILLED: `ov2 serve`, at once.
    DISK_FULL: nothing more can be written where the data is. REDIS_KILLED: the journal's Redis, at once. CLOCK_MOVED: the wall clock of
    the service stands an hour ahead, or behind.
    """

    BROKER_KILLED = "broker killed"
    BROKER_STOPPED = "broker stopped"
    SERVICE_KILLED = "service killed"
    DISK_FULL = "disk full"
    REDIS_KILLED = "redis killed"
    CLOCK_MOVED = "clock moved"


OF_BROKER = (FaultKind.BROKER_KILLED, FaultKind.BROKER_STOPPED)
OF_TESTBED = (FaultKind.SERVICE_KILLED, FaultKind.DISK_FULL)
"""One at a time: what is told from memory while the journal cannot be written, and killed then, has no journal to be held against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`after_s` the last one of its line has been seen through. `lasts_s`: until the thing is started, or freed, again."""

    kind: FaultKind
    after_s: float
    lasts_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Least and most seconds: between two faults of a line, and of a thing that is away."""

    between_s: tuple[float, float] = (3.0, 12.0)
    away_s: tuple[float, float] = (1.0, 10.0)


def draw_faults(seed: int, faults: Sequence[FaultKind], limits: Limits | None = None) -> Iterator[Fault]:
    """Without end."""
    limits = limits or Limits()
    chance = random.Random(f"{seed} {'/'.join(faults)}")
    while True:
        bag = list(faults)
        chance.shuffle(bag)
        for kind in bag:
            yield Fault(kind=kind, after_s=chance.uniform(*limits.between_s), lasts_s=chance.uniform(*limits.away_s))
