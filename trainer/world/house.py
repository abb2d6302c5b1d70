"""Paints the house: wall, roof, windows, sign, lamp, and the door at any opening. In: a pen and a layout. Out: pixels."""

from __future__ import annotations

import cv2
import numpy as np

from trainer.world import layout as place
from trainer.world.layout import RGB, Layout
from trainer.world.pen import Pen, Points, tinted

WALL_RIGHT = 352
EAVES_Y = 40
WINDOW = (36, 92, 128, 172)
FRAME: RGB = (236, 232, 224)
BRIGHT_ROOM: RGB = (255, 226, 150)
DARK_ROOM: RGB = (24, 22, 28)


def on(layout: Layout, points: Points) -> list[tuple[float, float]]:
    """Points of the drawing moved to where this yard's camera sees them, still in drawing pixels."""
    moved = (layout.place(x, y) for x, y in points)
    return [(x * place.DRAWING_W, y * place.DRAWING_H) for x, y in moved]


def rect(layout: Layout, x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    return on(layout, ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))


def paint_house(pen: Pen, layout: Layout) -> None:
    wall = layout.wall
    pen.convex(rect(layout, -80, EAVES_Y - 6, WALL_RIGHT, place.DOOR_BASE), wall)
    _courses(pen, layout)
    pen.convex(rect(layout, -80, place.DOOR_BASE - 16, WALL_RIGHT + 2, place.DOOR_BASE), tinted(wall, 0.62))
    pen.convex(rect(layout, WALL_RIGHT - 10, EAVES_Y, WALL_RIGHT, place.DOOR_BASE - 16), tinted(wall, 0.8))
    pen.convex(on(layout, ((-80, -40), (WALL_RIGHT - 26, -40), (WALL_RIGHT + 26, EAVES_Y), (-80, EAVES_Y))), layout.roof)
    for row in range(-2, EAVES_Y, 9):
        pen.line(on(layout, ((-80, row), (WALL_RIGHT + row * 0.6, row))), 1, tinted(layout.roof, 0.84))
    pen.convex(rect(layout, -80, EAVES_Y - 3, WALL_RIGHT + 28, EAVES_Y + 5), tinted(FRAME, 0.92))
    pen.convex(rect(layout, -80, EAVES_Y + 5, WALL_RIGHT, EAVES_Y + 13), tinted(wall, 0.72))
    _window(pen, layout, *WINDOW)
    _lamp(pen, layout)
    _sign(pen, layout)
    pen.convex(rect(layout, place.DOOR_X - 58, place.DOOR_BASE - 2, place.DOOR_X + 58, place.DOOR_BASE + 7), (168, 164, 158))
    pen.convex(rect(layout, place.DOOR_X - 58, place.DOOR_BASE + 5, place.DOOR_X + 58, place.DOOR_BASE + 9), (120, 116, 112))


def _courses(pen: Pen, layout: Layout) -> None:
    """Bricks, or boards."""
    step = 9 if layout.brick else 14
    mortar = tinted(layout.wall, 0.9)
    for index, y in enumerate(range(EAVES_Y + 6, place.DOOR_BASE - 14, step)):
        pen.line(on(layout, ((-80, y), (WALL_RIGHT - 1, y))), 1, mortar)
        if layout.brick:
            for x in range(-70 + (index % 2) * 11, WALL_RIGHT - 2, 22):
                pen.line(on(layout, ((x, y), (x, min(y + step, place.DOOR_BASE - 14)))), 1, mortar)


def _window(pen: Pen, layout: Layout, x0: int, y0: int, x1: int, y1: int) -> None:
    glass: RGB = (250, 214, 140) if layout.is_dusk else (120, 146, 166)
    pen.convex(rect(layout, x0 - 6, y0 - 6, x1 + 6, y1 + 6), FRAME)
    pen.convex(rect(layout, x0, y0, x1, y1), glass)
    pen.convex(on(layout, ((x0 + 8, y1), (x0 + 46, y0), (x0 + 62, y0), (x0 + 24, y1))), tinted(glass, 1.12))
    pen.convex(on(layout, ((x0, y0), (x0 + 18, y0), (x0 + 6, y1), (x0, y1))), (214, 206, 194))
    pen.convex(on(layout, ((x1, y0), (x1 - 18, y0), (x1 - 6, y1), (x1, y1))), (214, 206, 194))
    middle = (x0 + x1) / 2
    pen.convex(rect(layout, middle - 2, y0, middle + 2, y1), FRAME)
    pen.convex(rect(layout, x0, y0 + 28, x1, y0 + 31), FRAME)
    pen.convex(rect(layout, x0 - 10, y1 + 5, x1 + 10, y1 + 11), tinted(FRAME, 0.86))
    pen.convex(rect(layout, x0 + 2, y1 - 2, x1 - 2, y1 + 5), (116, 74, 50))
    for index, x in enumerate(range(x0 + 6, x1, 12)):
        (cx, cy), *_ = on(layout, ((x, y1 - 5),))
        pen.oval(cx, cy, 7, 6, (72, 112, 62), corners=10)
        pen.oval(cx, cy - 3, 3, 3, ((206, 72, 92), (232, 190, 90), (216, 210, 214))[index % 3], corners=8)


def _lamp(pen: Pen, layout: Layout) -> None:
    """The lamp unlit; the light comes from the backdrop's glow."""
    x, y = place.LAMP_X, place.LAMP_Y
    iron: RGB = (44, 44, 48)
    pen.convex(rect(layout, x - 3, y - 22, x + 3, y - 10), iron)
    pen.convex(on(layout, ((x - 13, y - 8), (x, y - 18), (x + 13, y - 8))), iron)
    pen.convex(on(layout, ((x - 10, y - 8), (x + 10, y - 8), (x + 7, y + 12), (x - 7, y + 12))), (150, 150, 142))
    pen.convex(rect(layout, x - 8, y + 11, x + 8, y + 15), iron)


def _sign(pen: Pen, layout: Layout) -> None:
    """The house's name on a board over the door, never mirrored."""
    (x, y), *_ = on(layout, ((place.DOOR_X, 66),))
    pen.box(x - 58, y - 12, x + 58, y + 11, (58, 46, 38))
    pen.box(x - 56, y - 10, x + 56, y + 9, (244, 238, 220))
    font, size = cv2.FONT_HERSHEY_DUPLEX, 0.5
    (width, height), _ = cv2.getTextSize(layout.house_name, font, size, 1)
    board = np.full((height * 8 + 24, width * 4 + 16, 3), (244, 238, 220), np.uint8)
    cv2.putText(board, layout.house_name, (8, board.shape[0] - 24), font, size * 4, (44, 38, 34), 5, cv2.LINE_AA)
    board = board[height * 4 :]
    fit = min(108 / width, 13 / height)
    w, h = round(width * fit * pen.scale_x), round(height * 1.55 * fit * pen.scale_y)
    text = cv2.resize(board, (max(1, w), max(1, h)), interpolation=cv2.INTER_AREA)
    left, top = round(x * pen.scale_x - w / 2), round((y - 0.5) * pen.scale_y - h / 2)
    pen.image[top : top + h, left : left + w] = text


def paint_door(pen: Pen, layout: Layout, fraction: float) -> None:
    """Frame, the room behind, and the leaf swung inwards by `fraction` of its way."""
    x0, x1 = place.DOOR_X - place.DOOR_HALF_W, place.DOOR_X + place.DOOR_HALF_W
    y0, y1 = place.DOOR_TOP, place.DOOR_BASE
    pen.convex(rect(layout, x0 - 6, y0 - 7, x1 + 6, y1), FRAME)
    room = BRIGHT_ROOM if layout.interior_bright or layout.is_dusk else DARK_ROOM
    pen.convex(rect(layout, x0, y0, x1, y1), room)
    pen.convex(on(layout, ((x0, y1), (x0 + 16, y1 - 22), (x1 - 16, y1 - 22), (x1, y1))), tinted(room, 0.72))
    pen.convex(rect(layout, x0 + 16, y0, x0 + 19, y1 - 22), tinted(room, 0.85))
    edge = _leaf_edge(fraction)
    inset = 12 * fraction
    leaf = tinted(layout.door, 1 - 0.25 * fraction)
    pen.convex(on(layout, ((edge, y0 + inset), (x1, y0), (x1, y1), (edge, y1 - inset * 0.8))), leaf)
    if fraction < 0.6:
        span = x1 - edge
        panel = tinted(leaf, 1.28)
        for top, bottom in ((0.08, 0.42), (0.52, 0.92)):
            a, b = y0 + (y1 - y0) * top, y0 + (y1 - y0) * bottom
            for left, right in ((0.12, 0.45), (0.55, 0.88)):
                pen.convex(rect(layout, edge + span * left, a, edge + span * right, b), panel)
        (cx, cy), *_ = on(layout, ((edge + span * 0.07, (y0 + y1) / 2 + 6),))
        pen.oval(cx, cy, 3.2, 3.2, (232, 200, 96), corners=12)


def _leaf_edge(fraction: float) -> float:
    """Where the free edge of the door's leaf is seen, drawing x."""
    return place.DOOR_X + place.DOOR_HALF_W - 2 * place.DOOR_HALF_W * (1 - 0.86 * fraction)


def paint_own_light(pen: Pen, layout: Layout, fraction: float) -> None:
    """White where a lit room shows: the window at dusk, and the open part of the door unless the room is dark."""
    white: RGB = (255, 255, 255)
    if layout.is_dusk:
        pen.convex(rect(layout, *WINDOW), white)
    if fraction > 0 and (layout.interior_bright or layout.is_dusk):
        pen.convex(rect(layout, place.DOOR_X - place.DOOR_HALF_W, place.DOOR_TOP, _leaf_edge(fraction), place.DOOR_BASE), white)


def paint_lamplit(pen: Pen, layout: Layout) -> None:
    """White on wall and ground, where the lamp's light can fall."""
    white: RGB = (255, 255, 255)
    pen.convex(rect(layout, -80, EAVES_Y - 3, WALL_RIGHT, 420), white)
    pen.convex(rect(layout, WALL_RIGHT, place.DOOR_BASE, WALL_RIGHT + 300, 420), white)
