"""What was lost or broken on the way.

In: an `Observation` and its `Examination`. Out: `Damage`.
"""

from __future__ import annotations

from dataclasses import dataclass

from stream.doctor.examine import Examination
from stream.doctor.observe import Observation

NOT_DAMAGE = "no_keyframe"
"""Pictures before the first key are sound; nobody can decode them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Pictures by reason: `lost` on the way to a packet or in decoding; `before_key`: before decoding could start; `unreadable`: decoded,
    but the slice data does not add up. `share`: of all pictures, lost. `ended`, `why`: how the watch ended."""

    lost: dict[str, int]
    num_lost: int
    before_key: int
    unreadable: int
    share: float
    ended: str
    why: str


def damage_of(watch: Observation, seen: Examination) -> Damage:
    counts = watch.skipped + seen.dropped
    lost = {reason: count for reason, count in sorted(counts.items()) if reason != NOT_DAMAGE and count}
    num_lost = sum(lost.values())
    num_tried = len(watch.packets) + sum(watch.skipped.values()) - counts[NOT_DAMAGE]
    return Damage(
        lost=lost,
        num_lost=num_lost,
        before_key=counts[NOT_DAMAGE],
        unreadable=seen.unread["damaged"] + seen.unread["unreadable"],
        share=num_lost / num_tried if num_tried > 0 else 0.0,
        ended=watch.ended,
        why=watch.why,
    )
