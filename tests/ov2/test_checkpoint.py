"""Model folders: read, written back unchanged, and refused with a reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from repository import GOLDEN
from safetensors.torch import load_file, save_file
from small_model import byte_tokenizer_json, small_model

from ov2.checkpoint import BUNDLED
from ov2.errors import CheckpointError
from ov2.model import OV2Model
from ov2.text import TextTokenizer

DATA = GOLDEN / "ov2_tiny"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A writable copy of the golden checkpoint."""
    target = tmp_path / "tiny"
    target.mkdir()
    for name in ("config.json", "model.safetensors", "generation_config.json"):
        shutil.copyfile(DATA / name, target / name)
    return target


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def logits(model: OV2Model) -> torch.Tensor:
    with torch.no_grad():
        return model.logits(torch.arange(30))


def test_saving_what_was_loaded_changes_nothing(tmp_path: Path) -> None:
    OV2Model.from_pretrained(DATA).save_pretrained(tmp_path)
    before, after = load_file(DATA / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    read = [json.loads((place / "config.json").read_text()) for place in (DATA, tmp_path)]
    read[0]["text_config"]["tie_word_embeddings"] = read[1]["text_config"]["tie_word_embeddings"]
    assert read[0] == read[1]
    assert (tmp_path / "generation_config.json").read_text() == (DATA / "generation_config.json").read_text()


def test_a_new_model_round_trips_with_its_stream_settings(tmp_path: Path) -> None:
    model = small_model(tied=True, max_positions=2048)
    model.stream_settings = {"tokenizer": {"token_rate": 80.0}, "max_positions": 1024, "max_timestamp_s": 90.0}
    model.save_pretrained(tmp_path)
    again = OV2Model.from_pretrained(str(tmp_path))
    assert again.config == model.config
    assert again.stream_settings == model.stream_settings
    assert (again.max_positions, again.max_timestamp_s) == (1024, 90.0)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    assert torch.equal(logits(again), logits(model))


def test_limits_come_from_the_config_without_stream_settings() -> None:
    model = OV2Model.from_pretrained(DATA)
    assert model.stream_settings == {}
    assert (model.max_positions, model.max_timestamp_s) == (40_960, float("inf"))


def test_tokenizer_files_travel_with_the_weights(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").write_text(json.dumps(byte_tokenizer_json()))
    OV2Model.from_pretrained(folder).save_pretrained(tmp_path / "copy")
    assert TextTokenizer.from_folder(tmp_path / "copy").decode([65, 66]) == TextTokenizer.from_folder(folder).decode([65, 66])


def test_shards_read_as_one_file(folder: Path) -> None:
    expected = logits(OV2Model.from_pretrained(folder))
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: weights[name] for name in part}, folder / file)
    (folder / "model.safetensors").unlink()
    weight_map = {name: file for file, part in shards.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert torch.equal(logits(OV2Model.from_pretrained(folder)), expected)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"missing model-00002-of-00002\.safetensors"):
        OV2Model.from_pretrained(folder)


def test_rope_theta_is_found_at_the_top_of_older_configs(folder: Path) -> None:
    def older(config: dict[str, Any]) -> None:
        del config["text_config"]["rope_parameters"]
        config["text_config"] |= {"rope_theta": 5e5, "rope_scaling": None}

    edit(folder, older)
    model = OV2Model.from_pretrained(folder)
    assert model.config.text.rope_theta == 5e5
    model.save_pretrained(folder)
    assert OV2Model.from_pretrained(folder).config == model.config


def test_tied_embeddings_serve_as_the_head(folder: Path) -> None:
    edit(folder, lambda config: config.update(tie_word_embeddings=True))
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors")
    model = OV2Model.from_pretrained(folder)
    hidden = torch.randn(2, 96)
    assert torch.equal(model.head(hidden), hidden @ weights["model.language_model.embed_tokens.weight"].T)


def test_weights_are_read_in_the_type_that_was_asked_for(folder: Path) -> None:
    for dtype in (torch.bfloat16, "bfloat16"):
        assert OV2Model.from_pretrained(folder, dtype=dtype).dtype == torch.bfloat16
    OV2Model.from_pretrained(folder, dtype="bfloat16").save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    assert OV2Model.from_pretrained(folder).dtype == torch.float32


def test_the_preprocessor_sets_mean_and_deviation(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.5]})
    )
    assert OV2Model.from_pretrained(folder).normalisation == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.5))


def test_a_missing_folder_names_the_bundled_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    with pytest.raises(CheckpointError, match="no-such-model: expected a folder or a bundled checkpoint"):
        OV2Model.from_pretrained("no-such-model")
    assert BUNDLED.parent.name == "ov2"
    monkeypatch.setattr("ov2.checkpoint.BUNDLED", folder.parent)
    assert OV2Model.from_pretrained("tiny").folder == folder
    with pytest.raises(CheckpointError, match=r"\(tiny\)"):
        OV2Model.from_pretrained("no-such-model")


def drop_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.visual.merger.ln_q.bias"]
    save_file(weights, folder / "model.safetensors")


def add_weight(folder: Path) -> None:
    save_file(
        {**load_file(folder / "model.safetensors"), "model.visual.head.weight": torch.zeros(2)}, folder / "model.safetensors"
    )


def cut_weights(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def config(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return lambda folder: edit(folder, change)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove("config.json"), r"expected a file config\.json, found none"),
        (lambda folder: (folder / "config.json").write_text("{"), "expected JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "expected a JSON object, got list"),
        (config(lambda c: c.update(model_type="qwen2_vl")), "expected model_type llava_onevision2, got qwen2_vl"),
        (config(lambda c: c.pop("text_config")), "expected text_config and vision_config"),
        (config(lambda c: c["text_config"].update(hidden_size=[96])), r"expected text_config\.hidden_size to be int"),
        (config(lambda c: c["text_config"].update(hidden_act="gelu")), r"expected text_config\.hidden_act silu, got gelu"),
        (config(lambda c: c["text_config"].update(use_sliding_window=True)), "use_sliding_window"),
        (config(lambda c: c["text_config"].update(num_key_value_heads=4)), "multiple of num_key_value_heads"),
        (config(lambda c: c["text_config"]["rope_parameters"].update(rope_type="yarn")), "got yarn"),
        (config(lambda c: c["vision_config"].update(num_attention_heads=4)), "multiple of 32"),
        (config(lambda c: c["vision_config"].update(num_attention_heads=0)), "num_attention_heads to be int above 0"),
        (config(lambda c: c["vision_config"].update(patch_size=16)), "expected patch_size 14"),
        (config(lambda c: c["vision_config"].update(out_hidden_size=64)), "out_hidden_size to equal"),
        (config(lambda c: c["text_config"].update(vocab_size=600)), r"shape \[600, 96\], got \[512, 96\]"),
        (remove("model.safetensors"), r"expected model\.safetensors or model\.safetensors\.index\.json, found neither"),
        (cut_weights, "damaged or truncated"),
        (drop_weight, r"missing model\.visual\.merger\.ln_q\.bias"),
        (add_weight, r"unknown weights model\.visual\.head\.weight"),
    ],
)
def test_a_damaged_folder_says_what_was_expected_and_what_came(
    folder: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        OV2Model.from_pretrained(folder)


def test_a_folder_without_or_with_a_foreign_tokenizer_is_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected a file tokenizer\.json"):
        TextTokenizer.from_folder(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="does not load"):
        TextTokenizer.from_folder(folder)
    content = byte_tokenizer_json()
    content["model"]["vocab"].pop("<|im_end|>")  # type: ignore[index]
    content["added_tokens"] = []
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"expected the chat token <\|im_end\|>"):
        TextTokenizer.from_folder(folder)
