"""`ov2 bench train`: how much a training run learns from in a second, against another commit's, in one run on the same cores.

In: a commit to compare with. Out: windows and labelled tokens per second of both, and the share of the machine's products that a step uses.
Both train by `ov2 train`, on the same clips, with windows of 48 s; what starting takes is left out by taking the difference of two lengths.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ov2_bench.errors import RunError

BEFORE = "1e3078a"
"""The commit before training in bfloat16, with dense supervision and known vision tokens."""
FIRST_STEPS = 3
"""Of the shorter run: layers are compiled, files are read once."""
PROCESSES = 2
DATA = {"num_clips": 12, "num_validation": 1}
OURS: dict[str, Any] = {"optimizer": "muon", "dense_weight": 1.0, "loaders": 1}
STAGE: dict[str, Any] = {"window_s": 48.0, "questions": 10, "moments": 8}
OUR_STAGE: dict[str, Any] = {"source": "tokens", "questions": 20, "moments": 16}
"""The longest stage of the bundled run, and what is taught of the same windows now."""
PEAK_SIDE, PEAK_REPEATS = 1536, 8

Tell = Callable[[str], None]
Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What one commit trains: settings of the run and of its stage, where its code lies."""

    name: str
    root: Path
    run: Mapping[str, Any]
    stage: Mapping[str, Any]


def bench_train(
    out: Path, *, before: str = BEFORE, steps: int = 12, repeats: int = 3, tell: Tell = lambda line: None
) -> Report:
    """Medians of `repeats` runs of `steps` steps. Raises `RunError` where the other commit cannot be had, or a run fails."""
    from statistics import median

    out.mkdir(parents=True, exist_ok=True)
    here = Path(__file__).parents[2]
    with ExitStack() as undo:
        other = undo.enter_context(_Worktree(here, before, out / "before"))
        stage = {"name": "bench", "types": _types(here), "samples_per_step": 1, **STAGE}
        ours = Recipe("now", here, OURS, {**stage, **OUR_STAGE})
        theirs = Recipe("before", other, {}, stage)
        tell("films")
        _seconds(theirs, out, 1, "--make-data")
        rates: dict[str, list[float]] = {"now": [], "before": []}
        for number in range(repeats):
            for recipe in (theirs, ours):
                tell(f"{recipe.name}, run {number + 1} of {repeats}")
                rates[recipe.name].append(_windows_per_s(recipe, out, steps))
    tell("counting labels")
    counts = {recipe.name: _counts(recipe, out) for recipe in (ours, theirs)}
    told = {
        name: {
            "windows_per_s": round(median(rates[name]), 4),
            "labelled_tokens_per_s": round(median(rates[name]) * counts[name].labelled, 1),
            "labelled_tokens_per_window": round(counts[name].labelled, 1),
        }
        for name in rates
    }
    flops = median(rates["now"]) * counts["now"].flops
    return {
        **told["now"],
        "mfu": round(flops / _peak_flops(), 4),
        "processes": PROCESSES,
        "windows_ratio": round(told["now"]["windows_per_s"] / told["before"]["windows_per_s"], 2),
        "labelled_ratio": round(told["now"]["labelled_tokens_per_s"] / told["before"]["labelled_tokens_per_s"], 2),
        "before": {**told["before"], "commit": before},
    }


class _Worktree:
    """Another commit's files, for as long as it is entered."""

    def __init__(self, root: Path, commit: str, folder: Path) -> None:
        self._root, self._commit, self._folder = root, commit, folder

    def __enter__(self) -> Path:
        self._git("worktree", "remove", "--force", str(self._folder), check=False)
        done = self._git("worktree", "add", "--detach", str(self._folder), self._commit, check=False)
        if done.returncode:
            raise RunError(
                f"commit {self._commit}: expected it in the repository {self._root}, got: {done.stderr.strip()}; set --before"
            )
        return self._folder

    def __exit__(self, *_: object) -> None:
        self._git("worktree", "remove", "--force", str(self._folder), check=False)

    def _git(self, *arguments: str, check: bool) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(["git", "-C", self._root, *arguments], capture_output=True, text=True, check=check)
        except FileNotFoundError:
            raise RunError("git: expected it to be installed, to have another commit to compare with") from None


def _types(root: Path) -> dict[str, float]:
    stages = yaml.safe_load((root / "trainer" / "configs" / "nano.yaml").read_text())["stages"]
    types: dict[str, float] = stages[-1]["types"]
    return types


def _settings(recipe: Recipe, out: Path, steps: int) -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load((recipe.root / "trainer" / "configs" / "nano.yaml").read_text())
    settings["data"] |= {**DATA, "folder": str(out / "clips")}
    long = 10**6
    settings |= {"init_from": "ov2-nano", "threads": 1, "save_every": long, "validate_every": long, **recipe.run}
    settings["stages"] = [{"steps": steps, "lr": 1e-5, **recipe.stage}]
    return settings


def _windows_per_s(recipe: Recipe, out: Path, steps: int) -> float:
    """By the difference of two runs, so that starting, compiling and the last step's marks are left out."""
    shorter, longer = (_seconds(recipe, out, num) for num in (FIRST_STEPS, FIRST_STEPS + steps))
    return PROCESSES * steps / max(1e-9, longer - shorter)


def _seconds(recipe: Recipe, out: Path, steps: int, *flags: str) -> float:
    file, run = out / f"{recipe.name}.yaml", out / f"run-{recipe.name}"
    file.write_text(yaml.safe_dump(_settings(recipe, out, steps)))
    paths = [recipe.root, *(recipe.root / part for part in ("kernels", "clients/cli", "clients/python", "benchmarks"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-m", "ov2_cli", "train", "--config", str(file), "--out", str(run)]
    command += ["--processes", str(PROCESSES), *flags]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=recipe.root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunError(f"{recipe.name}: ov2 train ended with {done.returncode}: {done.stderr[-2000:]}")
    return time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class _Counts:
    """Of a window: tokens that carry a label, operations of a step."""

    labelled: float
    flops: float


def _counts(recipe: Recipe, out: Path, num: int = 8) -> _Counts:
    """Means over windows as this commit draws them; the other's stage asks the same questions, and teaches no runs."""
    from dataclasses import replace

    from ov2.model import OV2Model
    from ov2.text import TextTokenizer
    from trainer.config import load_config
    from trainer.data.drawing import batches_of
    from trainer.data.filmed_clips import FilmedClips
    from trainer.train.tree_attention import ForestAttention

    file = out / f"{recipe.name}.yaml"
    config = load_config(file)
    config = replace(config, loaders=0, stages=(replace(config.stages[0], steps=num, source="films"),))
    model = OV2Model.from_pretrained("ov2-nano")
    assert model.folder is not None
    source, text = FilmedClips(out / "clips", config.data.num_validation), TextTokenizer.from_folder(model.folder)
    language = model.config.text
    weights = sum(each.numel() for name, each in model.named_parameters() if ".layers." in name and "visual" not in name)
    labelled = flops = 0.0
    for (batch,) in batches_of(source, text, config, steps=range(num)):
        labelled += batch.num_labelled - (0 if config.dense_weight else batch.num_runs)
        pairs = sum(piece.bias_NS.numel() for piece in ForestAttention.of(batch.samples, model.device).pieces)
        width = language.num_hidden_layers * language.num_attention_heads * language.head_dim
        flops += 6 * weights * batch.num_tokens + 12 * width * pairs
    return _Counts(labelled / num, flops / num)


def _peak_flops() -> float:
    """Products of two square matrices in the precision that training takes, on every core."""
    import torch

    from trainer.train.layers import precision_of

    dtype = precision_of("auto", torch.device("cpu")).dtype
    one, other = (torch.randn(PEAK_SIDE, PEAK_SIDE).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(PEAK_REPEATS):
        began = time.perf_counter()
        one @ other
        best = max(best, 2 * PEAK_SIDE**3 / (time.perf_counter() - began))
    return best
