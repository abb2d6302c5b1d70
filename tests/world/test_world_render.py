"""The generated world's pictures: a pure function of seed, time and size, and they show the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.world import ActorState, Renderer, World
from trainer.world import layout as place
from trainer.world.layout import COAT_RGB
from trainer.world.pen import Image
from trainer.world.render import is_still

times = st.integers(0, 290).map(lambda tenth: tenth / 10)


@given(order=st.lists(times, min_size=2, max_size=6), seed=st.sampled_from([3, 900_001]))
@settings(max_examples=8, deadline=None)
def test_a_frame_does_not_depend_on_the_order_of_calls(order: list[float], seed: int) -> None:
    world = World(seed, duration_s=30)
    renderer = Renderer(world, width=160, height=90)
    for t_s in order:
        assert np.array_equal(renderer.frame(t_s), Renderer(world, width=160, height=90).frame(t_s))


def test_a_frame_does_not_depend_on_how_long_the_world_is() -> None:
    short, long = (Renderer(World(7, duration_s=seconds), width=160, height=90) for seconds in (20, 80))
    assert all(np.array_equal(short.frame(t_s), long.frame(t_s)) for t_s in (0.0, 9.9, 20.0))


def test_a_caller_may_write_into_a_frame() -> None:
    renderer = Renderer(World(7, duration_s=20), width=160, height=90)
    first = renderer.frame(5.0)
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(renderer.frame(5.0), kept)


@pytest.mark.parametrize(("width", "height"), [(640, 360), (196, 112), (1920, 1080), (333, 211), (64, 64)])
def test_any_size_shows_the_same_scene(width: int, height: int) -> None:
    world = World(900_003, duration_s=20)
    frame = Renderer(world, width=width, height=height).frame(10.0)
    assert frame.shape == (height, width, 3)
    assert frame.dtype == np.uint8
    reference = Renderer(world, width=640, height=360).frame(10.0)
    assert abs(float(frame.mean()) - float(reference.mean())) < 4


def test_the_lamp_brightens_the_wall() -> None:
    for world, t_s, turned_on in _switches("lamp_on", "lamp_off"):
        wall = _cut(world, t_s - 0.1, place.LAMP_X - 30, place.LAMP_Y - 10, place.LAMP_X + 30, place.LAMP_Y + 40)
        then = _cut(world, t_s + 0.1, place.LAMP_X - 30, place.LAMP_Y - 10, place.LAMP_X + 30, place.LAMP_Y + 40)
        change = float(then.mean()) - float(wall.mean())
        assert change > 12 if turned_on else change < -12


def test_the_open_door_shows_the_room() -> None:
    for world, t_s, _ in _switches("door_opened", "door_closed"):
        x0, x1 = place.DOOR_X - 36, place.DOOR_X + 5
        before, after = (_cut(world, at_s, x0, place.DOOR_TOP + 8, x1, place.DOOR_BASE - 30) for at_s in (t_s - 0.1, t_s + 0.5))
        assert np.abs(before.astype(int) - after).mean() > 12


def test_the_parcel_is_seen_at_the_door() -> None:
    for seed in range(900_000, 900_012):
        world = World(seed, duration_s=2)
        box = _cut(world, 0.0, place.PARCEL_X - 18, place.PARCEL_Y - 22, place.PARCEL_X + 18, place.PARCEL_Y - 2).astype(int)
        red_over_blue = float(np.median(box[..., 0] - box[..., 2]))
        state = world.state_at(0.0)
        if not any(_overlaps(actor, world) for actor in state.actors):
            assert (red_over_blue > 45) == state.parcel, f"seed {seed}: {red_over_blue}"


def test_coats_and_cars_have_their_colour() -> None:
    num_seen = 0
    for seed in range(900_000, 900_010):
        world = World(seed, duration_s=30)
        renderer = Renderer(world)
        for t_s in (0.0, 12.0, 25.0):
            frame = renderer.frame(t_s)
            for actor in world.state_at(t_s).actors:
                if actor.colour and actor.visible == 1 and actor.covered < 0.2 and not actor.in_doorway:
                    assert _colour_share(frame, actor, world) > 0.12, f"seed {seed} at {t_s}: {actor.kind} {actor.colour}"
                    num_seen += 1
    assert num_seen > 20


def test_what_stands_still_is_told_from_what_moves() -> None:
    world = World(900_001, duration_s=30)
    renderer = Renderer(world)
    for t_s in np.arange(0, 29, 0.9):
        now, soon = world.state_at(float(t_s)), world.state_at(float(t_s) + 0.001)
        if all(is_still(actor) for actor in (*now.actors, *soon.actors)):
            assert now.actors == soon.actors
    assert renderer.frame(0.0).shape == (360, 640, 3)


def test_neighbouring_frames_differ_only_by_noise_in_a_quiet_corner() -> None:
    renderer = Renderer(World(900_001, duration_s=5))
    one, two = (renderer.frame(t_s)[:20, :40].astype(int) for t_s in (1.0, 1.1))
    assert 0 < np.abs(one - two).mean() < 6


def _switches(on: str, off: str) -> list[tuple[World, float, bool]]:
    """Moments of a switch when nobody stands at the door."""
    found = []
    for seed in range(900_000, 900_020):
        world = World(seed, duration_s=40)
        for event in world.events:
            clear = not any(_overlaps(actor, world) for actor in world.state_at(event.t_s).actors)
            if event.kind in (on, off) and clear and 0.2 < event.t_s < 39:
                found.append((world, event.t_s, event.kind == on))
    assert len(found) >= 4
    return found[:6]


def _overlaps(actor: ActorState, world: World) -> bool:
    return abs(actor.x - world.layout.door_x) < 0.3 and actor.kind != "car"


def _cut(world: World, t_s: float, x0: float, y0: float, x1: float, y1: float) -> Image:
    """The part of a picture that a rectangle of the drawing falls on."""
    (ax, ay), (bx, by) = world.layout.place(x0, y0), world.layout.place(x1, y1)
    frame = Renderer(world).frame(t_s)
    return frame[round(ay * 360) : round(by * 360), round(min(ax, bx) * 640) : round(max(ax, bx) * 640)]


def _colour_share(frame: Image, actor: ActorState, world: World) -> float:
    """The part of the actor's box whose hue direction is that of its colour in the light of the hour."""
    x0, y0, x1, y1 = (int(v * scale) for v, scale in zip(actor.box, (640, 360, 640, 360), strict=True))
    box = frame[max(0, y0) : y1, max(0, x0) : x1].astype(float).reshape(-1, 3)
    light = np.array([0.4 + 0.6 * gain for gain in world.layout.daylight])
    names = list(COAT_RGB)
    colours = np.array([np.array(COAT_RGB[name]) * light for name in names])
    nearest = np.linalg.norm(box[:, None] - colours[None], axis=2)
    return float(np.mean((nearest.argmin(axis=1) == names.index(actor.colour)) & (nearest.min(axis=1) < 90)))
