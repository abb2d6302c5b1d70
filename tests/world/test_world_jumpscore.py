"""JumpScore films: somebody jumps rope, and the truth says when each jump starts, as one can see."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from trainer.world import Renderer, World, questions_at
from trainer.world.jumping import FILM_FPS, FILM_S, JUMPER_X, jump_film
from trainer.world.pen import Image
from trainer.world.render import is_still
from trainer.world.rope_bout import PERIOD_S, Turn
from trainer.world.state import ActorState

SEEDS = range(900_000, 900_040)


def film(seed: int) -> World:
    return World(seed, duration_s=jump_film(seed).duration_s, scene="jumpscore")


def jumper(world: World, t_s: float) -> ActorState:
    (actor,) = (actor for actor in world.state_at(t_s).actors if actor.rope_behind)
    return actor


def test_films_are_of_the_lengths_rates_and_jumps_that_were_asked_for() -> None:
    numbers, periods, pauses = [], [], []
    for seed in SEEDS:
        spec, world = jump_film(seed), film(seed)
        assert FILM_S[0] <= spec.duration_s <= FILM_S[1]
        assert spec.fps in FILM_FPS
        starts = world.jump_starts_s
        assert starts[0] > 0.5
        assert starts[-1] < spec.duration_s - 1.0
        numbers.append(len(starts))
        gaps = np.diff(starts)
        assert gaps.min() >= PERIOD_S[0] - 1e-9
        periods += list(gaps[gaps <= PERIOD_S[1]])
        pauses.append(gaps.max())
    assert min(numbers) >= 5
    assert max(numbers) <= 30
    assert len(set(numbers)) > 12
    assert min(periods) < 0.55
    assert max(periods) > 1.0
    assert np.median(pauses) > 2.0


@pytest.mark.parametrize("seed", SEEDS[:8])
def test_a_start_is_told_of_every_time_the_feet_leave_the_ground_and_of_no_other(seed: int) -> None:
    """Somebody who sees the jumper 200 times a second counts the hops; each start lies before one hop, after the one before."""
    world = film(seed)
    times = np.arange(0.0, world.duration_s, 0.005)
    in_air = np.array([jumper(world, float(t_s)).hop > 0 for t_s in times])
    lifts = times[1:][in_air[1:] & ~in_air[:-1]]
    landings = times[1:][~in_air[1:] & in_air[:-1]]
    starts = np.array(world.jump_starts_s)
    assert len(lifts) == len(starts)
    assert (starts < lifts).all()
    assert (starts[1:] >= landings[:-1] - 0.01).all()
    assert world.state_at(world.duration_s).num_jumps == world.events[-1].num_jumps
    assert sum(event.num_jumps for event in world.events) == len(starts)


def test_a_turn_that_fails_is_no_jump_and_goes_back_the_way_it_came() -> None:
    trips = [(world, turn) for world in map(film, SEEDS) for turn in turns(world) if not turn.is_jump]
    assert len(trips) > 8
    for world, turn in trips:
        assert turn.t0 not in world.jump_starts_s
        phases = [turn.phase_at(float(t_s)) for t_s in np.linspace(turn.t0, turn.t1, 40)]
        assert phases[0] == phases[-1] == 0.0
        assert max(phases) < 0.9
        assert max(map(abs, np.diff(phases))) < 0.15
        assert all(jumper(world, float(t_s)).hop == 0 for t_s in np.linspace(turn.t0, turn.t1, 40))


def turns(world: World) -> list[Turn]:
    return [turn for stint in world._stints for bout in stint.rope_bouts for turn in bout.turns]


def test_turns_follow_one_another_and_the_rope_never_jumps() -> None:
    for seed in SEEDS[:10]:
        world = film(seed)
        every = turns(world)
        assert all(before.t1 <= after.t0 + 1e-9 for before, after in pairwise(every))
        ropes = [jumper(world, float(t_s)).rope for t_s in np.arange(0.0, world.duration_s, 0.01)]
        steps = [abs(after - before + 0.5) % 1 - 0.5 for before, after in pairwise(rope or 0.0 for rope in ropes)]
        assert max(map(abs, steps)) < 0.04


@pytest.mark.parametrize(("width", "height"), [(196, 112), (640, 360)])
@pytest.mark.parametrize("seed", SEEDS[:6])
def test_at_a_start_the_rope_can_be_seen_behind_the_legs(seed: int, width: int, height: int) -> None:
    """What turns the picture of half a turn later into that of the start is orange, low, and on the side of the back."""
    world = film(seed)
    renderer = Renderer(world, width=width, height=height, noise=0.0)
    start_s, next_s = next((a, b) for a, b in pairwise(world.jump_starts_s) if b - a <= PERIOD_S[1])
    actor = jumper(world, start_s)
    behind, in_front = legs(renderer.frame(start_s), actor)
    empty_behind, empty_front = legs(renderer.frame(start_s + 0.4 * (next_s - start_s)), actor)
    assert np.abs(behind - empty_behind).max() > 60
    assert ropes(behind, empty_behind) >= 4 * height / 112
    assert ropes(in_front, empty_front) == 0


def legs(frame: Image, actor: ActorState) -> tuple[np.ndarray, np.ndarray]:
    """The parts of a picture behind and before the shins, as wide as a body."""
    height, width = frame.shape[:2]
    top, bottom = int((actor.y - 0.25 * actor.height) * height), int(actor.y * height)
    reach = (actor.box[2] - actor.box[0]) * width
    sides = [sorted((actor.x * width + side * 0.28 * reach, actor.x * width + side * 1.1 * reach)) for side in (-1, 1)]
    back, front = (frame[top:bottom, int(left) : int(right)].astype(int) for left, right in sides[:: actor.facing])
    return back, front


def ropes(part: np.ndarray, without: np.ndarray) -> int:
    """Pixels that turned towards orange."""
    change = part - without
    return int((change[..., 0] - change[..., 2] > 40).sum())


def test_who_rests_stands_still_with_the_rope_behind_the_legs() -> None:
    world = film(900_001)
    before, after = max(pairwise(world.jump_starts_s), key=lambda pair: pair[1] - pair[0])
    assert after - before > 5.0
    for t_s in np.linspace(after - 3.0, after - 0.01, 7):
        actor = jumper(world, float(t_s))
        assert is_still(actor)
        assert (actor.hop, actor.action) == (0.0, "stand")
        assert actor.rope is not None
        assert actor.rope.is_integer()


def test_a_longer_film_only_appends_and_what_is_not_over_is_not_counted() -> None:
    whole = film(900_002)
    starts = whole.jump_starts_s
    short = World(900_002, duration_s=starts[3] + 0.01, scene="jumpscore")
    assert short.jump_starts_s == starts[:3]
    assert short.state_at(starts[2]) == whole.state_at(starts[2])
    assert World(900_002, duration_s=60.0).jump_starts_s == ()


def test_jumpers_stand_where_a_picture_shows_their_rope_whole() -> None:
    for seed in SEEDS:
        world = film(seed)
        actor = jumper(world, 0.0)
        assert 0.45 < actor.height < 0.7
        low, high = sorted(world.layout.place(x_px, 0)[0] for x_px in JUMPER_X)
        assert low - 1e-9 <= actor.x <= high + 1e-9


def test_yards_questions_are_asked_of_such_films_too() -> None:
    world = film(900_000)
    end_s = world.events[0].t_s
    (question,) = questions_at(world, end_s + 1.0, rng=np.random.default_rng(0), num=1, types=["jumps"])
    assert question.answer == str(world.events[0].num_jumps)
