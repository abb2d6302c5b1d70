"""A generated yard: a seed gives a scripted timeline with exact truth.

In: a seed. Out: `events` (what happened, when) and `state_at` (who, what, where). A longer `duration_s` only appends: the
same seed tells the same story, however long one watches.
"""

from __future__ import annotations

import bisect
import dataclasses
from typing import Literal

import numpy as np

from trainer.world.duty import DutyDirector
from trainer.world.errors import TimeError
from trainer.world.event import WorldEvent
from trainer.world.jumping import JumpDirector, jump_film
from trainer.world.layout import Layout, at_night, layout_of
from trainer.world.presence_interval import ActorKind, Bout, PresenceInterval
from trainer.world.rope_bout import RopeBout
from trainer.world.script import Director
from trainer.world.stage import Switch
from trainer.world.state import ActorState, WorldState, actor_state, covered_by, jumps_done

DOOR_SWING_S = 0.4
Scene = Literal["yard", "jumpscore"]
BUCKET_S = 8.0
"""Stints are indexed by slices of this length, so that an hour is as quick to look into as a minute."""


class World:
    """The yard of a seed from 0 to `duration_s` seconds.

    `layout` is the place, `events` what happens in it, sorted by `t_s`. `duty`: the share of the time that something happens, 0 to
    1, in a yard with wind in its leaves (`duty.py`); None for the busy yard with everything in it. `night`: the same yard in
    the dark. `scene`: "jumpscore" for a film of somebody who jumps rope (`jumping.py`; `jump_film` says how long it is), which has no duty.
    Raises SeedError below zero, TimeError for a duration that is not above zero or a duty that is no share.
    """

    def __init__(
        self,
        seed: int,
        *,
        duration_s: float = 60.0,
        duty: float | None = None,
        night: bool = False,
        scene: Scene = "yard",
    ) -> None:
        if not duration_s > 0:
            raise TimeError(f"duration_s: expected above 0, got {duration_s}")
        self.seed = seed
        self.duration_s = float(duration_s)
        self.layout = at_night(layout_of(seed)) if night else layout_of(seed)
        self.duty = duty
        self.scene = scene
        director = _director(self.layout, seed, scene, duty)
        director.run_until(self.duration_s)
        self.events: tuple[WorldEvent, ...] = tuple(event for event in director.events if event.t_s < self.duration_s)
        self.event_times_s = tuple(event.t_s for event in self.events)
        self._script = tuple(director.events)
        self._door, self._lamp, self._parcel = director.door, director.lamp, director.parcel
        self._stints = [stint for stint in director.stints if stint.start_s <= self.duration_s]
        self._buckets: dict[int, list[PresenceInterval]] = {}
        for stint in self._stints:
            last = int(min(stint.end_s, self.duration_s) // BUCKET_S)
            for bucket in range(int(stint.start_s // BUCKET_S), last + 1):
                self._buckets.setdefault(bucket, []).append(stint)
        bouts: list[Bout | RopeBout] = []
        for stint in self._stints:
            bouts += stint.bouts
            bouts += stint.rope_bouts
        self._bouts = sorted(bouts, key=lambda bout: bout.t0)
        self._bout_starts = [bout.t0 for bout in self._bouts]

    def state_at(self, t_s: float) -> WorldState:
        """What is true at `t_s`. Raises TimeError outside 0..duration_s."""
        if not 0 <= t_s <= self.duration_s:
            raise TimeError(f"t_s: expected 0 to {self.duration_s}, got {t_s}; make the world with a longer duration_s")
        seen = (actor_state(stint, self.layout, t_s) for stint in self._buckets.get(int(t_s // BUCKET_S), []))
        actors = sorted((actor for actor in seen if actor), key=lambda actor: (actor.y, actor.ident))
        door_open, since_s = _switched(self._door, t_s)
        swing = min(1.0, (t_s - since_s) / DOOR_SWING_S)
        return WorldState(
            t_s=t_s,
            actors=tuple(_with_cover(actors)),
            door_open=door_open,
            door_fraction=swing if door_open else 1 - swing,
            lamp_on=_switched(self._lamp, t_s)[0],
            parcel=_switched(self._parcel, t_s)[0],
            num_jumps=self._num_jumps(t_s),
        )

    @property
    def jump_starts_s(self) -> tuple[float, ...]:
        """When each jump of a JumpScore film started that was over before the end; in a yard nobody counts them."""
        turns = (turn for bout in self._bouts if isinstance(bout, RopeBout) for turn in bout.turns)
        return tuple(turn.t0 for turn in turns if turn.is_jump and turn.t1 <= self.duration_s)

    def events_between(self, since_s: float, until_s: float) -> tuple[WorldEvent, ...]:
        """Events with since_s <= t_s <= until_s."""
        low = bisect.bisect_left(self.event_times_s, since_s)
        return self.events[low : bisect.bisect_right(self.event_times_s, until_s)]

    def present_between(self, since_s: float, until_s: float) -> set[tuple[ActorKind, str]]:
        """Kind and colour of everybody who is here for any part of that time, in view or just outside of it."""
        return {(stint.kind, stint.colour) for stint in self._stints if stint.start_s <= until_s and stint.end_s >= since_s}

    def under_way(self, t_s: float) -> tuple[WorldEvent, ...]:
        """Events that have begun to show but are not complete: a bonnet at the edge, a rope turning."""
        index = bisect.bisect_right(self.event_times_s, t_s)
        return tuple(event for event in self._script[index : index + 4] if event.start_s <= t_s)

    def _num_jumps(self, t_s: float) -> int:
        index = bisect.bisect_right(self._bout_starts, t_s) - 1
        return jumps_done(self._bouts[index], t_s) if index >= 0 else 0


def _director(layout: Layout, seed: int, scene: Scene, duty: float | None) -> Director | DutyDirector | JumpDirector:
    rng = np.random.default_rng([seed, 0x5C])
    if scene == "jumpscore":
        return JumpDirector(layout, rng, jump_film(seed).duration_s)
    return Director(layout, rng) if duty is None else DutyDirector(layout, rng, duty)


def _switched(switch: Switch, t_s: float) -> tuple[bool, float]:
    """The state at `t_s` and since when."""
    index = bisect.bisect_right(switch.times_s, t_s)
    return switch.first ^ (index % 2 == 1), switch.times_s[index - 1] if index else -1e9


def _with_cover(actors: list[ActorState]) -> list[ActorState]:
    """The same actors, each knowing how much of it a nearer one hides."""
    result = []
    for index, actor in enumerate(actors):
        covered = max((covered_by(actor, nearer) for nearer in actors[index + 1 :]), default=0.0)
        result.append(dataclasses.replace(actor, covered=covered) if covered else actor)
    return result
