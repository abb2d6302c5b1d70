"""`ov2 train` itself, with the bundled curriculum made small: to its end, killed and resumed, and on two processes."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import yaml
from ov2_command import COMMAND, ov2
from safetensors.torch import load_file
from tiny_run import SIZES
from waiting import until

from ov2.text import TextTokenizer
from trainer.config import BUNDLED, load_config
from trainer.data.batches import draw_batch
from trainer.data.filmed_clips import FilmedClips
from trainer.world import World, write_file

STAGE = {"steps": 1, "samples_per_step": 1, "moments": 2}
SAVE_EVERY = 3
HIDE_CURSOR = "\x1b[?25l"
"""How a progress bar begins."""
WAIT_S = 300.0
pytestmark = pytest.mark.timeout(WAIT_S)  # each test may be the one that has to train for others
DATA = {"num_clips": 3, "num_validation": 1, "width": 320, "height": 180, "duration_s": 12.0, "moment_every_s": 2.0}


@dataclass(frozen=True)
class Finished:
    """A run that ended: its folder, and what the terminal showed."""

    out: Path
    screen: str
    num_steps: int

    @property
    def rows(self) -> list[tuple[int, str, float]]:
        with (self.out / "curves.csv").open(newline="") as file:
            return [(int(step), name, float(value)) for step, name, value in list(csv.reader(file))[1:]]

    @property
    def curves(self) -> dict[tuple[int, str], float]:
        """All but the speed, which no two runs share."""
        return {(step, name): value for step, name, value in self.rows if name != "tokens_per_s"}

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return load_file(self.out / "checkpoint" / "model.safetensors")

    @property
    def files(self) -> set[str]:
        return {str(file.relative_to(self.out)) for file in self.out.rglob("*") if file.is_file()}


Configured = Callable[..., Path]


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Configured:
    """The bundled YAML with a step of every stage, short small films and a small model; further settings by name."""
    folder = tmp_path_factory.mktemp("train")

    def make(**changes: Any) -> Path:
        settings = yaml.safe_load(BUNDLED.read_text())
        for stage in settings["stages"]:
            stage |= STAGE
        settings["data"] |= {**DATA, "folder": str(folder / "clips")}
        for half, sizes in SIZES.items():
            settings["model"][half] |= sizes
        settings |= {"threads": 1, "save_every": SAVE_EVERY, **changes}
        path = folder / f"{'-'.join(f'{name}{value}' for name, value in changes.items()) or 'plain'}.yaml"
        path.write_text(yaml.safe_dump(settings))
        return path

    return make


def trained(config: Path, out: Path, *flags: str) -> Finished:
    """Train with a terminal for standard error."""
    ours, theirs = pty.openpty()
    command = [*COMMAND, "train", "--config", str(config), "--out", str(out), *flags]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment) as running:
        os.close(theirs)
        screen = b""
        while part := _read(ours):
            screen += part
    os.close(ours)
    shown = screen.decode()
    assert running.returncode == 0, shown
    return Finished(out, shown, load_config(config).num_steps)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that the other end is closed
        return b""


@pytest.fixture(scope="module")
def unbroken(configured: Configured, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return trained(configured(), tmp_path_factory.mktemp("unbroken") / "run")


@pytest.fixture(scope="module")
def alone(configured: Configured, unbroken: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One process, twice the accumulation."""
    return trained(configured(gradient_accumulation_steps=2), tmp_path_factory.mktemp("alone") / "run")


@pytest.fixture(scope="module")
def together(configured: Configured, unbroken: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return trained(configured(), tmp_path_factory.mktemp("together") / "run", "--processes", "2")


def test_the_bundled_curriculum_trains_to_its_end_and_writes_its_curves(unbroken: Finished) -> None:
    stages = load_config(BUNDLED).stages
    names = [name for name in unbroken.curves if name[1] in ("naming", "loss")]
    assert [step for step, name in names if name == "naming"] == list(range(unbroken.num_steps))
    assert [step for step, name in names if name == "loss"] == [step for step, stage in enumerate(stages) if stage.types]
    marked = {name.split("/")[0] for step, name in unbroken.curves if step == unbroken.num_steps - 1 and "/" in name}
    assert marked == {"exact", "named"}
    assert (unbroken.out / "loss.png").stat().st_size > 1000


def test_its_checkpoint_answers(unbroken: Finished, tmp_path: Path) -> None:
    film = write_file(World(900_003, duration_s=4.0), tmp_path / "film.mp4", width=320, height=180)
    checkpoint, question = str(unbroken.out / "checkpoint"), "Is there a dog in view?"
    done = ov2("ask", str(film), question, "--model", checkpoint, "--max-tokens", "3", "--json", wait_s=WAIT_S)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["num_tokens"] >= 1


def test_on_a_terminal_a_bar_tells_stage_loss_and_steps(unbroken: Finished) -> None:
    for stage in load_config(BUNDLED).stages:
        assert f"{stage.name}, {'loss' if stage.types else 'naming'} " in unbroken.screen
    assert f"{unbroken.num_steps}/{unbroken.num_steps}" in unbroken.screen


def test_a_killed_run_that_goes_on_equals_an_unbroken_one_bit_for_bit(
    configured: Configured, unbroken: Finished, tmp_path: Path
) -> None:
    out, config = tmp_path / "run", configured()
    command = [*COMMAND, "train", "--config", str(config), "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        curves, past = out / "curves.csv", f"\n{SAVE_EVERY},lr,"
        until(lambda: running.poll() is not None or (curves.exists() and past in curves.read_text()), WAIT_S)
        running.kill()
    assert running.returncode < 0
    with curves.open("a") as file:
        file.write(f"{SAVE_EVERY + 1},nam")  # a row that was being written
    resumed = trained(config, out, "--resume")
    assert resumed.curves == unbroken.curves
    assert (out / "checkpoint/model.safetensors").read_bytes() == (unbroken.out / "checkpoint/model.safetensors").read_bytes()


def test_an_error_of_several_processes_is_told_in_one_line(configured: Configured, unbroken: Finished, tmp_path: Path) -> None:
    flags = ("--out", str(tmp_path / "new"), "--resume", "--processes", "2")
    done = ov2("train", "--config", str(configured()), *flags, wait_s=WAIT_S)
    assert done.returncode == 2
    assert "start without --resume" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_processes_learn_what_one_with_twice_the_accumulation_learns(alone: Finished, together: Finished) -> None:
    assert together.curves.keys() == alone.curves.keys()
    assert together.curves == pytest.approx(alone.curves, rel=1e-4, abs=1e-6)
    for name, weight in alone.weights.items():
        assert torch.allclose(together.weights[name], weight, rtol=1e-4, atol=1e-6), name


def test_the_processes_of_a_step_learn_from_samples_of_their_own_with_unlike_numbers_of_answers(
    configured: Configured, unbroken: Finished
) -> None:
    """Else the test above would hold for gradients that are merely averaged."""
    config = load_config(configured())
    clips = FilmedClips(Path(config.data.folder), config.data.num_validation)
    text = TextTokenizer.from_folder(unbroken.out / "checkpoint")
    stage, _ = config.stage_at(config.num_steps - 1)
    drawn = [draw_batch(clips, text, stage, np.random.default_rng([config.seed, config.num_steps - 1, n])) for n in (0, 1)]
    assert len({round(batch.answer_weight, 6) for batch in drawn}) == 2


def test_of_two_processes_the_first_alone_writes_and_reports(alone: Finished, together: Finished) -> None:
    assert max(Counter((step, name) for step, name, _ in together.rows).values()) == 1
    assert together.files == alone.files
    assert "Traceback" not in together.screen
    assert together.screen.count(HIDE_CURSOR) == alone.screen.count(HIDE_CURSOR)


def test_a_process_that_is_killed_ends_the_run_in_one_line(configured: Configured, unbroken: Finished, tmp_path: Path) -> None:
    command = [*COMMAND, "train", "--config", str(configured()), "--out", str(tmp_path / "run"), "--processes", "2"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        curves = tmp_path / "run" / "curves.csv"
        until(lambda: running.poll() is not None or (curves.exists() and "\n0,lr," in curves.read_text()), WAIT_S)
        ranks = [child for child in psutil.Process(running.pid).children() if "spawn_main" in " ".join(child.cmdline())]
        assert len(ranks) == 2
        ranks[1].kill()
        _, told = running.communicate()
    assert running.returncode == 2, told
    assert "go on with --resume" in told
    _, alive = psutil.wait_procs(ranks, timeout=WAIT_S)
    assert not alive


def test_a_command_that_is_killed_takes_its_film_makers_along(configured: Configured, tmp_path: Path) -> None:
    settings = yaml.safe_load(configured().read_text())
    settings["data"] |= {"folder": str(tmp_path / "clips"), "num_clips": 500}
    (tmp_path / "many.yaml").write_text(yaml.safe_dump(settings))
    command = [*COMMAND, "train", "--config", str(tmp_path / "many.yaml"), "--make-data"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        until(lambda: running.poll() is not None or list((tmp_path / "clips").glob("clip_*.npz")), WAIT_S)
        makers = psutil.Process(running.pid).children()
        assert any("spawn_main" in " ".join(maker.cmdline()) for maker in makers)
        running.kill()
    _, alive = psutil.wait_procs(makers, timeout=WAIT_S)
    assert not alive
