"""What a seed makes of the place: where things stand and what colour they are.

In: a seed. Out: a frozen `Layout`. The place is designed once, on a 640x360 drawing with the house on the left; a seed mirrors
it, zooms and shifts the camera a little, and picks colours, daylight and noise. `place` maps the drawing to picture
coordinates: x and y from 0 to 1, left to right and top to bottom.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from trainer.world.errors import SeedError

RGB = tuple[int, int, int]

DRAWING_W, DRAWING_H = 640, 360
DOOR_X, DOOR_HALF_W, DOOR_TOP, DOOR_BASE = 226, 41, 84, 224
LAMP_X, LAMP_Y = 298, 78
PARCEL_X, PARCEL_Y = 298, 239
SLOTS_X = (54, 160, 384, 474, 566)
"""Where people stand, in drawing pixels: one far from the door on its own side, one near the door, three on the yard."""
LANES_Y = (243, 251, 259)
"""Where people's feet are, one lane per person, so that two people never stand in each other."""
DOG_LANE_Y = 276
ROAD_Y = 351
PARKED_X = (166, 474)

COAT_RGB: dict[str, RGB] = {
    "red": (216, 34, 40),
    "blue": (36, 84, 220),
    "green": (24, 170, 66),
    "yellow": (248, 208, 30),
    "white": (244, 244, 244),
    "purple": (144, 52, 190),
}
COLOURS = tuple(COAT_RGB)

HOUSE_NAMES = (
    "ROSE HILL",
    "OAK LODGE",
    "SEA VIEW",
    "MILL HOUSE",
    "IVY",
    "LARK RISE",
    "FERN COTTAGE",
    "NUMBER 9",
    "THE NEST",
    "ELM GATE",
)
WALLS: tuple[RGB, ...] = ((206, 190, 164), (176, 148, 130), (186, 190, 192), (164, 178, 188), (200, 178, 142), (168, 122, 104))
DOORS: tuple[RGB, ...] = ((28, 74, 92), (110, 32, 38), (40, 84, 56), (58, 48, 92), (92, 60, 36))
ROOFS: tuple[RGB, ...] = ((92, 62, 54), (76, 78, 86), (120, 70, 52))
LAWNS: tuple[RGB, ...] = ((112, 132, 84), (124, 136, 92), (104, 122, 86), (138, 136, 98))
DAYLIGHTS: tuple[tuple[float, float, float], ...] = (
    (1.00, 1.00, 1.00),
    (0.94, 0.96, 1.00),
    (1.02, 0.95, 0.86),
    (0.84, 0.85, 0.89),
    (0.74, 0.70, 0.72),
    (0.62, 0.64, 0.76),
)
"""Light of the hour, from noon to dusk, as gains of red, green and blue."""
NIGHT_LIGHT = (0.30, 0.31, 0.36)
NIGHT_NOISE = 5.0
"""Sensor noise in the dark, grey levels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One yard. Colours are RGB 0..255; `shift_x`, `shift_y` are fractions of the picture; `shadow` is the shadow's length
    along x in body heights, its sign the direction; `noise` the sensor noise, standard deviation in grey levels."""

    mirrored: bool
    zoom: float
    shift_x: float
    shift_y: float
    wall: RGB
    door: RGB
    roof: RGB
    lawn: RGB
    brick: bool
    interior_bright: bool
    daylight: tuple[float, float, float]
    drift: float
    drift_period_s: float
    drift_phase: float
    shadow: float
    noise: float
    house_name: str
    plants: tuple[tuple[str, float, float], ...]

    def place(self, x_px: float, y_px: float) -> tuple[float, float]:
        """A point of the 640x360 drawing -> (x, y) in the picture, 0..1."""
        x, y = x_px / DRAWING_W, y_px / DRAWING_H
        x = 1.0 - x if self.mirrored else x
        return (x - 0.5) * self.zoom + 0.5 + self.shift_x, (y - 0.6) * self.zoom + 0.6 + self.shift_y

    @property
    def door_x(self) -> float:
        """The middle of the door, 0..1."""
        return self.place(DOOR_X, 0)[0]

    @property
    def is_dusk(self) -> bool:
        return sum(self.daylight) < 2.3

    def gain_at(self, t_s: float) -> float:
        """Slow daylight and exposure: one factor for the whole picture."""
        return 1.0 + self.drift * float(np.sin(2 * np.pi * t_s / self.drift_period_s + self.drift_phase))


def layout_of(seed: int) -> Layout:
    """The yard of a seed. Raises SeedError below zero."""
    if seed < 0:
        raise SeedError(f"seed: expected zero or more, got {seed}")
    rng = np.random.default_rng([seed, 0x1A])

    def pick(options: tuple[RGB, ...]) -> RGB:
        return options[int(rng.integers(len(options)))]

    plants = [("tree", float(rng.uniform(452, 500)), float(rng.uniform(0.85, 1.1)))]
    plants += [("tree", float(rng.uniform(575, 625)), float(rng.uniform(0.7, 1.0)))] if rng.random() < 0.7 else []
    plants += [("bush", float(rng.uniform(400, 620)), float(rng.uniform(0.7, 1.2))) for _ in range(int(rng.integers(1, 4)))]
    return Layout(
        mirrored=bool(rng.random() < 0.5),
        zoom=float(rng.uniform(0.99, 1.04)),
        shift_x=float(rng.uniform(-0.012, 0.012)),
        shift_y=float(rng.uniform(-0.01, 0.01)),
        wall=pick(WALLS),
        door=pick(DOORS),
        roof=pick(ROOFS),
        lawn=pick(LAWNS),
        brick=bool(rng.random() < 0.4),
        interior_bright=bool(rng.random() < 0.5),
        daylight=DAYLIGHTS[int(rng.integers(len(DAYLIGHTS)))],
        drift=float(rng.uniform(0.01, 0.05)),
        drift_period_s=float(rng.uniform(60, 200)),
        drift_phase=float(rng.uniform(0, 6.28)),
        shadow=float(rng.uniform(0.25, 0.6) * rng.choice([-1, 1])),
        noise=float(rng.choice([1.0, 1.5, 2.2, 3.0])),
        house_name=HOUSE_NAMES[int(rng.integers(len(HOUSE_NAMES)))],
        plants=tuple(plants),
    )


def at_night(layout: Layout) -> Layout:
    """The same yard in the dark, with a sensor that struggles."""
    return replace(layout, daylight=NIGHT_LIGHT, noise=NIGHT_NOISE)
