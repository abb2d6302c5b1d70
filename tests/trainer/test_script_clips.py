"""Clips from scripts and from known vision tokens: what training learns from them is what a film of the same world would teach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import LOOK, NAMES, config, model, text  # noqa: F401

from ov2.encode import encode
from ov2.model import OV2Model
from ov2.prompt import num_run_tokens
from ov2.text import TextTokenizer
from trainer.config import ScriptCamera, TrainConfig
from trainer.data.batches import draw_batch
from trainer.data.clips import moment_times
from trainer.data.drawing import batches_of
from trainer.data.encoded_clips import FOLDER, EncodedClips, encode_clips
from trainer.data.filmed_clips import FilmedClips
from trainer.data.make import camera_spec
from trainer.data.script_clip import ScriptClips, framed_clip, script_clip
from trainer.data.token_bank import NUM_PHASES, TokenBank, kinds_of_blocks
from trainer.errors import DataError
from trainer.train.loop import train
from trainer.train.naming import WORDS
from trainer.train.new_model import new_model
from trainer.train.objective import Objective
from trainer.world import World

# ruff: noqa: F811


@pytest.fixture(scope="module")
def films(config: TrainConfig) -> FilmedClips:
    return FilmedClips(Path(config.data.folder), config.data.num_validation)


@pytest.fixture(scope="module")
def encoded(films: FilmedClips, model: OV2Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "encoded"
    encode_clips(model, films, folder)
    return folder


def test_known_vision_tokens_teach_what_the_film_teaches(
    films: FilmedClips, encoded: Path, model: OV2Model, text: TextTokenizer
) -> None:
    filmed = draw_batch(films, text, LOOK, np.random.default_rng(5))
    known = draw_batch(EncodedClips(encoded, 1), text, LOOK, np.random.default_rng(5))
    assert known.vision is not None
    assert not known.groups
    for ours, theirs in zip(known.samples, filmed.samples, strict=True):
        for name in ("input_ids", "positions", "labels", "segments", "parents"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
        assert np.array_equal(ours.dense.labels, theirs.dense.labels)
    objective = Objective(model, text, with_heads=True)
    with torch.no_grad():
        ours, theirs = objective(known), objective(filmed)
    assert torch.allclose(ours[[0, 2]], theirs[[0, 2]], rtol=5e-3)
    assert ours[1] == 0
    assert theirs[1] > 0


def test_clips_are_encoded_once(films: FilmedClips, encoded: Path, model: OV2Model) -> None:
    files = sorted((encoded / FOLDER).iterdir())
    before = [file.stat().st_mtime_ns for file in files]
    encode_clips(model, films, encoded)
    assert [file.stat().st_mtime_ns for file in files] == before
    assert len(files) == len(films.paths)


def test_a_damaged_file_of_vision_tokens_is_named(encoded: Path, tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    for seed in range(2):
        (tmp_path / FOLDER / f"clip_{seed:06d}.npz").write_bytes(b"PK but not really")
    with pytest.raises(DataError, match=r"clip_000001\.npz: expected an \.npz of vision tokens"):
        EncodedClips(tmp_path, 1).clip(np.random.default_rng(0))
    with pytest.raises(DataError, match=r"tokens\.npz: expected one written by `ov2 train`"):
        TokenBank.load(tmp_path)


def test_a_bank_gives_tokens_of_blocks_that_show_the_same_at_the_same_place() -> None:
    kinds = np.zeros((6, len(WORDS) + NUM_PHASES), np.uint8)
    kinds[3:, 0] = 1
    places, tokens = np.array([0, 0, 3, 0, 3, 3]), np.arange(6, dtype=np.float16)[:, None]
    bank, rng = TokenBank(kinds, places, tokens, (2, 2)), np.random.default_rng(0)
    drawn = [set(bank.draw(kinds[[one]].repeat(40, 0), np.array([at]).repeat(40, 0), rng)[:, 0].tolist()) for one, at in CASES]
    assert drawn == [{0, 1}, {2}, {0, 1, 2}, {3}, {4, 5}]
    unknown = kinds[3].copy()
    unknown[[1, 2]] = 1
    assert bank.draw(unknown[None], np.array([[0, 0]]), rng)[0, 0] == 3


CASES = [(0, (0, 0)), (0, (1, 1)), (0, (0, 1)), (3, (0, 0)), (3, (1, 1))]
"""Which kind, and where: the third place holds nothing of its kind."""


def test_a_saved_bank_comes_back_whole(encoded: Path, tmp_path: Path) -> None:
    bank = TokenBank.load(encoded)
    bank.save(tmp_path)
    again, world = TokenBank.load(tmp_path), World(5, duration_s=12.0)
    kinds = kinds_of_blocks(world, world.state_at(3.0), np.indices(bank.grid).reshape(2, -1).T, bank.grid)
    places = np.indices(bank.grid).reshape(2, -1).T
    ours, theirs = (one.draw(kinds, places, np.random.default_rng(1)) for one in (bank, again))
    assert np.array_equal(ours, theirs)
    assert len(again) == len(bank) > 100


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_a_clip_from_a_script_covers_the_world_without_gaps_and_shows_what_stirs(encoded: Path, seed: int) -> None:
    bank, world = TokenBank.load(encoded), World(seed, duration_s=40.0)
    camera = ScriptCamera()
    clip = script_clip(world, bank, camera, [9.0, 20.3], np.random.default_rng(seed))
    per_canvas = bank.grid[0] * bank.grid[1]
    for one, after in zip(clip.groups, clip.groups[1:], strict=False):
        assert one.end_s == pytest.approx(after.start_s)
        assert one.runs[0] == (one.start_s, per_canvas)
        assert len(one.runs) <= 1 + (camera.canvases - 1) * camera.source_frames
        assert [at_s for at_s, _ in one.runs] == sorted(at_s for at_s, _ in one.runs)
    assert clip.groups[-1].end_s == pytest.approx(40.0, abs=0.3)
    shown = sum(len(group.runs) > 1 for group in clip.groups)
    assert shown > 0
    for moment in clip.moments:
        assert moment.num_closed == sum(group.end_s <= moment.at_s + 0.25 for group in clip.groups)
        assert moment.peek is None or all(at_s <= moment.at_s for at_s, _ in moment.peek.runs)


def test_scripts_that_are_held_out_are_never_drawn(encoded: Path, config: TrainConfig) -> None:
    three = replace(config, data=replace(config.data, num_validation=3))
    source = ScriptClips(TokenBank.load(encoded), three, camera_spec(config))
    held = {source.held_out(index).seed for index in range(source.num_held_out)}
    assert held == {499_999, 499_998, 499_997}
    again = source.held_out(1)
    assert [group.runs for group in again.groups] == [group.runs for group in source.held_out(1).groups]
    assert moment_times(again.seed, camera_spec(config))


def test_a_run_over_all_sources_resumes_exactly_and_saves_no_head(config: TrainConfig, tmp_path: Path) -> None:
    stages = (
        NAMES,
        replace(LOOK, source="scripts", steps=2),
        replace(LOOK, source="tokens", steps=2),
        replace(LOOK, steps=2),
    )
    run = replace(config, stages=stages, optimizer="muon", dense_weight=1.0, save_every=3, validate_every=8)
    whole = train(run, tmp_path / "whole", new_model(run, tmp_path / "a"))
    train(replace(run, stages=stages[:2]), tmp_path / "parts", new_model(run, tmp_path / "b"))
    parts = train(run, tmp_path / "parts", new_model(run, tmp_path / "c"), resume=True)
    for (name, one), (_, other) in zip(whole.state_dict().items(), parts.state_dict().items(), strict=True):
        assert torch.equal(one, other), name
    saved = OV2Model.from_pretrained(tmp_path / "whole" / "checkpoint")
    assert saved.state_dict().keys() == whole.state_dict().keys()


def test_batches_that_a_loader_draws_ahead_are_those_drawn_in_between(
    config: TrainConfig, films: FilmedClips, text: TextTokenizer
) -> None:
    run = replace(config, gradient_accumulation_steps=2)
    steps = range(2, 4)
    plain = list(batches_of(films, text, run, steps=steps))
    ahead = list(batches_of(films, text, replace(run, loaders=1), steps=steps))
    for ours, theirs in zip(ahead, plain, strict=True):
        assert [one.num_tokens for one in ours] == [one.num_tokens for one in theirs]
        for one, other in zip(ours, theirs, strict=True):
            assert np.array_equal(one.samples[0].input_ids, other.samples[0].input_ids)
            assert np.array_equal(one.names, other.names)


def test_encoding_ahead_gives_what_serving_encodes(films: FilmedClips, encoded: Path, model: OV2Model) -> None:
    clip, known = films.held_out(0), EncodedClips(encoded, 1).held_out(0)
    for group, shown in zip(encode(model, clip.groups), known.groups, strict=True):
        assert np.allclose(group.vision_tokens.numpy(), shown.vision_VD, atol=5e-3)


@pytest.mark.parametrize("slots", [1, 4])
def test_frames_from_a_script_are_whole_at_the_rate_and_end_with_the_newest(encoded: Path, slots: int) -> None:
    bank, world, rng = TokenBank.load(encoded), World(4, duration_s=30.0), np.random.default_rng(0)
    clip = framed_clip(world, bank, 30.0, slots, 0.4, [7.7, 20.2], rng)
    per_frame = bank.grid[0] * bank.grid[1]
    runs = [run for group in clip.groups for run in group.runs]
    assert {blocks for _, blocks in runs} == {per_frame}
    tokens = sum(blocks + num_run_tokens(at_s) for at_s, blocks in runs)
    assert tokens / 30.0 == pytest.approx(30.0, rel=0.08)
    assert {len(group.runs) for group in clip.groups[:-1]} == {slots}
    for moment in clip.moments:
        assert moment.peek is not None
        assert moment.peek.runs[-1][0] == moment.at_s
        assert len(moment.peek.runs) <= slots
        before = [at_s for group in clip.groups[: moment.num_closed] for at_s, _ in group.runs]
        assert all(at_s <= moment.at_s for at_s in before)


def test_scripts_are_read_by_all_inputs_of_the_run(encoded: Path, config: TrainConfig) -> None:
    mixed = replace(config, data=replace(config.data, inputs={"codec": 1.0, "frames": 1.0, "stills": 1.0}))
    source, rng = ScriptClips(TokenBank.load(encoded), mixed, camera_spec(config)), np.random.default_rng(2)
    whole = TokenBank.load(encoded).grid[0] * TokenBank.load(encoded).grid[1]
    kinds = {
        tuple(sorted({blocks == whole for _, blocks in group.runs})) for _ in range(12) for group in source.clip(rng).groups
    }
    lengths = {len(clip.groups[0].runs) for clip in (source.clip(rng) for _ in range(20))}
    assert (False, True) in kinds
    assert {1, 4} <= lengths


def test_a_run_that_begins_anew_reads_no_tokens_of_another_encoder(config: TrainConfig, tmp_path: Path) -> None:
    run = replace(config, stages=(replace(LOOK, source="tokens", steps=1),))
    other = new_model(replace(config, seed=9), tmp_path / "a")
    train(run, tmp_path / "run", other)
    stale = {path.name: path.read_bytes() for path in (tmp_path / "run" / "encoded").rglob("clip_*.npz")}
    train(run, tmp_path / "run", new_model(run, tmp_path / "b"))
    train(run, tmp_path / "clean", new_model(run, tmp_path / "c"))
    again, clean = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "encoded").rglob("clip_*.npz")}
        for name in ("run", "clean")
    )
    assert again == clean
    assert again != stale
