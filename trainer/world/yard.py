"""Paints sky, ground and plants. In: a pen and a layout. Out: pixels."""

from __future__ import annotations

import zlib

import cv2
import numpy as np

from trainer.world.house import WALL_RIGHT, on, rect
from trainer.world.layout import DOOR_BASE, DOOR_X, RGB, Layout
from trainer.world.pen import Pen, tinted

HORIZON_Y = 150
KERB_Y = 296
ROAD: RGB = (98, 98, 104)
PATH: RGB = (186, 176, 158)


def paint_sky(pen: Pen, layout: Layout) -> None:
    """Sky, distant trees and a fence."""
    rng = _rng(layout)
    for y in range(0, HORIZON_Y + 30, 6):
        u = y / HORIZON_Y
        pen.box(0, y, 640, y + 7, (int(150 + 70 * u), int(186 + 36 * u), int(222 + 10 * u)))
    for _ in range(3):
        cloud_x, cloud_y = float(rng.uniform(0, 640)), float(rng.uniform(12, 70))
        for dx in (-26, 0, 24):
            pen.oval(cloud_x + dx, cloud_y + abs(dx) * 0.15, 34, 9, (236, 240, 244))
    for x in range(-20, 680, 34):
        r = float(rng.uniform(20, 34))
        tone = int(rng.integers(-10, 10))
        pen.oval(x, HORIZON_Y + 4, r, r * 1.15, (92 + tone, 120 + tone, 96 + tone))


def paint_ground(pen: Pen, layout: Layout) -> None:
    """Lawn with a path to the door, a fence, pavement and street; a fine grain on all of it."""
    pen.convex(rect(layout, -80, HORIZON_Y + 20, 720, KERB_Y + 4), layout.lawn)
    _fence(pen, layout)
    pen.convex(
        on(layout, ((DOOR_X - 44, DOOR_BASE), (DOOR_X + 44, DOOR_BASE), (DOOR_X + 92, KERB_Y), (DOOR_X - 92, KERB_Y))), PATH
    )
    for y in (240, 254, 270, 284):
        half = 44 + (y - DOOR_BASE) * 48 / (KERB_Y - DOOR_BASE)
        pen.line(on(layout, ((DOOR_X - half, y), (DOOR_X + half, y))), 1, tinted(PATH, 0.88))
    pen.convex(rect(layout, -80, KERB_Y, 720, KERB_Y + 12), (166, 164, 160))
    pen.convex(rect(layout, -80, KERB_Y + 12, 720, KERB_Y + 17), (132, 130, 128))
    pen.convex(rect(layout, -80, KERB_Y + 17, 720, 420), ROAD)
    for x in range(-60, 720, 96):
        pen.convex(on(layout, ((x, 352), (x + 46, 352), (x + 42, 357), (x - 4, 357))), (206, 204, 196))
    _grain(pen, layout)


def _fence(pen: Pen, layout: Layout) -> None:
    for x in range(WALL_RIGHT + 4, 720, 15):
        pen.convex(on(layout, ((x, 206), (x, 172), (x + 5, 166), (x + 10, 172), (x + 10, 206))), (222, 218, 208))
    pen.convex(rect(layout, WALL_RIGHT, 180, 720, 185), (198, 192, 180))
    pen.convex(rect(layout, WALL_RIGHT, 196, 720, 200), (198, 192, 180))


def _grain(pen: Pen, layout: Layout) -> None:
    """Grass and asphalt are not flat: blotches and a fine grain, fixed by the seed."""
    height, width = pen.image.shape[:2]
    rng = _rng(layout)
    top = int(layout.place(0, HORIZON_Y + 20)[1] * height)
    coarse = cv2.resize(rng.normal(0, 1, (14, 40)).astype(np.float32), (width, height - top), interpolation=cv2.INTER_CUBIC)
    fine = cv2.resize(rng.normal(0, 1, (95, 320)).astype(np.float32), (width, height - top), interpolation=cv2.INTER_LINEAR)
    ground = pen.image[top:].astype(np.float32) + (2.5 * coarse + 3.0 * fine)[..., None]
    pen.image[top:] = np.clip(ground, 0, 255).astype(np.uint8)


def paint_plants(pen: Pen, layout: Layout) -> None:
    """Trees behind the yard and bushes by the fence, each a heap of leaves."""
    rng = _rng(layout)
    for kind, x, size in layout.plants:
        if kind == "tree":
            _tree(pen, layout, rng, x, size)
        else:
            _leaves(pen, layout, rng, x, 205, 24 * size, 15 * size, (78, 106, 66))


def _tree(pen: Pen, layout: Layout, rng: np.random.Generator, x: float, size: float) -> None:
    pen.convex(on(layout, ((x - 7 * size, 212), (x - 4 * size, 110), (x + 4 * size, 110), (x + 8 * size, 212))), (92, 72, 54))
    _leaves(pen, layout, rng, x, 92, 52 * size, 44 * size, (84, 116, 70))


def _leaves(pen: Pen, layout: Layout, rng: np.random.Generator, x: float, y: float, rx: float, ry: float, rgb: RGB) -> None:
    for depth in range(3):
        for _ in range(9):
            a, r = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.8 - 0.15 * depth)
            (cx, cy), *_ = on(layout, ((x + rx * r * np.cos(a), y + ry * r * np.sin(a) - depth * ry * 0.16),))
            pen.oval(
                cx, cy, rx * 0.36, ry * 0.36, tinted(rgb, 0.78 + 0.16 * depth + float(rng.uniform(-0.04, 0.04))), corners=14
            )


def _rng(layout: Layout) -> np.random.Generator:
    """The same small differences for the same yard, whatever the size of the picture."""
    return np.random.default_rng(zlib.crc32(repr(layout).encode()))
