"""All that was found out about one stream.

In: an `Observation` and its `Examination`. Out: `Facts`, one noun each.
"""

from __future__ import annotations

from dataclasses import dataclass

from stream.doctor.bits import Bits, bits_of
from stream.doctor.clock import Clock, clock_of
from stream.doctor.damage import Damage, damage_of
from stream.doctor.examine import Examination
from stream.doctor.keys import Keys, keys_of
from stream.doctor.load import Load, load_of
from stream.doctor.observe import Observation
from stream.doctor.pace import Pace, pace_of
from stream.doctor.signals import Signals, signals_of
from stream.doctor.transport import Transport, transport_of
from stream.doctor.video import Video, video_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything but `transport` and `damage` is None where no picture came at all; `clock` is None for files, too."""

    transport: Transport
    damage: Damage
    video: Video | None = None
    pace: Pace | None = None
    keys: Keys | None = None
    bits: Bits | None = None
    clock: Clock | None = None
    signals: Signals | None = None
    load: Load | None = None


def facts_of(watch: Observation, seen: Examination, described_fps: float | None = None) -> Facts:
    """`described_fps`: the picture rate of the session description."""
    transport, damage = transport_of(watch), damage_of(watch, seen)
    if not watch.packets:
        return Facts(transport=transport, damage=damage)
    video, keys = video_of(watch, seen.frames), keys_of(watch)
    return Facts(
        transport=transport,
        damage=damage,
        video=video,
        pace=pace_of(watch, video.claimed_fps, described_fps),
        keys=keys,
        bits=bits_of(watch, seen.frames, keys, video.claimed_cbr),
        clock=clock_of(watch),
        signals=signals_of(watch.codec, seen),
        load=load_of(watch, seen),
    )
