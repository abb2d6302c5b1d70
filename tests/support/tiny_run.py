"""A run small enough for tests: a yard of twelve seconds, a model of two layers. Fixtures: its configuration with clips, model, text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ov2.model import OV2Model
from ov2.text import TextTokenizer
from trainer.config import DataConfig, Stage, TrainConfig
from trainer.data.clips import CameraSpec
from trainer.data.make import make_clips
from trainer.train.new_model import new_model

TOKENIZER = {"max_pixels": 8000, "canvases_per_group": 2, "analysis_fps": 2.0, "token_rate": 40.0}
LOOK = Stage(
    name="look", steps=2, window_s=8, moments=2, questions=4, types={"presence": 1, "describe": 1, "when": 1, "log": 1}
)
NAMES = Stage(name="names", steps=2, moments=2, samples_per_step=2)
SIZES = {
    "text_config": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "intermediate_size": 96,
    },
    "vision_config": {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 96},
}

SPEC = CameraSpec(width=320, height=180, fps=10, duration_s=12.0, moment_every_s=2.0)


def tiny_config(clips: Path) -> TrainConfig:
    """Names, then questions; exact, so that runs can be compared bit for bit."""
    return TrainConfig(
        name="tiny",
        data=DataConfig(
            folder=str(clips), num_clips=3, num_validation=1, width=320, height=180, duration_s=12.0, moment_every_s=2.0
        ),
        model=SIZES,
        tokenizer=TOKENIZER,
        stages=(NAMES, LOOK),
        save_every=2,
        validate_every=4,
        precision="float32",
        compiled=False,
    )


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    torch.set_num_threads(1)
    made = tiny_config(tmp_path_factory.mktemp("clips"))
    make_clips(made, workers=1)
    return made


@pytest.fixture(scope="module")
def model(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> OV2Model:
    return new_model(config, tmp_path_factory.mktemp("vocabulary")).eval()


@pytest.fixture(scope="module")
def text(model: OV2Model) -> TextTokenizer:
    assert model.folder is not None
    return TextTokenizer.from_folder(model.folder)
