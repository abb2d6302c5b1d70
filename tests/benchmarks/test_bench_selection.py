"""`ov2 bench selection`: what counts as shown, that policies are compared at equal terms, and where something moves in real films."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from ov2_bench.errors import RunError
from ov2_bench.films import ENCODINGS
from ov2_bench.footage import CODINGS, Footage, RealFilm
from ov2_bench.moving_pixels import Truth, YardMotion, mask_motion, masks_beside, truth_of
from ov2_bench.selection_coverage import EVERY, bench_selection, compare, real_films, yards
from ov2_bench.selection_policies import PRESETS, policies
from ov2_command import ov2

import stream.codec.evidence
from stream.codec.decode import DecodedFrame
from stream.tokenizer.settings import settings_from
from stream.units import FrameEvidence
from trainer.world import World, write_file
from trainer.world.activity import active_intervals

SMALL = (160, 96)
CRF = ENCODINGS[:1]
YARD = World(900_001, duration_s=120.0, duty=0.2)
START_S = active_intervals(YARD)[0][0] - 2.0
SECONDS, FPS, STILL_S = 8.0, 5, 30.0


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a film of footage: somebody comes into a yard, behind still seconds; once, and once more as looped ones are called."""
    folder = tmp_path_factory.mktemp("films")
    path = folder / "footage" / "yard.mp4"
    path.parent.mkdir()
    write_file(YARD, path, width=320, height=240, fps=FPS, start_s=START_S, duration_s=SECONDS)
    footage = Footage(path=path, fps=FPS, width=320, height=240)
    for name in ("yard", "yard_looped"):
        RealFilm(name=name, footage=footage, coding=CODINGS["crf"], still_s=STILL_S).make(folder)
    return folder


def test_all_blocks_shown_cover_everything_and_half_of_them_half() -> None:
    truth = Truth(np.full((10, 2, 2), 100.0), fps=10)
    blocks = np.argwhere(np.ones((2, 2), bool))
    everything = compare(truth, dict.fromkeys(range(10), blocks), 100)
    half = compare(truth, dict.fromkeys(range(10), blocks[:2]), 50)
    assert (everything.row()["coverage"], half.row()["coverage"]) == (1.0, 0.5)
    assert (everything.num_moments, everything.num_moments_told, half.num_moments_told) == (2, 2, 2)
    assert (everything + half).row() == {**everything.row(), "coverage": 0.75, "llm_tokens": 150}


def test_a_moment_is_told_by_one_frame_that_shows_half_of_what_moves() -> None:
    truth = Truth(np.array([[[100.0, 100.0]], [[100.0, 100.0]], [[0.0, 0.0]], [[300.0, 100.0]]]), fps=2)
    one = compare(truth, {0: np.array([[0, 0]]), 3: np.array([[0, 1]])}, 0)
    assert (one.num_moments, one.num_moments_told) == (3, 1)


def test_policies_differ_in_evidence_and_choice_and_in_nothing_else() -> None:
    compared = {"evidence", "policy", "weight_motion", "weight_residual", "weight_bits"}
    kept = {
        name: {key: value for key, value in asdict(settings_from(given)).items() if key not in compared}
        for name, given in policies().items()
    }
    for _, same in groupby(kept, key=lambda name: "one P-canvas" in name):
        first, *others = (kept[name] for name in same)
        assert len(others) == 11
        assert all(other == first for other in others)
    assert all("preset" in given for given in (*policies().values(), *PRESETS.values()))


def test_policies_with_bits_are_left_out_where_the_evidence_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = stream.codec.evidence.measure
    monkeypatch.setattr(stream.codec.evidence, "measure", lambda *frames: replace(measure(*frames), bits=None))
    told: list[str] = []
    tables = bench_selection(yards([900_000], tmp_path, seconds=12.0, encodings=CRF, size=SMALL), tell=told.append)
    json.dumps(tables)
    assert list(tables) == [EVERY, "crf"]
    assert tables[EVERY] == tables["crf"]
    assert "no bits" in told[-1]
    assert not any(name.startswith(("bits", "all")) for name in tables["crf"])
    assert {"motion, stratified", "residual, topk", "coded, stratified", "uniform frames", *PRESETS} <= set(tables["crf"])
    for row in tables["crf"].values():
        assert {"coverage", "llm_tokens"} <= set(row)
        assert 0 <= (row["coverage"] or 0) <= 1


def test_policies_with_bits_run_where_the_evidence_has_them_and_presets_once_more_as_dear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = stream.codec.evidence.measure

    def with_bits(frame: DecodedFrame, previous: DecodedFrame | None) -> FrameEvidence:
        evidence = measure(frame, previous)
        return replace(evidence, bits=np.ones_like(evidence.residual))

    monkeypatch.setattr(stream.codec.evidence, "measure", with_bits)
    told: list[str] = []
    tables = bench_selection(yards([900_000], tmp_path, seconds=20.0, encodings=CRF, size=SMALL), tell=told.append)
    assert {"bits, stratified", "all, topk"} <= set(tables[EVERY])
    assert not any("left out" in line for line in told)
    tokens = {name: row["llm_tokens"] or 0 for name, row in tables[EVERY].items()}
    published = tokens["preset published"]
    assert abs(tokens["preset activity, as dear as published"] - published) < abs(tokens["preset activity"] - published)


def test_what_moves_in_footage_lies_where_the_world_says_and_nothing_moves_before(films: Path) -> None:
    told = truth_of(mask_motion(films / "yard.mp4"), (12, 16)).moving_px
    boxes = truth_of(YardMotion(World(YARD.seed, duration_s=120.0, duty=0.2), FPS), (12, 16)).moving_px
    num_still, first = round(STILL_S * FPS), round(START_S * FPS)
    assert not told[:num_still].any()
    in_front = told[num_still:]
    assert in_front.any(axis=(1, 2)).mean() > 0.5
    near = np.minimum(in_front, boxes[first : first + len(in_front)])
    assert near.sum() > 0.7 * in_front.sum()


def test_looped_films_are_left_out_unless_asked_for(films: Path) -> None:
    assert [film.name for film in real_films(films)] == ["yard"]
    assert [film.name for film in real_films(films, only="_looped")] == ["yard_looped"]
    with pytest.raises(RunError, match="--only: expected a part of some film's name"):
        list(real_films(films, only="street"))


def test_masks_that_are_missing_are_refused_by_name_and_made_without_filming_anew(films: Path, tmp_path: Path) -> None:
    footage = Footage(path=films / "footage" / "yard.mp4", fps=FPS, width=320, height=240)
    film = RealFilm(name="yard", footage=footage, coding=CODINGS["crf"], still_s=STILL_S)
    film.make(tmp_path)
    masks_beside(tmp_path / "yard.mp4").unlink()
    filmed = (tmp_path / "yard.mp4").stat().st_mtime_ns
    with pytest.raises(RunError, match=r"yard\.mp4: expected yard\.npz beside it"):
        list(real_films(tmp_path))
    assert film.make(tmp_path)
    assert [each.name for each in real_films(tmp_path)] == ["yard"]
    assert (tmp_path / "yard.mp4").stat().st_mtime_ns == filmed


def test_the_command_tells_every_policy_of_a_real_film(films: Path, tmp_path: Path) -> None:
    done = ov2("bench", "selection", "--films", str(films), "--out", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    tables = json.loads(done.stdout.splitlines()[-1])
    assert list(tables) == [EVERY, "yard"]
    assert {*policies(), *PRESETS} <= set(tables["yard"])
    assert tables["yard"]["motion+residual, stratified"]["coverage"] > tables["yard"]["uniform frames"]["coverage"]
    assert (tmp_path / "selection_films.png").stat().st_size > 1000
