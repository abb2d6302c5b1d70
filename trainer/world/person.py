"""Draws a person: coat in its colour, walking, standing, bending, carrying, jumping rope.

In: a pen and an `ActorState`. Out: pixels. Sprite frame: the origin between the feet, one unit the body height, y down.
"""

from __future__ import annotations

import math

from trainer.world.layout import COAT_RGB, DRAWING_H, DRAWING_W, RGB
from trainer.world.parcel import paint_parcel
from trainer.world.pen import Pen, tinted
from trainer.world.rope import ROPE, paint_far_rope, paint_near_rope, swung_hands
from trainer.world.state import ActorState

SKINS: tuple[RGB, ...] = ((240, 200, 170), (214, 164, 126), (150, 104, 74), (104, 70, 52))
HAIRS: tuple[RGB, ...] = ((42, 32, 28), (92, 60, 36), (150, 112, 60), (120, 118, 116))
TROUSERS: tuple[RGB, ...] = ((44, 48, 66), (58, 54, 50), (34, 36, 40))
SHOE: RGB = (26, 24, 26)
HIP_Y, SHOULDER_Y, HEAD_Y = -0.47, -0.80, -0.905


def paint_person(pen: Pen, actor: ActorState) -> None:
    """Draw the person, with the rope behind or before the body and the parcel in the arms."""
    unit = actor.height * DRAWING_H
    pen.at(actor.x * DRAWING_W, (actor.y - actor.hop * actor.height) * DRAWING_H, unit, actor.facing)
    if actor.rope_behind:
        paint_far_rope(pen, actor, _hands(actor, (0.0, SHOULDER_Y)))
    rope_up = actor.rope is not None and 0.25 < actor.rope % 1.0 < 0.75
    if actor.rope is not None and not actor.rope_behind and not rope_up:
        _rope(pen, actor)
    _legs(pen, actor)
    _body(pen, actor)
    if actor.rope is not None and not actor.rope_behind and rope_up:
        _rope(pen, actor)
    if actor.rope_behind:
        paint_near_rope(pen, actor, _hands(actor, (0.0, SHOULDER_Y)))


def _legs(pen: Pen, actor: ActorState) -> None:
    trousers = TROUSERS[actor.look % len(TROUSERS)]
    stride = math.sin(actor.phase) if actor.action == "walk" else 0.0
    spread = 0.0 if stride else 0.045
    tuck = 0.06 if actor.hop > 0.02 else 0.0
    for sign, shade in ((-1, 0.78), (1, 1.0)):
        swing = sign * stride * 0.17 + sign * spread
        lift = max(0.0, sign * math.cos(actor.phase)) * 0.05 if stride else 0.0
        knee = (swing * 0.55 + 0.02 + tuck, HIP_Y / 2 - lift * 0.5)
        foot = (swing - lift * 0.6 - tuck * 0.6, -0.03 - lift)
        colour = tinted(trousers, shade)
        pen.limb((0.0, HIP_Y), knee, 0.13, 0.10, colour)
        pen.limb(knee, foot, 0.10, 0.075, colour)
        pen.limb((foot[0] - 0.01, foot[1] + 0.01), (foot[0] + 0.06, foot[1] + 0.012), 0.05, 0.04, SHOE)


def _body(pen: Pen, actor: ActorState) -> None:
    coat = COAT_RGB[actor.colour]
    skin, hair = SKINS[actor.look // 3 % len(SKINS)], HAIRS[actor.look // 13 % len(HAIRS)]
    neck = _neck(actor)
    lean, drop = neck[0], neck[1] - SHOULDER_Y
    reach = _hands(actor, neck)
    pen.limb((neck[0] - 0.03, neck[1] + 0.045), reach[0], 0.10, 0.075, tinted(coat, 0.62))
    pen.oval(reach[0][0], reach[0][1], 0.035, 0.035, tinted(skin, 0.85), corners=10)
    hem = 0.145 if actor.action != "walk" else 0.155
    pen.convex(
        (
            (neck[0] - 0.115, neck[1] + 0.03),
            (neck[0] - 0.06, neck[1] - 0.015),
            (neck[0] + 0.06, neck[1] - 0.015),
            (neck[0] + 0.115, neck[1] + 0.03),
            (hem, HIP_Y + 0.13),
            (-hem, HIP_Y + 0.13),
        ),
        coat,
    )
    back = ((neck[0] - 0.115, neck[1] + 0.03), (neck[0] - 0.05, neck[1]), (-0.06, HIP_Y + 0.13), (-hem, HIP_Y + 0.13))
    pen.convex(back, tinted(coat, 0.80))
    pen.line(((neck[0] + 0.045, neck[1]), (0.05, HIP_Y + 0.12)), 1.4, tinted(coat, 0.6))
    _head(pen, actor, (neck[0] + 0.012 + lean * 0.35, HEAD_Y + drop * 1.25), skin, hair)
    if actor.carrying:
        paint_parcel(pen, *_parcel_xy(actor, neck))
        unit = actor.height * DRAWING_H
        pen.at(actor.x * DRAWING_W, (actor.y - actor.hop * actor.height) * DRAWING_H, unit, actor.facing)
    pen.limb((neck[0] + 0.01, neck[1] + 0.05), reach[1], 0.105, 0.08, tinted(coat, 0.90))
    pen.oval(reach[1][0], reach[1][1], 0.037, 0.037, skin, corners=10)


def _neck(actor: ActorState) -> tuple[float, float]:
    return 0.26 * actor.bend + (0.02 if actor.action == "walk" else 0.0), SHOULDER_Y + 0.17 * actor.bend


def _head(pen: Pen, actor: ActorState, at: tuple[float, float], skin: RGB, hair: RGB) -> None:
    x, y = at
    pen.limb((x - 0.01, y + 0.05), (x - 0.015, y + 0.11), 0.07, 0.08, tinted(skin, 0.85))
    pen.oval(x, y, 0.072, 0.085, skin)
    pen.oval(x + 0.07, y + 0.012, 0.016, 0.016, skin, corners=8)
    style = actor.look // 57 % 3
    cap = COAT_RGB[actor.colour] if style == 2 else hair
    pen.polygon(
        (
            (x + 0.066, y - 0.03),
            (x + 0.05, y - 0.085),
            (x, y - 0.103),
            (x - 0.06, y - 0.08),
            (x - 0.084, y - 0.01),
            (x - 0.07, y + 0.05),
            (x - 0.035, y - 0.02),
        ),
        tinted(cap, 0.85) if style == 2 else cap,
    )
    if style == 1:
        pen.limb((x - 0.065, y), (x - 0.075, y + 0.09), 0.06, 0.04, hair)
    pen.oval(x + 0.042, y - 0.005, 0.009, 0.012, (30, 26, 26), corners=8)


def _hands(actor: ActorState, neck: tuple[float, float]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The far hand and the near hand."""
    x, y = neck
    if actor.carrying or actor.bend > 0.3:
        down = 0.26 + 0.20 * actor.bend
        return (x + 0.19, y + down - 0.02), (x + 0.17, y + down)
    if actor.rope_behind:
        return swung_hands(actor, x, y)
    if actor.rope is not None:
        turn = 2 * math.pi * actor.rope
        wobble = (0.02 * math.cos(turn), 0.02 * math.sin(turn))
        return (x + 0.22 + wobble[0], y + 0.25 + wobble[1]), (x - 0.22 + wobble[0], y + 0.25 + wobble[1])
    swing = math.sin(actor.phase) * 0.15 if actor.action == "walk" else 0.0
    return (x + 0.07 + swing, y + 0.35), (x - 0.03 - swing, y + 0.35)


def carried_parcel_at(actor: ActorState) -> tuple[float, float]:
    """Middle of the bottom edge of the parcel that a person holds, picture coordinates."""
    x, y = _parcel_xy(actor, _neck(actor))
    return x / DRAWING_W, y / DRAWING_H


def _parcel_xy(actor: ActorState, neck: tuple[float, float]) -> tuple[float, float]:
    """Middle of the carried parcel's bottom edge, drawing pixels: at the chest, at the ground when fully bent."""
    held_x, held_y = neck[0] + 0.22, neck[1] + 0.32
    ground_x, ground_y = 0.33, -0.01
    x = held_x + (ground_x - held_x) * actor.bend
    y = held_y + (ground_y - held_y) * actor.bend
    unit = actor.height * DRAWING_H
    return actor.x * DRAWING_W + x * unit * actor.facing, actor.y * DRAWING_H + y * unit


def _rope(pen: Pen, actor: ActorState) -> None:
    """The rope's loop: half an ellipse between the hands, over the head at a whole turn, under the feet at half of one."""
    assert actor.rope is not None
    far, near = _hands(actor, (0.0, SHOULDER_Y))
    height = math.cos(2 * math.pi * actor.rope)
    span = 0.62 if height > 0 else 0.60
    points = []
    for step in range(13):
        c, s = math.cos(math.pi * step / 12), math.sin(math.pi * step / 12)
        points.append((near[0] + (far[0] - near[0]) * (1 - c) / 2 - 0.10 * s * c, far[1] - height * span * s))
    pen.line(points, 3.4, ROPE)
