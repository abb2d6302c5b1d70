"""The training loop.

In: a `TrainConfig` and an output folder. Out: a checkpoint in the released layout, with its curves. Accelerate moves it to whatever
the machine has; a run that was stopped resumes at its last saved state with the same samples in the same order.

Shape letters: T tokens of a sample, V vision tokens, D hidden size.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch.nn import functional

from ov2.model import OV2Model
from ov2.text import TextTokenizer
from trainer.clips import Clip, load_clip
from trainer.config import Stage, TrainConfig
from trainer.errors import DataError
from trainer.forward import encode, labelled_logits
from trainer.naming import f1_of_words, named_blocks, naming_loss, naming_scores, word_ids
from trainer.optim import clip_gradients, learning_rate, make_optimizer, set_learning_rate
from trainer.record import Record
from trainer.sample import Sample, draw_groups, draw_sample
from trainer.world import World

VALIDATION_LESSONS = 24
VALIDATION_GROUPS = 4
"""Lessons asked about each held-out clip, about; groups whose blocks are named."""

Report = Callable[[int, dict[str, float]], None]


class Clips:
    """The clips of a run on disk, those of the lowest seeds held out. Clips that are made meanwhile join in as they come; a resumed run
    repeats the same samples when the folder holds the same clips."""

    def __init__(self, folder: Path, num_validation: int) -> None:
        self.folder, self.num_validation = folder, num_validation
        self.changed_ns = 0
        self.paths: list[Path] = []
        if not self.training:
            raise DataError(
                f"{folder}: expected more than {num_validation} clips, got {len(self.paths)}; make them: ov2 train --make-data"
            )

    def refresh(self) -> list[Path]:
        """All clips, in order of their seeds."""
        if self.folder.is_dir() and (changed_ns := self.folder.stat().st_mtime_ns) != self.changed_ns:
            self.changed_ns, self.paths = changed_ns, sorted(self.folder.glob("clip_*.npz"))
        return self.paths

    @property
    def validation(self) -> list[Path]:
        """Held out: never drawn for training."""
        return self.refresh()[: self.num_validation]

    @property
    def training(self) -> list[Path]:
        """All but those held out."""
        return self.refresh()[self.num_validation :]

    @staticmethod
    @lru_cache(maxsize=64)
    def world(seed: int, duration_s: float) -> World:
        """The script behind a clip."""
        return World(seed, duration_s=duration_s)

    def draw(self, text: TextTokenizer, stage: Stage, rng: np.random.Generator) -> Sample:
        """One training sample."""
        while True:
            sample = self.sample(self.clip(rng), text, stage, rng)
            if sample is not None:
                return sample

    def clip(self, rng: np.random.Generator) -> Clip:
        """One training clip."""
        paths = self.training
        return load_clip(paths[int(rng.integers(len(paths)))])

    def sample(self, clip: Clip, text: TextTokenizer, stage: Stage, rng: np.random.Generator) -> Sample | None:
        """One sample of a given clip."""
        return draw_sample(clip, self.world(clip.seed, clip.duration_s), text, stage, rng)


def answer_loss(logits: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
    """Mean cross-entropy over answer tokens, each weighted so that a whole answer counts like the square root of its length."""
    labels = np.concatenate([sample.labels[sample.labels >= 0] for sample in samples])
    lengths = [span.stop - span.start for sample in samples for _, span in sample.asked]
    weights = torch.from_numpy(np.repeat(np.array(lengths) ** -0.5, lengths)).to(logits)
    losses = functional.cross_entropy(logits.float(), torch.from_numpy(labels).to(logits.device), reduction="none")
    return (losses * weights).sum() / weights.sum()


class Lessons:
    """What a step learns: blocks to name, questions to answer. Draws, and takes the loss."""

    def __init__(self, config: TrainConfig, clips: Clips, text: TextTokenizer) -> None:
        self.config, self.clips, self.text = config, clips, text
        self.words = word_ids(text)

    def loss(self, model: OV2Model, stage: Stage, rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss of one step, and its parts for the record."""
        if not stage.types:
            return self._naming(model, stage, rng)
        samples = [self.clips.draw(self.text, stage, rng) for _ in range(stage.samples_per_step)]
        vision_VD = encode(model, (group for sample in samples for group in sample.groups))
        answers = answer_loss(labelled_logits(model, samples, vision_VD), samples)
        names = naming_loss(model, self.words, vision_VD, np.concatenate([sample.names for sample in samples]))
        tokens = sum(len(sample.input_ids) for sample in samples)
        return answers + self.config.naming_weight * names, {"loss": answers.item(), "naming": names.item(), "tokens": tokens}

    def _naming(self, model: OV2Model, stage: Stage, rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        shown = [
            (self.clips.world(clip.seed, clip.duration_s), group)
            for clip in (self.clips.clip(rng) for _ in range(stage.samples_per_step))
            for group in draw_groups(clip, stage.moments, rng)
        ]
        vision_VD = encode(model, (group for _, group in shown))
        names = np.concatenate([named_blocks(world, group) for world, group in shown])
        loss = naming_loss(model, self.words, vision_VD, names)
        return loss, {"naming": loss.item(), "tokens": len(names)}

    @torch.no_grad()
    def validate(self, model: OV2Model, stage: Stage) -> dict[str, float]:
        """On held-out clips: F1 of every word over blocks, and the share of questions whose every answer token is the model's first
        choice, per type."""
        right: dict[str, list[bool]] = defaultdict(list)
        scores: list[torch.Tensor] = []
        names: list[np.ndarray] = []
        for index, path in enumerate(self.clips.validation):
            clip, rng = load_clip(path), np.random.default_rng([index, 11])
            world = self.clips.world(clip.seed, clip.duration_s)
            groups = draw_groups(clip, VALIDATION_GROUPS, rng)
            scores.append(naming_scores(model, self.words, encode(model, groups)))
            names.extend(named_blocks(world, group) for group in groups)
            rounds = max(1, VALIDATION_LESSONS // (stage.moments * stage.questions)) if stage.types else 0
            for sample in filter(None, (self.clips.sample(clip, self.text, stage, rng) for _ in range(rounds))):
                self._mark(model, sample, right)
        f1 = f1_of_words(torch.cat(scores), np.concatenate(names))
        return {f"exact/{name}": float(np.mean(values)) for name, values in sorted(right.items())} | {
            f"named/{word}": value for word, value in f1.items()
        }

    def _mark(self, model: OV2Model, sample: Sample, right: dict[str, list[bool]]) -> None:
        picked = np.full(len(sample.labels), -1)
        logits = labelled_logits(model, [sample], encode(model, sample.groups))
        picked[sample.labels >= 0] = logits.argmax(-1).cpu().numpy()
        for lesson, span in sample.asked:
            right[lesson.type].append(bool((picked[span] == sample.labels[span]).all()))


def train(config: TrainConfig, out: Path, model: OV2Model, *, resume: bool = False, report: Report | None = None) -> OV2Model:
    """Run all stages; states go to `out/state`, the checkpoint to `out/checkpoint`.

    `report(step, values)` is called after every step (for a progress bar).
    """
    out.mkdir(parents=True, exist_ok=True)
    if config.threads:
        torch.set_num_threads(config.threads)
    assert model.folder is not None, "the model needs its tokenizer files"
    text = TextTokenizer.from_folder(model.folder)
    accelerator = Accelerator()
    model, optimizer = accelerator.prepare(model, make_optimizer(model, config))
    lessons = Lessons(config, Clips(Path(config.data.folder), config.data.num_validation), text)
    first = _resume(accelerator, out) if resume else 0
    record = Record(out, resume_step=first)
    for step in range(first, config.num_steps):
        stage, _ = config.stage_at(step)
        began = time.perf_counter()
        rate = learning_rate(config, step)
        set_learning_rate(optimizer, rate)
        rng = np.random.default_rng([config.seed, step])
        loss, values = lessons.loss(model, stage, rng)
        accelerator.backward(loss)
        clip_gradients(model)
        optimizer.step()
        optimizer.zero_grad()
        values |= {"lr": rate, "tokens_per_s": values.pop("tokens") / (time.perf_counter() - began)}
        if (step + 1) % config.validate_every == 0 or step + 1 == config.num_steps:
            values |= lessons.validate(model, stage)
        record.add(step, **values)
        if report:
            report(step, values)
        if (step + 1) % config.save_every == 0 or step + 1 == config.num_steps:
            _save(accelerator, model, out, step + 1)
            record.plot(out / "loss.png")
    unwrapped: OV2Model = accelerator.unwrap_model(model)
    return unwrapped


def _save(accelerator: Accelerator, model: OV2Model, out: Path, step: int) -> None:
    accelerator.unwrap_model(model).save_pretrained(out / "checkpoint")
    accelerator.save_state(str(out / "state"), safe_serialization=False)
    (out / "state" / "step.json").write_text(json.dumps({"step": step}))


def _resume(accelerator: Accelerator, out: Path) -> int:
    place = out / "state" / "step.json"
    if not place.exists():
        raise DataError(f"{out}: expected a saved state in {out / 'state'} to resume from, found none; start without --resume")
    accelerator.load_state(str(out / "state"))
    return int(json.loads(place.read_text())["step"])
