"""When something visible begins or ends: the truth that a boundary alert is measured against.

In: a world. Out: times. A visible boundary is a moment at which the script changes what moves in the picture, or how it is lit: an
actor sets off or comes into the picture moving; it comes to rest or is gone; a rope begins or ceases to turn; somebody bends to
the parcel or stands up; the door begins to swing; the lamp is switched; a parcel appears or is taken. These are the changes that
no viewer would miss. The sentences of `World.events` are not the same: a person who has arrived and then stops at the tree made
one event and three boundaries.
"""

from __future__ import annotations

from itertools import pairwise

from trainer.world.render import is_still
from trainer.world.world import World

STEP_S = 0.05
"""The script is looked at this often."""
JOIN_S = 0.5
"""Boundaries closer than this to the first of them are one: a hand takes the parcel in the middle of bending."""

_Scene = tuple[frozenset[int], bool, bool, bool]


def visible_boundaries(world: World, *, start_s: float = 0.0, end_s: float | None = None) -> list[float]:
    """Times after `start_s`, up to `end_s` (default: the end), in order, at which something visible begins or ends. Each is the
    first look (every `STEP_S`) at which the change shows. Raises TimeError for a stretch that the world lacks."""
    end_s = world.duration_s if end_s is None else end_s
    looks = [start_s + k * STEP_S for k in range(int((end_s - start_s) / STEP_S + 1e-6) + 1)]
    scenes = [_scene(world, t_s) for t_s in looks]
    times: list[float] = []
    for (_, before), (t_s, now) in pairwise(zip(looks, scenes, strict=True)):
        if now != before and (not times or t_s - times[-1] >= JOIN_S):
            times.append(t_s)
    return times


def _scene(world: World, t_s: float) -> _Scene:
    """Who moves, and how door, lamp and parcel are."""
    state = world.state_at(t_s)
    moving = frozenset(actor.ident for actor in state.actors if not is_still(actor))
    return moving, state.door_open, state.lamp_on, state.parcel
