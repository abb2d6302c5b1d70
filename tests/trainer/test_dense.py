"""Dense supervision: what heads are taught at the end of a run is what the world says of that moment."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainer.train.dense_heads import DenseHeads
from trainer.train.dense_targets import CHOICES, EVENT_KEYS, NUM_LABELS, PRESENT, UNKNOWN, RunEnd, dense_targets
from trainer.world import World

NAMES = tuple(CHOICES)


@pytest.fixture(scope="module")
def world() -> World:
    return World(3, duration_s=60.0)


def test_every_event_is_taught_once_at_the_first_run_after_it(world: World) -> None:
    times = np.arange(1.0, 60.0, 0.7)
    runs = [RunEnd(row, float(at_s), float(times[row - 1]) if row else 0.0) for row, at_s in enumerate(times)]
    targets = dense_targets(world, runs, since_s=0.0, zero_s=0.0)
    counts = targets.labels[:, : len(EVENT_KEYS)].sum(0)
    told = [event for event in world.events if 0.0 < event.t_s <= times[-1]]
    assert len(told) > 5
    for key, count in zip(EVENT_KEYS, counts, strict=True):
        rows = {int(np.searchsorted(times, event.t_s)) for event in told if event.kind == key[0] and _colour(event) == key[1]}
        assert count == len(rows), key


def _colour(event: object) -> str:
    return "" if getattr(event, "actor") == "car" else getattr(event, "colour")  # noqa: B009 - any event


def test_the_last_event_its_time_and_the_clock_are_those_of_the_session(world: World) -> None:
    event = next(one for one in world.events if one.t_s > 10 and one.kind != "person_jumped")
    at_s = event.t_s + 0.01
    (told,) = dense_targets(world, [RunEnd(0, at_s, at_s - 1)], since_s=0.0, zero_s=4.0).choices
    values = dict(zip(NAMES, told.tolist(), strict=True))
    assert EVENT_KEYS[values["last event"] - 1][0] == event.kind
    assert 10 * values["last tens"] + values["last ones"] + values["last tenths"] / 10 == pytest.approx(
        event.t_s - 4.0, abs=0.051
    )
    assert 10 * values["clock tens"] + values["clock ones"] + values["clock tenths"] / 10 == pytest.approx(
        at_s - 4.0, abs=0.051
    )
    (before,) = dense_targets(world, [RunEnd(0, at_s, at_s - 1)], since_s=at_s - 0.001, zero_s=4.0).choices
    assert before[NAMES.index("last event")] == 0
    assert before[NAMES.index("last ones")] == UNKNOWN


def test_what_is_present_is_told_with_its_place(world: World) -> None:
    for at_s in np.arange(2.0, 58.0, 4.0):
        (labels,) = dense_targets(world, [RunEnd(0, float(at_s), float(at_s))], since_s=0.0, zero_s=0.0).labels
        told = {PRESENT[index] for index in np.flatnonzero(labels[len(EVENT_KEYS) :])}
        state = world.state_at(float(at_s))
        assert {name.split()[0] for name in told} - {"lamp", "door", "parcel"} == {
            actor.kind for kind in ("person", "car", "dog") for actor in state.of_kind(kind)
        }
        assert ("lamp on" in told, "door open" in told, "parcel" in told) == (state.lamp_on, state.door_open, state.parcel)
        assert sum(name.startswith("person") for name in told) <= len(state.of_kind("person"))


def test_heads_learn_their_targets_and_count_what_is_right(world: World) -> None:
    runs = [RunEnd(row, 3.0 + 5 * row, 5.0 * row) for row in range(8)]
    targets = dense_targets(world, runs, since_s=0.0, zero_s=0.0)
    torch.manual_seed(0)
    heads, hidden = DenseHeads(32), torch.randn(8, 32)
    optimizer = torch.optim.Adam(heads.parameters(), lr=0.05)
    first = last = float(heads(hidden, [targets]).detach())
    for _ in range(150):
        optimizer.zero_grad()
        loss = heads(hidden, [targets])
        loss.backward()
        optimizer.step()
        last = float(loss.detach())
    assert last < 0.05 * first
    right = heads.right(hidden, [targets])
    assert all(hits == whole for hits, whole in right.values())
    assert right["clock ones"][1] == 8
    assert targets.labels.shape == (8, NUM_LABELS)
