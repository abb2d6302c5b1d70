"""Draws a world: a picture for any moment, at any size and rate.

In: a world and a time. Out: uint8 [H, W, 3] RGB. A frame is a pure function of seed, time and size: the order of calls does
not matter.
"""

from __future__ import annotations

import struct
import zlib

import cv2

from trainer.world import layout as place
from trainer.world.backdrop import Backdrop
from trainer.world.car import paint_car
from trainer.world.dog import paint_dog
from trainer.world.layout import DRAWING_H, DRAWING_W
from trainer.world.leaves import Leaves
from trainer.world.noise import NOISE_MARGIN, noise_tiles
from trainer.world.parcel import paint_parcel
from trainer.world.pen import Image, Pen, circle
from trainer.world.person import paint_person
from trainer.world.state import ActorState, WorldState
from trainer.world.world import World

PAINTERS = {"person": paint_person, "car": paint_car, "dog": paint_dog}
STILL_PICTURES = 4
"""Pictures of standing scenes that a renderer keeps."""
Thing = ActorState | None


class Renderer:
    """Pictures of `world`, `width` by `height` pixels. The still parts are painted once. `noise`: of the sensor, standard
    deviation in grey levels; the layout's own where it is None."""

    def __init__(self, world: World, *, width: int = 640, height: int = 360, noise: float | None = None) -> None:
        assert min(width, height) >= 16, f"expected a picture of at least 16x16, got {width}x{height}"
        self.world, self.width, self.height = world, width, height
        self.backdrop = Backdrop(world.layout, width, height)
        self._leaves = None if world.duty is None else Leaves(world.layout, width, height)
        self._still: dict[tuple[bool, float, tuple[Thing, ...]], Image] = {}
        self._noise = noise_tiles(width, height, world.layout.noise if noise is None else noise)

    def frame(self, t_s: float) -> Image:
        """The picture at `t_s`, a new array. Raises TimeError outside the world's script."""
        state = self.world.state_at(t_s)
        things = self.things(state)
        num_still = next((index for index, thing in enumerate(things) if not is_still(thing)), len(things))
        image = self._still_picture(state.lamp_on, state.door_fraction, things[:num_still]).copy()
        if self._leaves is not None:
            self._leaves.sway(image, t_s)
        pen = Pen(image)
        for thing in things[num_still:]:
            self.paint(pen, thing, state.lamp_on)
        return self._exposed(image, t_s)

    def things(self, state: WorldState) -> tuple[Thing, ...]:
        """What is painted over the backdrop, the farthest first; None is the parcel at the door."""
        if not state.parcel:
            return state.actors
        parcel_y = self.world.layout.place(0, place.PARCEL_Y)[1]
        behind = sum(actor.y <= parcel_y for actor in state.actors)
        return (*state.actors[:behind], None, *state.actors[behind:])

    def _still_picture(self, lamp_on: bool, door_fraction: float, things: tuple[Thing, ...]) -> Image:
        """Backdrop, door and the things behind the first that moves: the same from frame to frame, so painted once and kept."""
        key = (lamp_on, door_fraction, things)
        if key not in self._still:
            image = self.backdrop.picture(lamp_on).copy()
            if door_fraction > 0:
                rows, columns, door = self.backdrop.door(lamp_on, door_fraction)
                image[rows, columns] = door
            pen = Pen(image)
            for thing in things:
                self.paint(pen, thing, lamp_on)
            if len(self._still) >= STILL_PICTURES:
                self._still.pop(next(iter(self._still)))
            self._still[key] = image
        return self._still[key]

    def paint(self, pen: Pen, thing: Thing, lamp_on: bool) -> None:
        """One thing with its shadow, over what is farther away."""
        if thing is None:
            self._paint_parcel(pen, lamp_on)
            return
        pen.light = self.backdrop.light_at(thing.x, thing.y - thing.height / 2, lamp_on)
        if thing.in_doorway:
            self._paint_in_doorway(pen, thing)
            return
        self._shadow(pen, thing)
        PAINTERS[thing.kind](pen, thing)

    def _paint_parcel(self, pen: Pen, lamp_on: bool) -> None:
        x, y = self.world.layout.place(place.PARCEL_X, place.PARCEL_Y)
        pen.light = self.backdrop.light_at(x, y, lamp_on)
        px, py = x * DRAWING_W, y * DRAWING_H
        pen.at(px, py)
        lean = self.world.layout.shadow * 34
        pen.shade(((-21, 0), (21, 0), (21 + lean, -9), (-21 + lean, -9)), 0.35)
        paint_parcel(pen, px, py)

    def _paint_in_doorway(self, pen: Pen, actor: ActorState) -> None:
        """Only what the opening shows: paint, then put back the wall on both sides."""
        before = pen.image.copy()
        PAINTERS[actor.kind](pen, actor)
        half = place.DOOR_HALF_W / DRAWING_W * self.world.layout.zoom
        left, right = (round((self.world.layout.door_x + side * half) * self.width) for side in (-1, 1))
        pen.image[:, :left] = before[:, :left]
        pen.image[:, right:] = before[:, right:]

    def _shadow(self, pen: Pen, actor: ActorState) -> None:
        """A shadow on the ground, to the side the sun decides."""
        width = (actor.box[2] - actor.box[0]) * DRAWING_W
        pen.at(actor.x * DRAWING_W, actor.y * DRAWING_H, width)
        depth = {"person": 0.10, "car": 0.05, "dog": 0.06}[actor.kind]
        reach = self.world.layout.shadow * {"person": 2.2, "car": 0.12, "dog": 0.4}[actor.kind]
        half = {"person": 0.30, "car": 0.5, "dog": 0.4}[actor.kind] * (1 - actor.hop)
        points = [(half * c + reach * max(0.0, -s), depth * s - abs(reach) * 0.12 * max(0.0, -s)) for c, s in circle(16)]
        pen.shade(points, 0.38 if not self.world.layout.is_dusk else 0.22)

    def _exposed(self, image: Image, t_s: float) -> Image:
        """Slow daylight, then sensor noise: a tile at an offset that time decides."""
        cv2.convertScaleAbs(image, dst=image, alpha=self.world.layout.gain_at(t_s))
        chance = zlib.crc32(struct.pack("<qq", self.world.seed, round(t_s * 1000)))
        dy, dx = chance % NOISE_MARGIN, chance // NOISE_MARGIN % NOISE_MARGIN
        more, less = (tile[dy : dy + self.height, dx : dx + self.width] for tile in self._noise)
        cv2.add(image, more, dst=image)
        cv2.subtract(image, less, dst=image)
        return image


def is_still(thing: Thing) -> bool:
    """True for what looks the same in the next frame."""
    return thing is None or not (thing.moving or thing.action == "jump" or thing.bend > 0)
