"""The trainer: what it shows the model is what the service shows, and a run that was stopped goes on exactly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from repository import ROOT
from tiny_run import LOOK, NAMES, SPEC, TOKENIZER, config, model, text  # noqa: F401

from ov2 import prompt
from ov2.encode import vision_tokens
from ov2.model import OV2Model
from ov2.pixels import CLIP_MEAN, CLIP_STD
from ov2.session import Session
from ov2.text import TextTokenizer
from stream.memory import Summariser
from stream.sources import open_source
from stream.tokenizer.settings import settings_from
from stream.tokenizer.tokenizer import Tokenizer
from trainer.config import Stage, TrainConfig, build, load_config
from trainer.data.batches import Batch, draw_batch
from trainer.data.clips import Clip, load_clip, save_clip
from trainer.data.filmed_clips import FilmedClips
from trainer.data.make import clip_path, make_clips
from trainer.errors import ConfigError, DataError, SeedError
from trainer.train.forward import hidden_states, labelled_logits
from trainer.train.loop import train
from trainer.train.naming import WORDS, f1_of_words, named_blocks, word_ids
from trainer.train.narration import Lesson
from trainer.train.new_model import new_model
from trainer.train.objective import Objective, totals
from trainer.train.optimizer import learning_rate
from trainer.train.sample import Sample, draw_sample, pack
from trainer.train.tree_attention import ForestAttention, visible_segments
from trainer.world import World, write_file

# ruff: noqa: F811


@pytest.fixture(scope="module")
def clip(config: TrainConfig) -> Clip:
    return load_clip(clip_path(Path(config.data.folder), 0))


@pytest.fixture(scope="module")
def world() -> World:
    return World(0, duration_s=12.0)


def same_groups(clip: Clip, other: Clip) -> bool:
    pairs = zip(clip.groups, other.groups, strict=True)
    return all(
        np.array_equal(a.canvases, b.canvases) and np.array_equal(a.positions, b.positions) and a.runs == b.runs
        for a, b in pairs
    )


def test_a_clip_holds_what_a_live_tokenizer_makes_of_the_same_packets(clip: Clip, tmp_path: Path) -> None:
    path = write_file(World(0, duration_s=12.0), tmp_path / "film.mp4", width=320, height=180)
    tokenizer = Tokenizer(settings_from(TOKENIZER))
    with open_source(str(path)) as packets:
        groups = [group for packet in packets for group in tokenizer.push(packet)]
    live = replace(clip, groups=tuple(groups + tokenizer.flush()))
    assert same_groups(clip, live)
    assert len(clip.groups) >= 2
    assert clip.moments


def test_a_saved_clip_comes_back_whole(clip: Clip, tmp_path: Path) -> None:
    save_clip(clip, tmp_path / "clip.npz")
    again = load_clip(tmp_path / "clip.npz")
    assert same_groups(clip, again)
    assert [(m.at_s, m.num_closed, m.peek is None) for m in again.moments] == [
        (m.at_s, m.num_closed, m.peek is None) for m in clip.moments
    ]


def test_a_damaged_clip_is_named(tmp_path: Path) -> None:
    (tmp_path / "clip.npz").write_bytes(b"PK but not really")
    with pytest.raises(DataError, match=r"clip\.npz"):
        load_clip(tmp_path / "clip.npz")


@pytest.mark.parametrize("seconds", [0.0, 7.5, 12.3, 89.9])
def test_a_timestamp_costs_the_tokens_that_the_budget_counts(text: TextTokenizer, seconds: float) -> None:
    ids = prompt.run_tokens(text, [(seconds, 3)], zero_s=0.0)
    assert len(ids) - 3 == prompt.num_run_tokens(seconds)


def lesson_sample(clip: Clip, world: World, text: TextTokenizer) -> tuple[Sample, Lesson]:
    moment = next(m for m in clip.moments if m.num_closed >= 2 and m.peek is not None)
    lesson = Lesson("presence", "Is there a dog in view?", "yes")
    other = Lesson("count", "How many people are in view?", "2")
    return pack(clip, world, text, [(moment, [other, lesson])]), lesson


def test_a_training_sample_is_the_live_session_token_by_token_and_logit_by_logit(
    clip: Clip, world: World, text: TextTokenizer, model: OV2Model
) -> None:
    sample, lesson = lesson_sample(clip, world, text)
    moment = next(m for m in clip.moments if m.num_closed >= 2 and m.peek is not None)
    with torch.no_grad():
        hidden = hidden_states(model, [sample], vision_tokens(model, sample.groups))
        logits = labelled_logits(model, [sample], hidden)
    _, span = sample.asked[-1]
    trained = logits[-(span.stop - span.start) :]
    with Session(model) as session:
        for group in clip.groups[: moment.num_closed]:
            session.append(group)
        assert moment.peek is not None
        branch = session.branch()
        peek = session.encode(moment.peek)
        branch.append(prompt.group_tokens(text, moment.peek, zero_s=session.zero_s), peek.vision_tokens, peek)
        ids = [*prompt.question_tokens(text, lesson.text), *prompt.answer_tokens(text, lesson.answer)]
        hidden = branch.append(ids)
        with torch.no_grad():
            live = model.head(hidden[-len(trained) - 1 : -1])
        branch.close()
    assert torch.allclose(trained, live, atol=2e-4)


def test_tree_attention_equals_one_masked_pass(clip: Clip, world: World, text: TextTokenizer) -> None:
    rng = np.random.default_rng(3)
    samples = [s for _ in range(3) if (s := draw_sample(clip, world, text, LOOK, rng)) is not None]
    sizes = [len(sample.input_ids) for sample in samples]
    torch.manual_seed(0)
    q, k, v = torch.randn(sum(sizes), 4, 8), torch.randn(sum(sizes), 2, 8), torch.randn(sum(sizes), 2, 8)
    mask = torch.zeros(sum(sizes), sum(sizes), dtype=torch.bool)
    first = 0
    for sample, size in zip(samples, sizes, strict=True):
        seen = torch.from_numpy(visible_segments(sample.parents)[sample.segments][:, sample.segments])
        mask[first : first + size, first : first + size] = seen & torch.ones(size, size, dtype=torch.bool).tril()
        first += size
    expected = torch.nn.functional.scaled_dot_product_attention(
        q.transpose(0, 1), k.repeat_interleave(2, 1).transpose(0, 1), v.repeat_interleave(2, 1).transpose(0, 1), attn_mask=mask
    ).transpose(0, 1)
    assert torch.allclose(ForestAttention.of(samples, torch.device("cpu"))(0, q, k, v), expected, atol=1e-5)


def test_only_answers_carry_loss(clip: Clip, world: World, text: TextTokenizer) -> None:
    sample, _ = lesson_sample(clip, world, text)
    told = [sample.labels[span] for _, span in sample.asked]
    assert sum(len(labels) for labels in told) == (sample.labels >= 0).sum()
    assert [text.decode(labels[:-1]) for labels in told] == ["2", "yes"]
    assert all(labels[-1] == text.im_end for labels in told)


def test_named_blocks_find_the_actors_of_the_truth(clip: Clip, world: World) -> None:
    for group in clip.groups:
        names = named_blocks(world, group)
        shown = names[: group.num_blocks // group.num_canvases].max(axis=0)
        state = world.state_at(group.runs[0][0])
        for kind in ("person", "car", "dog"):
            in_view = [actor for actor in state.of_kind(kind) if actor.visible > 0.9]
            assert not in_view or shown[WORDS.index(kind)] == 1
        assert shown[WORDS.index("open")] == state.door_open
        assert shown[WORDS.index("on")] == state.lamp_on


def test_every_word_is_one_token(text: TextTokenizer) -> None:
    assert len(set(word_ids(text))) == len(WORDS)


def test_f1_counts_what_was_said_and_what_is_true() -> None:
    scores, names = -torch.ones(2, len(WORDS)), np.zeros((2, len(WORDS)))
    scores[:, 0], names[0, :2] = 1.0, 1.0
    f1 = f1_of_words(scores, names)
    assert f1[WORDS[0]] == pytest.approx(2 / 3)
    assert f1[WORDS[1]] == 0.0


def test_a_resumed_run_ends_with_the_same_weights(config: TrainConfig, tmp_path: Path) -> None:
    whole = train(config, tmp_path / "whole", new_model(config, tmp_path / "a"))
    half = replace(config, stages=(NAMES,))
    train(half, tmp_path / "parts", new_model(config, tmp_path / "b"))
    parts = train(config, tmp_path / "parts", new_model(config, tmp_path / "c"), resume=True)
    for (name, one), (_, other) in zip(whole.state_dict().items(), parts.state_dict().items(), strict=True):
        assert torch.equal(one, other), name
    assert (tmp_path / "whole" / "loss.png").stat().st_size > 1000
    loaded = OV2Model.from_pretrained(tmp_path / "whole" / "checkpoint")
    assert loaded.stream_settings["tokenizer"] == TOKENIZER


def test_resuming_nothing_says_so(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="without --resume"):
        train(config, tmp_path / "none", new_model(config, tmp_path / "v"), resume=True)


def test_the_rate_warms_up_and_falls_within_each_stage(config: TrainConfig) -> None:
    long = replace(config, warmup_steps=10, stages=(replace(LOOK, steps=100), replace(LOOK, steps=100)))
    rates = [learning_rate(long, step) for step in range(200)]
    assert rates[0] < rates[9]
    assert rates[99] < 0.2 * rates[10]
    assert rates[100] == pytest.approx(LOOK.lr)


def test_the_bundled_configuration_loads() -> None:
    bundled = load_config(ROOT / "trainer" / "configs" / "nano.yaml")
    assert bundled.stage_at(0)[0].name == bundled.stages[0].name
    settings_from(bundled.tokenizer)


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean window_s"):
        build(Stage, {"name": "x", "steps": 1, "moments": 1, "windows": 3}, "stage")


def test_a_test_seed_cannot_train(config: TrainConfig) -> None:
    with pytest.raises(SeedError, match="900000"):
        make_clips(replace(config, data=replace(config.data, first_seed=900_000)))


def test_a_branch_sees_no_question_of_another_moment_where_one_had_no_peek(
    clip: Clip, world: World, text: TextTokenizer
) -> None:
    """Two moments after the same group: at the first, right after a cut, no group is open; at the second, one is."""
    seen = next(m for m in clip.moments if m.num_closed >= 2 and m.peek is not None)
    lessons = [Lesson("presence", "Is there a dog in view?", "yes"), Lesson("count", "How many people are in view?", "2")]
    sample = pack(clip, world, text, [(replace(seen, peek=None), lessons), (seen, lessons)])
    size = len(sample.input_ids)
    torch.manual_seed(0)
    q, k, v = torch.randn(size, 2, 8), torch.randn(size, 2, 8), torch.randn(size, 2, 8)
    mask = (
        torch.from_numpy(visible_segments(sample.parents)[sample.segments][:, sample.segments])
        & torch.ones(size, size).tril().bool()
    )
    expected = torch.nn.functional.scaled_dot_product_attention(*(x.transpose(0, 1) for x in (q, k, v)), attn_mask=mask)
    got = ForestAttention.of([sample], torch.device("cpu"))(0, q, k, v)
    assert torch.allclose(got, expected.transpose(0, 1), atol=1e-5)


def test_a_labelled_token_counts_the_same_in_whichever_batch_it_lies(
    config: TrainConfig, text: TextTokenizer, model: OV2Model
) -> None:
    clips = FilmedClips(Path(config.data.folder), config.data.num_validation)
    rng = np.random.default_rng(0)
    one, other = (draw_batch(clips, text, LOOK, rng) for _ in range(2))
    assert one.answer_weight != other.answer_weight
    joined = Batch((*one.groups, *other.groups), np.concatenate((one.names, other.names)), (*one.samples, *other.samples))
    objective, device = Objective(model, text), torch.device("cpu")
    assert torch.allclose(totals([one, other], device), totals([joined], device))
    with torch.no_grad():
        assert torch.allclose(objective(one) + objective(other), objective(joined), rtol=1e-4)


def test_a_film_that_nothing_can_be_asked_about_is_refused(
    config: TrainConfig, clip: Clip, text: TextTokenizer, tmp_path: Path
) -> None:
    for seed in range(2):
        save_clip(replace(clip, moments=tuple(replace(m, peek=None) for m in clip.moments)), clip_path(tmp_path, seed))
    stills = replace(LOOK, window_s=0)
    with pytest.raises(DataError, match=r"stage look: expected something to ask .* set data\.duration_s higher"):
        draw_batch(FilmedClips(tmp_path, 1), text, stills, np.random.default_rng(0))


def test_training_sees_pictures_as_serving_does_by_the_checkpoints_own_normalisation(
    config: TrainConfig, model: OV2Model, clip: Clip, tmp_path: Path
) -> None:
    odd = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7], "rescale_factor": 0.5}
    model.save_pretrained(tmp_path / "odd")
    (tmp_path / "odd" / "preprocessor_config.json").write_text(json.dumps(odd))
    started = new_model(replace(config, init_from=str(tmp_path / "odd")), tmp_path / "unused")
    assert started.folder is not None
    text, seen = TextTokenizer.from_folder(started.folder), []
    started.model.visual.register_forward_hook(lambda _module, _given, tokens: seen.append(tokens.detach()))
    world = World(0, duration_s=12.0)
    batch = Batch(clip.groups, np.concatenate([named_blocks(world, group) for group in clip.groups]))
    Objective(started, text)(batch)
    with Session(started) as session:
        served = torch.cat([session.encode(group).vision_tokens for group in clip.groups])
    assert torch.allclose(seen[0], served, atol=1e-5)
    started.save_pretrained(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "preprocessor_config.json").read_text()) == odd


def test_a_new_model_writes_its_normalisation_down(model: OV2Model, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    said = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert (tuple(said["image_mean"]), tuple(said["image_std"])) == (CLIP_MEAN, CLIP_STD)


def test_a_model_that_starts_from_a_checkpoint_keeps_its_judge_and_memory(config: TrainConfig, tmp_path: Path) -> None:
    bundled = OV2Model.from_pretrained("ov2-nano")
    started = new_model(replace(config, init_from="ov2-nano"), tmp_path / "unused")
    started.save_pretrained(tmp_path / "saved")
    saved = OV2Model.from_pretrained(tmp_path / "saved")
    assert {name: saved.stream_settings[name] for name in ("judge", "memory")} == {
        name: bundled.stream_settings[name] for name in ("judge", "memory")
    }
    assert saved.stream_settings["tokenizer"] == TOKENIZER
    assert Summariser.of(saved.folder, saved.stream_settings["memory"]) is not None
