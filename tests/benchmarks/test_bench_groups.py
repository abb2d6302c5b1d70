"""`ov2 bench groups`: its measures against groups worked out by hand, its real films against footage that is known, its command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from ov2_bench.errors import RunError
from ov2_bench.footage import CODINGS, Footage, RealFilm, active_stretches
from ov2_bench.group_measures import FilmTruth, GroupSpan, measure
from ov2_bench.groups import films_in
from ov2_command import ov2
from repository import ROOT

from trainer.world import World, write_file
from trainer.world.activity import active_intervals

TRUTH = FilmTruth(duration_s=720.0, active=((40.0, 100.0), (140.0, 200.0), (300.0, 720.0)))
PER_RATE = {
    "tokens_per_s_active",
    "tokens_per_s_still",
    "median_span_active_s",
    "median_span_still_s",
    "closed_by_quota",
    "onset_span_s",
}


def _groups(low_s: float, high_s: float, span_s: float, tokens: int, closed_by: str) -> list[GroupSpan]:
    starts_s = np.arange(low_s, high_s - 1e-9, span_s)
    return [
        GroupSpan(
            start_s=start_s, end_s=min(high_s, start_s + span_s), closed_by=closed_by, cost=tokens, tokens=tokens, canvases=1
        )
        for start_s in starts_s
    ]


def _following() -> list[GroupSpan]:
    """Groups that do as they should at 100 tokens per second: 2 s while active, one canvas of 30 tokens for a rest."""
    groups: list[GroupSpan] = []
    at_s = 0.0
    for low_s, high_s in TRUTH.active:
        groups += _groups(at_s, low_s, low_s - at_s, 30, "onset") + _groups(low_s, high_s, 2.0, 200, "quota")
        at_s = high_s
    return groups


def test_groups_that_follow_what_happens_measure_as_worked_out_by_hand() -> None:
    row = measure(_following(), TRUTH, 100)
    assert row["tokens_per_s_active"] == pytest.approx(100.0)
    assert row["tokens_per_s_still"] == pytest.approx(90 / 180, abs=1e-3)
    assert (row["median_span_active_s"], row["median_span_still_s"]) == (2.0, 40.0)
    assert (row["closed_by_quota"], row["onset_span_s"], row["onsets_met"], row["num_onsets"]) == (1.0, 2.0, 1.0, 3)
    assert (row["least_active_minute"], row["largest_active_minute"]) == pytest.approx((1.0, 1.0))
    assert row["largest_ten_minutes"] == pytest.approx((480 * 100 + 30 + 30 / 2) / 60_000, abs=1e-3)
    assert [(spell["start_s"], spell["canvases"]) for spell in row["still_spells"]] == [(0.0, 1), (100.0, 1), (200.0, 1)]
    assert row["largest_still_spell_tokens_per_s"] == pytest.approx(30 / 40, abs=0.01)


def test_rests_too_short_to_be_known_as_such_count_only_where_there_are_no_others() -> None:
    groups = [
        *_groups(0.0, 40.0, 20.0, 30, "max_span"),
        *_groups(40.0, 60.0, 2.0, 200, "quota"),
        *_groups(60.0, 70.0, 2.0, 100, "still"),
    ]
    with_spell = FilmTruth(duration_s=72.0, active=((40.0, 60.0), (70.0, 72.0)))
    assert measure(groups, with_spell, 100)["median_span_still_s"] == 20.0
    without = FilmTruth(duration_s=72.0, active=((20.0, 60.0), (70.0, 72.0)))
    row = measure(groups, without, 100)
    assert (row["median_span_still_s"], row["still_spells"]) == (2.0, [])


def test_a_long_rest_with_a_last_step_in_it_is_still() -> None:
    truth = FilmTruth(duration_s=100.0, active=((0.0, 20.8),))
    rest = _groups(20.0, 60.0, 40.0, 30, "max_span")[0]
    assert not truth.is_active(rest)
    assert truth.is_active(_groups(20.0, 24.0, 4.0, 30, "still")[0])


def test_groups_by_the_clock_meet_no_onset_and_spend_on_rests() -> None:
    row = measure(_groups(0.0, 720.0, 6.0, 600, "max_span"), TRUTH, 100)
    assert (row["closed_by_quota"], row["onsets_met"], row["onset_span_s"]) == (0.0, 0.0, 6.0)
    assert row["tokens_per_s_still"] == pytest.approx(100.0)
    assert row["largest_ten_minutes"] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(("start_s", "span_s", "met"), [(39.0, 2.0, 1.0), (38.5, 2.0, 0.0), (39.5, 2.5, 0.0), (40.2, 1.0, 1.0)])
def test_an_onset_is_met_at_most_a_second_before_and_within_two(start_s: float, span_s: float, met: float) -> None:
    truth = FilmTruth(duration_s=100.0, active=((40.0, 60.0),))
    first = GroupSpan(start_s=start_s, end_s=start_s + span_s, closed_by="quota", cost=1.0, tokens=100, canvases=4)
    groups = [*_groups(0.0, start_s, start_s, 20, "still"), first, *_groups(start_s + span_s, 60.0, 3.0, 300, "quota")]
    assert measure(groups, truth, 100)["onsets_met"] == met


def test_ten_minutes_are_the_dearest_of_any_and_minutes_lie_apart() -> None:
    truth = FilmTruth(duration_s=720.0, active=((0.0, 720.0),))
    groups = _groups(0.0, 60.0, 2.0, 800, "quota") + _groups(60.0, 720.0, 2.0, 200, "quota")
    row = measure(groups, truth, 100)
    assert (row["least_active_minute"], row["largest_active_minute"]) == pytest.approx((1.0, 4.0))
    assert row["largest_ten_minutes"] == pytest.approx((60 * 400 + 540 * 100) / 60_000, abs=0.01)
    assert (row["onsets_met"], row["tokens_per_s_still"], row["still_spells"]) == (None, None, [])


def test_a_film_without_a_group_has_nothing_to_measure() -> None:
    row = measure([], FilmTruth(duration_s=30.0, active=()), 100)
    assert all(row[key] is None for key in PER_RATE)


def test_stretches_bridge_short_pauses() -> None:
    flags = [*[False] * 10, True, *[False] * 5, True, True, *[False] * 20, True]
    assert active_stretches(flags, 5) == ((2.0, 3.6), (7.6, 7.8))


YARD = World(900_001, duration_s=120.0, duty=0.2)
FIRST_S, LAST_S = active_intervals(YARD)[0]
BEFORE_S = 4.0
AFTER_S = 5.0


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    """Four still seconds, somebody comes and goes, five still seconds."""
    path = tmp_path_factory.mktemp("footage") / "yard.mp4"
    start_s, seconds = FIRST_S - BEFORE_S, BEFORE_S + LAST_S - FIRST_S + AFTER_S
    write_file(YARD, path, width=320, height=240, fps=5, start_s=start_s, duration_s=seconds)
    return Footage(path=path, fps=5, width=320, height=240)


def test_a_real_film_is_still_as_long_as_said_and_active_where_the_subtractor_says(footage: Footage, tmp_path: Path) -> None:
    film = RealFilm(name="yard", footage=footage, coding=CODINGS["dusk"], still_s=30.0)
    assert film.make(tmp_path)
    (made,) = films_in(tmp_path)
    onset_s, spell_s = 30.0 + BEFORE_S, LAST_S - FIRST_S
    assert made.truth.duration_s == pytest.approx(onset_s + spell_s + AFTER_S, abs=0.2)
    assert np.array(made.truth.active) == pytest.approx(np.array([[onset_s, onset_s + spell_s]]), abs=0.6)
    with av.open(str(made.path)) as container:
        pictures = [frame.to_ndarray(format="gray").astype(float) for frame in container.decode(video=0)]
    assert len(pictures) == round(5 * made.truth.duration_s)
    still = np.array(pictures[20:150:10])
    assert np.abs(still.mean(axis=(1, 2)) - still.mean()).max() < 1.0
    filmed = np.array(list(islice(film.pictures(film.plan(130)), 10)), float)
    assert all(np.abs(after - before).mean() > CODINGS["dusk"].noise / 2 for before, after in pairwise(filmed))
    first = next(footage.pictures())
    assert still.mean() == pytest.approx(0.3 * first.mean(), abs=6.0)


def test_a_film_is_made_anew_only_when_something_that_decides_it_has_changed(footage: Footage, tmp_path: Path) -> None:
    film = RealFilm(name="yard", footage=footage, coding=CODINGS["crf"], still_s=30.0)
    assert film.make(tmp_path)
    assert not film.make(tmp_path)
    assert replace(film, coding=replace(film.coding, noise=3.0)).make(tmp_path)


def test_a_looped_film_alternates_until_it_is_full(footage: Footage) -> None:
    film = RealFilm(name="yard", footage=footage, coding=CODINGS["crf"], still_s=30.0, least_s=720.0)
    plan = film.plan(130)
    assert len(plan) == 720 * 5
    assert plan[150:280] == plan[430:560] == list(range(130))
    assert plan[:150] == plan[280:430] == [None] * 150


def test_films_without_truth_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected mp4 files, found none"):
        films_in(tmp_path)
    (tmp_path / "street.mp4").write_bytes(b"")
    with pytest.raises(RunError, match=r"street\.mp4: expected street\.json beside it"):
        films_in(tmp_path)


def test_the_command_tells_every_rate_of_a_real_film(footage: Footage, tmp_path: Path) -> None:
    RealFilm(name="yard", footage=footage, coding=CODINGS["crf"], still_s=30.0).make(tmp_path)
    done = ov2(
        "bench", "groups", "--films", str(tmp_path), "--only", "yard", "--plot", "--out", str(tmp_path / "out"), "--json"
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert list(told) == ["yard"]
    assert list(told["yard"]) == ["30", "100", "300"]
    assert all(set(row) >= PER_RATE for row in told["yard"].values())
    assert told["yard"]["30"]["tokens_per_s_active"] > 0
    assert (tmp_path / "out" / "yard.png").stat().st_size > 1000


def test_the_command_refuses_a_name_that_no_film_has(tmp_path: Path) -> None:
    done = ov2("bench", "groups", "--only", "nothing", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "--only: expected a part of some film's name" in done.stderr


def test_the_script_says_what_footage_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "real_films.py"), str(tmp_path)],
        env=os.environ | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    skipped = [line for line in done.stderr.splitlines() if line.startswith("skipped: ")]
    assert len(skipped) == 3
    assert all("expected Debian's apt-get, which is not here" in line for line in skipped)
