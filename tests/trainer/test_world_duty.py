"""Films by duty: something happens for the share asked for; in between nothing but light, noise and leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from trainer.world import Renderer, TimeError, World
from trainer.world.activity import active_intervals
from trainer.world.duty import REST_LEAST_S
from trainer.world.layout import DRAWING_H, DRAWING_W
from trainer.world.leaves import TOPS

TEN_MINUTES_S = 600.0
SEEDS = (900_000, 900_001, 900_002)


def _share(world: World) -> float:
    return sum(high - low for low, high in active_intervals(world)) / world.duration_s


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("duty", "most_off"), [(0.0, 0.0), (0.05, 0.02), (0.2, 0.03), (0.5, 0.03), (1.0, 0.01)])
def test_ten_minutes_are_active_for_the_share_asked_for(seed: int, duty: float, most_off: float) -> None:
    assert _share(World(seed, duration_s=TEN_MINUTES_S, duty=duty)) == pytest.approx(duty, abs=most_off)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("duty", [0.05, 0.2, 0.5, 0.8])
def test_rests_are_at_least_half_a_minute_and_spells_have_no_holes(seed: int, duty: float) -> None:
    active = active_intervals(World(seed, duration_s=TEN_MINUTES_S, duty=duty))
    rests_s = [after[0] - before[1] for before, after in pairwise(active)]
    assert min(rests_s) >= REST_LEAST_S
    assert min(high - low for low, high in active[:-1]) >= 6.0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rest_holds_nothing_that_moves_but_leaves(seed: int) -> None:
    world = World(seed, duration_s=120.0, duty=0.2)
    renderer = Renderer(world, noise=0.0)
    (low_s, high_s), *_ = active_intervals(world)
    plants = _plants(world, renderer.width, renderer.height)
    rest = [t_s for t_s in np.arange(0.0, 120.0, 0.7) if t_s < low_s - 0.1 or high_s + 0.1 < t_s < high_s + REST_LEAST_S - 0.1]
    first = _evenly_lit(renderer, rest[0])
    away = np.array([np.abs(_evenly_lit(renderer, t_s) - first).max(axis=2) for t_s in rest])
    assert away[:, ~plants].max() <= 3.0
    assert away[:, plants].max() > 8.0
    spell = np.abs(_evenly_lit(renderer, (low_s + high_s) / 2) - first).max(axis=2)
    assert (spell[~plants] > 20.0).mean() > 0.002


def _evenly_lit(renderer: Renderer, t_s: float) -> np.ndarray:
    """The picture without the drift of its light."""
    return np.minimum(renderer.frame(t_s) / renderer.world.layout.gain_at(t_s), 240.0)


def _plants(world: World, width: int, height: int) -> np.ndarray:
    """Where leaves may move, bool [height, width]."""
    mask = np.zeros((height, width), bool)
    for kind, x_px, size in world.layout.plants:
        y_px, half_w, half_h = TOPS[kind]
        x, y = world.layout.place(x_px, y_px)
        reach_x, reach_y = (half * size * world.layout.zoom for half in (half_w / DRAWING_W, half_h / DRAWING_H))
        columns = slice(max(0, int((x - reach_x) * width) - 1), int((x + reach_x) * width) + 2)
        mask[max(0, int((y - reach_y) * height) - 1) : int((y + reach_y) * height) + 2, columns] = True
    return mask


def test_a_seed_tells_the_same_story_and_a_longer_film_only_appends() -> None:
    short, again, long = (World(900_003, duration_s=each, duty=0.5, night=True) for each in (150.0, 150.0, 300.0))
    assert short.events == again.events == long.events[: len(short.events)]
    assert active_intervals(short) == active_intervals(long, end_s=150.0)
    assert (Renderer(short).frame(31.3) == Renderer(long).frame(31.3)).all()
    assert World(900_004, duration_s=150.0, duty=0.5).events != short.events


def test_the_night_is_the_same_story_in_the_dark_with_more_noise() -> None:
    day, night = (World(900_005, duration_s=90.0, duty=0.5, night=dark) for dark in (False, True))
    assert active_intervals(day) == active_intervals(night)
    by_day, by_night = (np.array([Renderer(world).frame(t_s) for t_s in (1.0, 1.1)], float) for world in (day, night))
    assert by_night.mean() < 0.6 * by_day.mean()
    assert by_night[0].std() > 0
    assert np.abs(np.diff(by_night, axis=0)).mean() > 1.5 * np.abs(np.diff(by_day, axis=0)).mean()


def test_the_busy_yard_is_as_it_was_without_a_duty() -> None:
    world = World(900_006, duration_s=60.0)
    assert _share(world) > 0.5
    assert {"lamp", "door"} & {event.actor for event in world.events}


@pytest.mark.parametrize("duty", [-0.1, 1.2, 20.0, float("nan")])
def test_a_duty_that_is_no_share_is_refused(duty: float) -> None:
    with pytest.raises(TimeError, match="expected a share of the time, 0 to 1"):
        World(900_000, duty=duty)


def test_the_command_writes_a_film_by_duty_and_its_truth(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    size = ("--width", "160", "--height", "96", "--fps", "5", "--start-s", "20", "--seconds", "30")
    command = [sys.executable, "-m", "trainer.world", "write", str(film), "--duty", "50", "--night", "--truth", *size]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    truth = json.loads(film.with_suffix(".json").read_text())
    true = active_intervals(World(900_000, duration_s=50.0, duty=0.5, night=True), start_s=20.0)
    assert np.array(truth["active"]) == pytest.approx(np.array(true) - 20.0)
    assert truth["duration_s"] == 30.0
    with av.open(str(film)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 150
