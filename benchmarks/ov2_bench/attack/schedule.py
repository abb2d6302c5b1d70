"""Which attacks there are, and in which order they come: drawn from a seed, so that a run can be had again.

In: a seed, how many cases are to be drawn at random in all. Out: rounds of strikes; each round has every attack once.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ov2_bench.attack.attackers import access, clips, connections, fields, hostile, mqtt, questions, schema, starts, webrtc
from ov2_bench.attack.scene import Scene

Strike = Callable[[Scene, int], Awaitable[None]]
TOKENS, OPEN = "with tokens", "without tokens"
"""The two services."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """`count`: cases of a strike, `few` of one in a short run. `fuzz_share`: of all random cases, in the place of a count. `services`: which it
    is made against, `short`: those of a short run."""

    name: str
    strike: Strike
    count: int = 0
    few: int = 0
    fuzz_share: float = 0.0
    services: tuple[str, ...] = (TOKENS, OPEN)
    short: tuple[str, ...] = (TOKENS,)


ATTACKS = (
    Attack(name="deadly questions", strike=questions.strike, count=22, few=8, short=(TOKENS, OPEN)),
    Attack(name="fuzzed questions", strike=questions.fuzz, fuzz_share=0.25),
    Attack(name="any JSON in any field", strike=fields.strike, fuzz_share=0.25),
    Attack(name="any bytes on any topic", strike=mqtt.fuzz, fuzz_share=0.5, short=(TOKENS, OPEN)),
    Attack(name="strangers at the broker", strike=mqtt.strangers, count=10, few=10, services=(TOKENS,)),
    Attack(name="no token, foreign names", strike=access.strike, count=400, few=400, short=(TOKENS, OPEN)),
    Attack(name="ranges of clips", strike=clips.ranges, count=30, few=16),
    Attack(name="clips at once", strike=clips.parallel, count=60, few=20),
    Attack(name="clips that nobody reads", strike=clips.never_read, count=60, few=20),
    Attack(name="slow connections", strike=connections.slow, count=350, few=30),
    Attack(name="bodies of 50 MB", strike=connections.large, count=6, few=2),
    Attack(name="followers that never read", strike=connections.followers, count=500, few=40),
    Attack(name="idle connections", strike=connections.idle, count=350, few=40),
    Attack(name="starts", strike=starts.strike, count=6, few=4, services=(TOKENS,)),
    Attack(name="offers", strike=webrtc.strike, count=400, few=60),
    Attack(name="hostile cameras", strike=hostile.strike, count=2, few=1),
    Attack(name="schemathesis", strike=schema.strike, count=10, few=1),
)
FLIPS = "flipped bits"
"""The attack on stopped data, between the two services."""


def round_of(service: str, rng: random.Random, *, is_short: bool = False) -> list[Attack]:
    """Every attack on this service once, in another order each time."""
    attacks = [attack for attack in ATTACKS if service in (attack.short if is_short else attack.services)]
    rng.shuffle(attacks)
    return attacks


def quotas(num_cases: int, left_s: float, round_s: float) -> int:
    """Random cases of the next round: what is left of them, over the rounds that there is time for."""
    return math.ceil(num_cases / max(1.0, left_s / max(round_s, 1e-9)))
