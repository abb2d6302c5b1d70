"""The curriculum's four stages in one command, made small: from nothing to a checkpoint that serves, and on after kill -9."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from ov2_command import COMMAND, ov2
from safetensors.torch import load_file
from tiny_run import SIZES

from ov2.model import OV2Model
from trainer.config import BUNDLED, load_config

WAIT_S = 400.0
pytestmark = pytest.mark.timeout(WAIT_S)
NUM_STAGES = 4
DATA = {"num_clips": 3, "num_validation": 1, "width": 320, "height": 180, "duration_s": 12.0, "moment_every_s": 2.0}
STAGE = {"steps": 1, "samples_per_step": 1, "moments": 2, "questions": 4}


@pytest.fixture(scope="module")
def curriculum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled YAMLs with one step of every part, few and short films, a small model."""
    folder = tmp_path_factory.mktemp("curriculum")
    for number in range(1, NUM_STAGES + 1):
        settings: dict[str, Any] = yaml.safe_load((BUNDLED.parent / f"stage{number}.yaml").read_text())
        for stage in settings["stages"]:
            stage |= {name: value for name, value in STAGE.items() if name in stage or name == "steps"}
        settings["data"] |= {**DATA, "folder": str(folder / settings["data"]["folder"])}
        settings |= {
            "threads": 1,
            "save_every": 1,
            "validate_every": 100,
            "loaders": 0,
            "compiled": False,
            "precision": "float32",
        }
        if number == 1:
            settings["model"] = SIZES
        (folder / f"stage{number}.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.fixture(scope="module")
def whole(curriculum: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    done = ov2("train", "--stage", "1-4", "--curriculum", str(curriculum), "--out", str(out), "--workers", "1", wait_s=WAIT_S)
    assert done.returncode == 0, done.stderr
    return out


def test_four_stages_run_from_nothing_to_a_checkpoint_that_loads(whole: Path, curriculum: Path) -> None:
    model = OV2Model.from_pretrained(whole / "stage4" / "checkpoint")
    assert model.stream_settings["tokenizer"] == load_config(curriculum / "stage4.yaml").tokenizer
    first = load_file(whole / "stage1" / "checkpoint" / "model.safetensors")
    second = load_file(whole / "stage2" / "checkpoint" / "model.safetensors")
    changed = {name for name in first if not torch.equal(first[name], second[name])}
    assert not any("visual" in name for name in changed), "scripts teach the encoder nothing"
    assert any("layers" in name for name in changed)


def test_a_curriculum_that_is_killed_goes_on_to_the_same_weights(whole: Path, curriculum: Path, tmp_path: Path) -> None:
    flags = ["train", "--stage", "1-4", "--curriculum", str(curriculum), "--out", str(tmp_path), "--workers", "1"]
    with subprocess.Popen([*COMMAND, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while not (tmp_path / "stage2" / "state" / "latest.pt").exists():
            assert running.poll() is None, "expected a run that gets as far as stage 2"
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
    assert not (tmp_path / "stage4" / "checkpoint").exists()
    done = ov2(*flags, "--resume", wait_s=WAIT_S)
    assert done.returncode == 0, done.stderr
    ours, theirs = (load_file(out / "stage4" / "checkpoint" / "model.safetensors") for out in (tmp_path, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("stages", ["5", "0", "3-2", "1-5", "all"])
def test_stages_that_there_are_not_are_refused(stages: str) -> None:
    done = ov2("train", "--stage", stages)
    assert done.returncode == 2
    assert "expected N or A-B, stages 1 to 4" in " ".join(done.stderr.split())


def test_a_stage_without_the_one_before_says_so(curriculum: Path, tmp_path: Path) -> None:
    done = ov2("train", "--stage", "2", "--curriculum", str(curriculum), "--out", str(tmp_path), wait_s=WAIT_S)
    assert done.returncode == 2
    assert "stage1" in done.stderr
    assert "Traceback" not in done.stderr
