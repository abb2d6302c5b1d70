"""Draws a rope that is swung round the body and seen from the side, with the hands that swing it.

In: a pen in the person's frame, an `ActorState` whose `rope` counts turns from where it hangs behind the legs. Out: pixels. The rope is a
loop between the two hands; its half at the far hand is painted before the body, the other after it. It turns like the hand of a clock:
from behind the legs up behind the back, over the head, down in front, under the feet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainer.world.layout import RGB
from trainer.world.pen import Pen
from trainer.world.state import ActorState

ROPE: RGB = (255, 150, 20)
WIDTH = 3.4
"""Drawing pixels."""
BEHIND = 0.58
"""Where the rope hangs: part of a turn, clockwise from over the head."""
REACH = 0.61
"""From the hands to the middle of the loop, body heights."""
BREADTH = (-0.09, 0.035)
"""The rope's way to the near hand's side, body heights: how much the loop is seen from the front and from above."""
STEPS = 8

Hands = tuple[tuple[float, float], tuple[float, float]]


def swung_hands(actor: ActorState, x: float, y: float) -> Hands:
    """The far hand and the near hand, at the hips, for a neck at (x, y)."""
    dx, dy = _direction(actor)
    return (x + 0.15 + 0.025 * dx, y + 0.27 + 0.025 * dy), (x + 0.06 + 0.025 * dx, y + 0.31 + 0.025 * dy)


def paint_far_rope(pen: Pen, actor: ActorState, hands: Hands) -> None:
    """From the far hand to the middle of the loop."""
    pen.line(_loop(actor, hands)[: STEPS + 1], WIDTH, ROPE)


def paint_near_rope(pen: Pen, actor: ActorState, hands: Hands) -> None:
    """From the middle of the loop to the near hand."""
    pen.line(_loop(actor, hands)[STEPS:], WIDTH, ROPE)


def _direction(actor: ActorState) -> tuple[float, float]:
    """From the hands to the middle of the loop, a unit vector."""
    assert actor.rope is not None
    turn = 2 * math.pi * (actor.rope + BEHIND)
    return math.sin(turn), -math.cos(turn)


def _loop(actor: ActorState, hands: Hands) -> Sequence[tuple[float, float]]:
    dx, dy = _direction(actor)
    far, near = hands
    points = []
    for step in range(2 * STEPS + 1):
        part = step / (2 * STEPS)
        out, side = REACH * math.sin(math.pi * part), -math.cos(math.pi * part) * math.sin(math.pi * part)
        x, y = far[0] + (near[0] - far[0]) * part, far[1] + (near[1] - far[1]) * part
        points.append((x + dx * out + BREADTH[0] * side, y + dy * out + BREADTH[1] * side))
    return points
