"""What is true at one moment: who is in the yard, where, doing what; door, lamp, parcel.

In: a stint and a time. Out: frozen `ActorState`s, gathered in a `WorldState`. The renderer draws exactly these, and the
questions read exactly these. Coordinates are picture coordinates, 0..1, x to the right and y down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from trainer.world.layout import DOOR_HALF_W, DRAWING_W, Layout
from trainer.world.presence_interval import BEND_S, ActorKind, Bout, PresenceInterval
from trainer.world.rope_bout import RopeBout

Action = Literal["stand", "walk", "jump", "bend", "drive"]
Box = tuple[float, float, float, float]

PERSON_HEIGHT = 0.39
"""Height of a middling person, fraction of the picture height; people nearer the camera are taller."""
PERSON_WIDTH = 0.40
"""Width over height of a person."""
CAR_SIZE = (0.345, 0.235)
DOG_SIZE = (0.175, 0.175)
PARCEL_SIZE = (0.068, 0.095)
AIR = 0.46
"""Part of a turn of the rope during which the feet are off the ground."""
HOP = 0.15
"""Height of a hop over the height of the person."""
STRIDES = 11.0
"""Steps, in radians of the walk cycle per picture width and body height, chosen so that feet do not slide much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorState:
    """One actor at one moment.

    - `ident`: the same number for the whole stay. `colour`: coat or body, "" for the dog. `look`: seeds small differences.
    - `x`: the middle, `y`: feet, wheels or paws on the ground. `box`: left, top, right, bottom, not cut at the picture's edge.
    - `visible`: the part of the box's width inside the picture and, in a doorway, inside the door's opening.
    - `covered`: the largest part of the box that one nearer actor's box hides.
    - `height`: of the body, fraction of the picture height. `facing`: +1 right, -1 left. `moving`: on the way somewhere.
    - `phase`: of the walk cycle, radians. `bend`: 0 upright to 1 down at the parcel. `carrying`: has the parcel in hand.
    - `hop`: feet above ground over body height. `rope`: turns of the rope so far, None without one. `num_jumps`: in this bout.
    - `in_doorway`: stepping sideways out of or into the open door.
    - `rope_behind`: the rope is seen from the side, and a whole turn is where it hangs behind the legs; otherwise one is over the head.
    """

    kind: ActorKind
    ident: int
    colour: str
    look: int
    x: float
    y: float
    box: Box
    height: float
    visible: float
    covered: float = 0.0
    facing: int = 1
    action: Action = "stand"
    moving: bool = False
    phase: float = 0.0
    bend: float = 0.0
    carrying: bool = False
    hop: float = 0.0
    rope: float | None = None
    num_jumps: int = 0
    in_doorway: bool = False
    rope_behind: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldState:
    """The yard at `t_s`. `actors` are those with any part to be seen, the farthest first. `door_fraction`: 0 shut to 1 open.
    `parcel`: a parcel rests at the door. `num_jumps`: hops finished in the latest bout begun by now."""

    t_s: float
    actors: tuple[ActorState, ...]
    door_open: bool
    door_fraction: float
    lamp_on: bool
    parcel: bool
    num_jumps: int

    def of_kind(self, kind: ActorKind) -> tuple[ActorState, ...]:
        """Actors of a kind that are in view: at least half visible."""
        return tuple(actor for actor in self.actors if actor.kind == kind and actor.visible >= 0.5)


def jumps_done(bout: Bout | RopeBout, t_s: float) -> int:
    """Hops of a bout whose landing is over."""
    if isinstance(bout, RopeBout):
        return bout.num_done(t_s)
    return max(0, min(bout.num, math.floor((t_s - bout.t0) / bout.period_s + 0.5 - AIR / 2)))


def actor_state(stint: PresenceInterval, layout: Layout, t_s: float) -> ActorState | None:
    """The actor at `t_s`, or None when no part of it can be seen."""
    if not stint.is_present(t_s):
        return None
    leg = stint.leg_at(t_s)
    x, y = leg.at(t_s) if leg else (stint.x, stint.y)
    moving = leg is not None and leg.t0 <= t_s < leg.t1
    facing = stint.facing if leg is None or leg.x0 == leg.x1 else 1 if leg.x1 > leg.x0 else -1
    width, height = _size(stint, layout, y)
    hop, rope, num_jumps = _jumping(stint, t_s)
    doorway = any(t0 <= t_s < t1 for t0, t1 in stint.doorways)
    visible = _visible(x, width, layout, doorway)
    if visible <= 0.0:
        return None
    bend, facing = _bending(stint, t_s, facing)
    return ActorState(
        kind=stint.kind,
        ident=stint.ident,
        colour=stint.colour,
        look=stint.look,
        x=x,
        y=y,
        box=(x - width / 2, y - height * (1 + hop), x + width / 2, y - height * hop),
        height=height,
        visible=visible,
        facing=facing,
        action=_action(stint, moving, rope, bend),
        moving=moving,
        phase=_phase(stint, t_s),
        bend=bend,
        carrying=any(t0 <= t_s < t1 for t0, t1 in stint.carries),
        hop=hop,
        rope=rope,
        num_jumps=num_jumps,
        in_doorway=doorway,
        rope_behind=bool(stint.rope_bouts),
    )


def covered_by(actor: ActorState, nearer: ActorState) -> float:
    """The part of an actor's box that a nearer actor's box hides, 0..1."""
    a, b = actor.box, nearer.box
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, w) * max(0.0, h) / ((a[2] - a[0]) * (a[3] - a[1]))


def _size(stint: PresenceInterval, layout: Layout, y: float) -> tuple[float, float]:
    if stint.kind == "car":
        return CAR_SIZE[0] * layout.zoom, CAR_SIZE[1] * layout.zoom
    if stint.kind == "dog":
        return DOG_SIZE[0] * layout.zoom, DOG_SIZE[1] * layout.zoom
    height = PERSON_HEIGHT * stint.stature * layout.zoom * (1 + 1.6 * (y - 0.70))
    return height * PERSON_WIDTH * 9 / 16, height


def _visible(x: float, width: float, layout: Layout, doorway: bool) -> float:
    half = DOOR_HALF_W / DRAWING_W * layout.zoom
    low, high = (layout.door_x - half, layout.door_x + half) if doorway else (0.0, 1.0)
    return max(0.0, min(1.0, (min(x + width / 2, high) - max(x - width / 2, low)) / width))


def _jumping(stint: PresenceInterval, t_s: float) -> tuple[float, float | None, int]:
    if stint.rope_bouts:
        return _exercising(stint.rope_bouts, t_s)
    for bout in stint.bouts:
        if bout.t0 <= t_s < bout.t1:
            turns = (t_s - bout.t0) / bout.period_s
            u = (turns % 1.0 - 0.5) / AIR + 0.5
            return (HOP * 4 * u * (1 - u) if 0 < u < 1 else 0.0), turns, jumps_done(bout, t_s)
    return 0.0, None, 0


def _exercising(bouts: list[RopeBout], t_s: float) -> tuple[float, float | None, int]:
    bout = next((bout for bout in reversed(bouts) if bout.t0 <= t_s), None)
    turn = bout.turn_at(t_s) if bout else None
    num = bout.num_done(t_s) if bout else 0
    return (turn.hop_at(t_s), num + turn.phase_at(t_s), num) if turn else (0.0, float(num), num)


def _bending(stint: PresenceInterval, t_s: float, facing: int) -> tuple[float, int]:
    for t0, side in stint.bends:
        if t0 <= t_s < t0 + BEND_S:
            return math.sin(math.pi * (t_s - t0) / BEND_S), side
    return 0.0, facing


def _phase(stint: PresenceInterval, t_s: float) -> float:
    """Cycle of the legs from the distance walked, so that standing stands."""
    leg = stint.leg_at(t_s)
    if leg is None or t_s >= leg.t1:
        return 0.0
    return abs(leg.at(t_s)[0] - leg.x0) * STRIDES * 2 * math.pi


def _action(stint: PresenceInterval, moving: bool, rope: float | None, bend: float) -> Action:
    if rope is not None and not (stint.rope_bouts and rope.is_integer()):
        return "jump"
    if bend > 0:
        return "bend"
    if stint.kind == "car":
        return "drive" if moving else "stand"
    return "walk" if moving else "stand"
