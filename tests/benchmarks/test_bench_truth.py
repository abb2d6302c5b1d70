"""The benchmarks against the world's truth: what counts as a boundary, when a telling is right, what is printed."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ov2_bench.boundaries import bench_boundaries
from ov2_bench.films import ENCODINGS, Films, seeds_between
from ov2_command import ov2

from stream.sources import open_source
from trainer.evaluate.matching import Tally, delays_s
from trainer.world import Renderer, SeedError, TimeError, World, camera_profile
from trainer.world.boundaries import JOIN_S, STEP_S, visible_boundaries

SMALL = (160, 96)
CRF = ENCODINGS[:1]


def test_a_telling_is_right_once_and_never_before_the_boundary_nor_a_second_after() -> None:
    assert delays_s([10.0], [9.9]) == []
    assert delays_s([10.0], [9.96]) == [0.0]
    assert delays_s([10.0], [11.0]) == [1.0]
    assert delays_s([10.0], [11.1]) == []
    assert delays_s([10.0, 10.5], [10.6]) == pytest.approx([0.6])
    assert delays_s([10.0, 10.5], [10.6, 10.7]) == pytest.approx([0.6, 0.2])
    assert delays_s([10.0, 20.0], [1.0, 2.0, 10.3, 10.4, 20.4]) == pytest.approx([0.3, 0.4])


def test_a_detector_that_knows_all_scores_one_and_chance_far_less() -> None:
    tally = Tally()
    true_s = [7.0, 13.0, 24.0, 31.0, 47.0]
    tally.add(true_s, [t_s + 0.2 for t_s in true_s], start_s=6.0, end_s=60.0)
    assert (tally.precision, tally.recall, tally.f1, tally.median_delay_s) == (1.0, 1.0, 1.0, 0.2)
    assert tally.chance_f1 < 0.3


def test_a_detector_that_tells_every_half_second_is_no_better_than_chance() -> None:
    tally = Tally()
    tally.add([8.2, 14.7, 22.1], [0.5 * k for k in range(120)], start_s=6.0, end_s=60.0)
    assert tally.recall == 1.0
    assert tally.f1 == pytest.approx(tally.chance_f1, abs=0.02)


def test_silence_has_no_score_and_no_delay() -> None:
    tally = Tally()
    tally.add([8.0], [], start_s=6.0, end_s=60.0)
    assert (tally.precision, tally.recall, tally.f1, tally.median_delay_s) == (0.0, 0.0, 0.0, None)


@pytest.mark.parametrize("seed", [900_000, 900_003, 900_021])
def test_every_switch_of_door_and_lamp_is_a_boundary_and_none_is_closer_than_can_be_told(seed: int) -> None:
    world = World(seed, duration_s=90.0)
    times_s = np.array(visible_boundaries(world))
    switches = [event.t_s for event in world.events if event.actor in ("door", "lamp") and event.t_s > STEP_S]
    assert switches
    for t_s in switches:
        after_s = t_s - times_s
        assert ((after_s > -STEP_S - 1e-6) & (after_s < JOIN_S)).any(), t_s
    assert np.diff(times_s).min() >= JOIN_S - 1e-6


def test_between_boundaries_nothing_begins_to_move() -> None:
    world = World(900_002, duration_s=60.0)
    times_s = [0.0, *visible_boundaries(world)]
    for before_s, after_s in pairwise(times_s):
        looks_s = np.arange(before_s + JOIN_S + STEP_S, after_s - STEP_S, STEP_S)
        movers = {frozenset(a.ident for a in world.state_at(t_s).actors if a.moving) for t_s in looks_s}
        assert len(movers) <= 1


def test_presets_that_recorded_films_depend_on_are_as_they_were() -> None:
    common = {"preset": "veryfast", "keyint_min": "40", "g": "40", "bf": "0", "sc_threshold": "0", "threads": "1"}
    crf = {**common, "tune": "zerolatency", "crf": "26", "maxrate": "900k", "bufsize": "900k"}
    cbr = {**common, "tune": "zerolatency", "b": "400k", "maxrate": "400k", "bufsize": "400k", "nal-hrd": "cbr"}
    assert camera_profile("default").options(width=640, height=360, fps=10) == crf
    assert camera_profile("cbr").options(width=640, height=360, fps=10) == cbr
    assert camera_profile("smart").options(width=640, height=360, fps=10)["g"] == "600"


def test_intra_refresh_has_one_keyframe_and_a_low_delay_camera_hardly_a_buffer(tmp_path: Path) -> None:
    films = Films(folder=tmp_path, seconds=10.0, width=SMALL[0], height=SMALL[1])
    refresh = next(encoding for encoding in ENCODINGS if encoding.name == "refresh")
    with open_source(str(films.path(900_000, refresh))) as packets:
        assert sum(packet.is_key for packet in packets) == 1
    options = camera_profile("lowdelay").options(width=640, height=360, fps=10)
    assert (options["maxrate"], options["bufsize"]) == ("500k", "100k")


def test_night_noise_is_noisier_than_the_yards_own() -> None:
    world = World(900_000, duration_s=10.0)
    calm, noisy = (
        [Renderer(world, width=160, height=96, noise=noise).frame(t_s).astype(float) for t_s in (1.0, 1.1)]
        for noise in (None, 7.0)
    )
    assert np.abs(noisy[1] - noisy[0]).mean() > 2 * np.abs(calm[1] - calm[0]).mean()


def test_a_film_is_made_once(tmp_path: Path) -> None:
    told: list[str] = []
    films = Films(folder=tmp_path, seconds=10.0, width=SMALL[0], height=SMALL[1], tell=told.append)
    first = films.path(900_000, CRF[0])
    written = first.stat().st_mtime_ns
    assert films.path(900_000, CRF[0]).stat().st_mtime_ns == written
    assert len(told) == 1


def test_boundaries_of_one_tiny_film_have_regions_and_every_cost_with_and_without_scene_cuts(tmp_path: Path) -> None:
    table = bench_boundaries([900_000], 12.0, tmp_path, encodings=CRF, size=SMALL)
    json.dumps(table)
    assert list(table) == ["crf"]
    costs = ("bytes", "log", "complexity")
    assert set(table["crf"]) == {"regions", *costs, *(f"{cost}, scene cuts" for cost in costs)}
    for row in table["crf"].values():
        assert {"precision", "recall", "f1", "median_delay_s", "chance_f1"} <= set(row)
        assert 0 <= (row["f1"] or 0) <= 1


def test_films_that_are_mostly_warm_up_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TimeError, match="seconds: expected at least 10, got 5"):
        bench_boundaries([900_000], 5.0, tmp_path, encodings=CRF, size=SMALL)


@pytest.mark.parametrize("text", ["900004:900000", "900000", "a:b", "499999:900001", "600000:600004", "900000:900000"])
def test_bad_seeds_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(SeedError, match=r"seeds?: expected"):
        seeds_between(text)


@pytest.mark.parametrize("command", ["boundaries", "selection"])
def test_the_command_refuses_bad_seeds_without_a_traceback(command: str) -> None:
    done = ov2("bench", command, "--seeds", "9:3")
    assert done.returncode == 2
    assert done.stderr.startswith("ov2: seeds: expected A:B with A below B")
    assert "Traceback" not in done.stderr
