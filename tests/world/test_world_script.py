"""The generated world's script: one seed, one story, and a truth that holds together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.world import TEST_SEEDS, TRAIN_SEEDS, SeedError, TimeError, World, caption, split_of

seeds = st.integers(0, 2_000_000)


@given(seed=seeds, short_s=st.floats(1.0, 60.0), more_s=st.floats(0.0, 90.0))
@settings(max_examples=30, deadline=None)
def test_a_longer_world_only_appends(seed: int, short_s: float, more_s: float) -> None:
    short, long = World(seed, duration_s=short_s), World(seed, duration_s=short_s + more_s)
    assert short.events == tuple(event for event in long.events if event.t_s < short_s)
    for t_s in np.linspace(0, short_s, 7):
        assert short.state_at(float(t_s)) == long.state_at(float(t_s))
        assert short.under_way(float(t_s)) == long.under_way(float(t_s))


@given(seed=seeds)
@settings(max_examples=25, deadline=None)
def test_events_are_in_order_and_apart(seed: int) -> None:
    times_s = [event.t_s for event in World(seed, duration_s=90).events]
    assert np.all(np.diff(times_s) > 0.89)


@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_never_more_than_three_people_one_car_one_dog_and_no_two_of_a_coat(seed: int) -> None:
    world = World(seed, duration_s=60)
    for t_s in np.arange(0, 60, 0.37):
        actors = world.state_at(float(t_s)).actors
        people = [actor.colour for actor in actors if actor.kind == "person"]
        assert len(people) <= 3
        assert len(set(people)) == len(people)
        assert sum(actor.kind == "car" for actor in actors) <= 1
        assert sum(actor.kind == "dog" for actor in actors) <= 1


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_an_event_changes_what_is_seen(seed: int) -> None:
    world = World(seed, duration_s=60)
    for event in world.events:
        if event.t_s < 0.02:
            continue  # A change with the very first picture has no before.
        before, after = world.state_at(event.t_s - 0.02), world.state_at(min(60.0, event.t_s + 0.02))
        match event.kind:
            case "door_opened" | "door_closed":
                assert (before.door_open, after.door_open) == (event.kind == "door_closed", event.kind == "door_opened")
            case "lamp_on" | "lamp_off":
                assert (before.lamp_on, after.lamp_on) == (event.kind == "lamp_off", event.kind == "lamp_on")
            case "parcel_delivered" | "parcel_taken":
                assert (before.parcel, after.parcel) == (event.kind == "parcel_taken", event.kind == "parcel_delivered")
            case _:
                assert any(actor.ident == event.actor_id for actor in (*before.actors, *after.actors))


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_who_arrives_or_leaves_crosses_the_edge_of_the_picture_or_of_the_door(seed: int) -> None:
    world = World(seed, duration_s=60)
    for event in world.events:
        if event.kind.endswith(("_arrived", "_left")):
            (actor,) = (actor for actor in world.state_at(event.t_s).actors if actor.ident == event.actor_id)
            assert actor.in_doorway or min(abs(actor.x), abs(actor.x - 1)) < 1e-6
            assert 0.3 < actor.visible < 0.7


def test_jumps_are_as_many_as_the_hops_one_can_count() -> None:
    num_bouts = 0
    for seed in range(900_000, 900_012):
        world = World(seed, duration_s=60)
        for event in world.events:
            if event.kind == "person_jumped":
                hops = [_hop(world, event.actor_id, t_s) for t_s in np.arange(event.start_s, event.t_s, 0.02)]
                in_air = np.array(hops) > 0
                assert np.sum(in_air[1:] & ~in_air[:-1]) == event.num_jumps
                assert world.state_at(event.t_s).num_jumps == event.num_jumps
                assert 2 <= event.num_jumps <= 7
                num_bouts += 1
    assert num_bouts > 10


def _hop(world: World, ident: int, t_s: float) -> float:
    return next(actor.hop for actor in world.state_at(float(t_s)).actors if actor.ident == ident)


def test_actors_are_large_enough_for_a_small_model() -> None:
    for seed in range(20):
        world = World(seed, duration_s=30)
        for t_s in range(0, 30, 3):
            for actor in world.state_at(float(t_s)).actors:
                width = actor.box[2] - actor.box[0]
                if actor.kind == "person" and not actor.in_doorway and actor.y > 0.66:
                    assert 0.34 <= actor.height <= 0.46
                assert actor.kind != "car" or width >= 0.30
                assert actor.kind != "dog" or width >= 0.15


def test_something_happens_every_three_to_four_seconds() -> None:
    num = sum(len(World(seed, duration_s=120).events) for seed in range(30))
    assert 3.0 <= 30 * 120 / num <= 4.0


def test_a_moment_outside_the_script_is_refused() -> None:
    world = World(1, duration_s=5)
    with pytest.raises(TimeError, match=r"expected 0 to 5\.0, got 5\.5"):
        world.state_at(5.5)
    with pytest.raises(TimeError, match="above 0"):
        World(1, duration_s=0)
    with pytest.raises(SeedError, match="zero or more"):
        World(-1)


def test_seeds_split_with_an_empty_range_between() -> None:
    assert split_of(0) == split_of(499_999) == "train"
    assert split_of(900_000) == split_of(900_123) == "test"
    assert not set(TRAIN_SEEDS[:5]) & set(TEST_SEEDS[:5])
    for seed in (-1, 500_000, 899_999):
        with pytest.raises(SeedError, match="900000 and up"):
            split_of(seed)


def test_a_caption_names_what_is_there() -> None:
    world = World(900_000, duration_s=60)
    state = world.state_at(30.0)
    text = caption(state, world.layout.door_x)
    assert all(f"in {actor.colour}" in text for actor in state.of_kind("person"))
    assert ("the lamp is on" in text) == state.lamp_on
    assert ("parcel" in text) == state.parcel
