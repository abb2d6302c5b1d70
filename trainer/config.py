"""Settings of a training run: one YAML, read into frozen dataclasses, unknown keys refused.

In: a YAML file (see trainer/configs/nano.yaml). Out: a `TrainConfig`.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from trainer.errors import ConfigError

T = TypeVar("T")
Source = Literal["films", "tokens", "scripts"]
PrecisionName = Literal["auto", "float32", "bfloat16"]
BUNDLED = Path(__file__).parent / "configs" / "nano.yaml"
"""The run that made ov2-nano."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of the curriculum: context grows from stage to stage.

    - `window_s`: seconds of stream in a sample. `moments`: moments asked per sample; `questions`: questions per moment.
    - `types`: relative weight of each question type; a type that is left out is not asked. A stage without types names blocks alone
      (trainer.train.naming), `moments` groups of each of its samples.
    - `source`: what is learned from: films, by the encoder too; tokens, those that the encoder made of the films before the run, while it
      does not learn; scripts, tokens put together from worlds that nobody filmed (trainer.data.script_clip).
    - `samples_per_step`: samples of one batch; a step is a batch of every process, or several (`gradient_accumulation_steps`).
    - `lr`: peak learning rate; `final_lr`: the part of it that is left at the stage's end.
    """

    name: str
    steps: int
    moments: int
    window_s: float = 0.0
    questions: int = 0
    types: Mapping[str, float] = field(default_factory=dict)
    lr: float = 0.001
    final_lr: float = 0.1
    samples_per_step: int = 1
    source: Source = "films"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Clips: how many, from which seed on, and how they are filmed and read.

    - `inputs`: relative weights of codec, ippp, frames (groups of four) and stills (groups of one); `token_rates`: those that clips are read
      at, the tokenizer's own where there is none. Both are drawn by a clip's seed.
    """

    folder: str
    first_seed: int = 0
    num_clips: int = 1000
    num_validation: int = 24
    width: int = 640
    height: int = 360
    fps: int = 10
    camera: str = "default"
    duration_s: float = 48.0
    moment_every_s: float = 3.0
    inputs: Mapping[str, float] = field(default_factory=lambda: {"codec": 1.0})
    token_rates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        unknown = sorted(set(self.inputs) - {"codec", "ippp", "frames", "stills"})
        if unknown or not sum(self.inputs.values()) > 0:
            told = ", ".join(unknown) or "no weight above zero"
            raise ConfigError(f"data.inputs: expected weights of codec, ippp, frames, stills, got {told}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptCamera:
    """How the groups of clips from scripts look (trainer.data.script_clip): pictures analysed per second; canvases of a group and source
    frames of each but the first; shortest, mean and longest active group, longest still one."""

    fps: float = 4.0
    canvases: int = 3
    source_frames: int = 3
    t_min_s: float = 1.5
    mean_span_s: float = 2.7
    t_max_s: float = 6.0
    t_still_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A whole run.

    - `tokenizer`: `TokenizerSettings` keys, written into the checkpoint so that the service uses the same.
    - `gradient_accumulation_steps`: batches that every process takes for one step. Gradients are those of all batches as one, so N processes
      learn what one process with N times the accumulation learns.
    - `threads`: of one process; the machine's cores shared out when 0.
    - `optimizer`: muon takes the matrices of layers, at `matrix_lr` times the rate; AdamW all else, and all of it where it is adamw.
    - `dense_weight`: of what heads learn at the end of every run (trainer.train.dense_heads), beside answers; 0 leaves them out.
    - `precision`: of products; auto takes bfloat16 where the machine has units for it. `compiled`: None compiles where g++ is.
    - `scripts`: how groups look in stages that learn from scripts.
    - `loaders`: processes that draw samples ahead; 0 draws them in between.
    """

    name: str
    data: DataConfig
    model: Mapping[str, Any]
    tokenizer: Mapping[str, Any]
    stages: tuple[Stage, ...]
    max_positions: int = 6144
    max_timestamp_s: float = 90.0
    seed: int = 1
    weight_decay: float = 0.05
    warmup_steps: int = 50
    optimizer: Literal["adamw", "muon"] = "adamw"
    matrix_lr: float = 1.0
    naming_weight: float = 0.5
    dense_weight: float = 0.0
    precision: PrecisionName = "auto"
    compiled: bool | None = None
    loaders: int = 0
    scripts: ScriptCamera = field(default_factory=ScriptCamera)
    gradient_accumulation_steps: int = 1
    save_every: int = 250
    validate_every: int = 250
    vocab_size: int = 1024
    init_from: str | None = None
    fresh_language: bool = False
    threads: int = 0

    def __post_init__(self) -> None:
        for name in ("gradient_accumulation_steps", "save_every", "validate_every", "warmup_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected 1 or more, got {getattr(self, name)}")

    @property
    def num_steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def spans(self, first: int) -> Iterator[tuple[int, range]]:
        """The stages from step `first` on: the number of each, and its steps that are left."""
        begin = 0
        for index, stage in enumerate(self.stages):
            steps = range(max(first, begin), begin + stage.steps)
            begin += stage.steps
            if steps:
                yield index, steps

    def stage_at(self, step: int) -> tuple[Stage, int]:
        """The stage that `step` belongs to, and the step within it."""
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        raise ConfigError(f"step {step} lies past the last stage")


def build(kind: type[T], mapping: Mapping[str, Any], where: str) -> T:
    """Make a settings dataclass from a mapping.

    Raises:
        ConfigError: a key is unknown (the nearest is named) or missing.
    """
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in mapping:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"
            raise ConfigError(f"{where}: unknown setting {key}{hint}")
    try:
        return kind(**mapping)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error


def load_config(path: Path) -> TrainConfig:
    """Read a training configuration."""
    try:
        raw = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"training configuration {path}: {error.strerror}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected a mapping of settings, got {type(raw).__name__}")
    raw["data"] = build(DataConfig, raw.get("data", {}), f"{path}: data")
    raw["scripts"] = build(ScriptCamera, raw.get("scripts", {}), f"{path}: scripts")
    stages = [build(Stage, stage, f"{path}: stage {index}") for index, stage in enumerate(raw.get("stages", []))]
    if not stages:
        raise ConfigError(f"{path}: expected at least one entry under stages")
    raw["stages"] = tuple(stages)
    return build(TrainConfig, raw, str(path))
