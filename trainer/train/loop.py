"""The training loop.

In: a `TrainConfig` and an output folder. Out: a checkpoint in the released layout, with its curves. Accelerate moves it to whatever
the machine has, one process or several (trainer.train.processes). A run that was stopped or killed resumes at its last saved state with the
same samples in the same order.

A step is `gradient_accumulation_steps` batches of every process. The batches of a step are numbered, and shared out by number: two processes
learn what one with twice the accumulation learns.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from ov2.model import OV2Model
from ov2.text import TextTokenizer
from trainer.config import Stage, TrainConfig
from trainer.data.batches import Batch
from trainer.data.clip_source import AnySource
from trainer.data.drawing import batches_of
from trainer.data.encoded_clips import EncodedClips, encode_clips
from trainer.data.filmed_clips import FilmedClips
from trainer.data.make import camera_spec
from trainer.data.script_clip import ScriptClips
from trainer.data.token_bank import TokenBank
from trainer.errors import DataError
from trainer.train.layers import precision_of
from trainer.train.objective import NUM_LOSSES, Objective, totals
from trainer.train.optimizer import clip_gradients, learning_rate, make_optimizers, set_learning_rate
from trainer.train.processes import this_process
from trainer.train.record import Record
from trainer.train.validation import validate

STATE = Path("state") / "latest.pt"
ENCODED = "encoded"
"""Vision tokens of the films, and the bank for scripts."""
HEADS = "heads.pt"
"""Beside the checkpoint: a later stage's heads go on from there."""
LOSSES = ("loss", "naming", "dense")
"""Of answers, of names of blocks, of heads at the ends of runs."""
Report = Callable[[int, dict[str, float]], None]


def train(config: TrainConfig, out: Path, model: OV2Model, *, resume: bool = False, report: Report | None = None) -> OV2Model:
    """Run all stages; states go to `out/state`, the checkpoint to `out/checkpoint`. Of several processes the first alone writes.

    `report(step, values)` is called after every step, in the first process (for a progress bar).

    Raises:
        DataError: there are no clips to learn from, or no state to resume.
    """
    run = _Run(config, out, model)
    first = run.resume() if resume else run.begin()
    record = Record(out, resume_step=first) if run.is_first else None
    for stage, steps in config.spans(first):
        source = run.source(stage)
        for step, batches in zip(steps, run.batches(source, steps), strict=True):
            values = run.step(step, batches)
            is_last = step + 1 == config.num_steps
            if is_last or (step + 1) % config.validate_every == 0:
                values |= run.validate(step, source)
            if record is None:
                continue
            record.add(step, **values)
            if report:
                report(step, values)
            if is_last or (step + 1) % config.save_every == 0:
                run.save(step + 1)
                record.plot(out / "loss.png")
    run.accelerator.wait_for_everyone()  # what the first process wrote is there when any of them returns
    return model


class _Run:
    """What a run holds in each of its processes."""

    def __init__(self, config: TrainConfig, out: Path, model: OV2Model) -> None:
        assert model.folder is not None, "the model needs its tokenizer files"
        self.config, self.out, self.model = config, out, model
        this_process()
        if config.threads:
            torch.set_num_threads(config.threads)
        self.text = TextTokenizer.from_folder(model.folder)
        self.films = FilmedClips(Path(config.data.folder), config.data.num_validation)
        unused = DistributedDataParallelKwargs(find_unused_parameters=any(map(_leaves_out, config.stages)))
        self.accelerator = Accelerator(kwargs_handlers=[unused])
        precision = precision_of(config.precision, self.accelerator.device, is_compiled=config.compiled)
        self.objective = Objective(model, self.text, with_heads=config.dense_weight > 0, precision=precision)
        self._take_heads()
        # called for gradients; the objective itself for everything else
        self.wrapped, *self.optimizers = self.accelerator.prepare(self.objective, *make_optimizers(self.objective, config))
        if self.is_first:
            out.mkdir(parents=True, exist_ok=True)

    def _take_heads(self) -> None:
        """Heads go on where those of the run before ended, if it had any."""
        before = Path(self.config.init_from).parent / HEADS if self.config.init_from else None
        if self.objective.heads is not None and before is not None and before.exists():
            self.objective.heads.load_state_dict(torch.load(before, weights_only=True))

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return bool(self.accelerator.is_main_process)

    def source(self, stage: int) -> AnySource:
        """Where the clips of a stage come from. Films are encoded once for all stages that follow one in which the encoder learned."""
        kind = self.config.stages[stage].source
        if kind == "films":
            return self.films
        learned = [index for index in range(stage) if self.config.stages[index].source == "films"]
        folder = self.out / ENCODED / f"after_stage_{learned[-1] if learned else -1}"
        if self.is_first:
            encode_clips(self.model, self.films, folder)
        self.accelerator.wait_for_everyone()
        if kind == "tokens":
            return EncodedClips(folder, self.config.data.num_validation)
        return ScriptClips(TokenBank.load(folder), self.config, camera_spec(self.config))

    def batches(self, source: AnySource, steps: range) -> Iterator[list[Batch]]:
        """This process's batches of some steps of one stage."""
        own = (self.accelerator.process_index, self.accelerator.num_processes)
        return batches_of(source, self.text, self.config, steps=steps, process=own)

    def step(self, step: int, batches: Sequence[Batch]) -> dict[str, float]:
        """One update of the weights; what to record of it, over all processes."""
        began = time.perf_counter()
        rate = learning_rate(self.config, step)
        set_learning_rate(self.optimizers, rate)
        *wholes, num_tokens = self._over_processes(totals(batches, self.accelerator.device)).tolist()
        importance = (1.0, self.config.naming_weight if wholes[0] else 1.0, self.config.dense_weight)
        weights = [weight / whole if whole else 0.0 for weight, whole in zip(importance, wholes, strict=True)]
        losses = self._learn(batches, weights).tolist()
        seconds = time.perf_counter() - began
        told = {name: loss / whole for name, loss, whole in zip(LOSSES, losses, wholes, strict=True) if whole}
        return told | {"lr": rate, "tokens_per_s": num_tokens / seconds}

    def _learn(self, batches: Sequence[Batch], weights: Sequence[float]) -> torch.Tensor:
        """Update the weights by the weighted sum of all losses; the losses [3], summed over all processes."""
        device = self.accelerator.device
        # gradients of processes are averaged, and are to be summed
        scale = torch.tensor(weights, device=device) * self.accelerator.num_processes
        losses = torch.zeros(NUM_LOSSES, device=device)
        for batch in batches:
            is_last = batch is batches[-1]
            with nullcontext() if is_last else self.accelerator.no_sync(self.wrapped):
                of_batch = self.wrapped(batch)
                self.accelerator.backward((of_batch * scale).sum())
            losses += of_batch.detach()
        clip_gradients(self.objective)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return self._over_processes(losses)

    def _over_processes(self, values: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = self.accelerator.reduce(values, reduction="sum")
        return total

    def validate(self, step: int, source: AnySource) -> dict[str, float]:
        """Marks on held-out clips, of the stage that the step belongs to."""
        stage, _ = self.config.stage_at(step)
        return validate(self.accelerator, self.objective, source, self.text, stage)

    def save(self, step: int) -> None:
        """Write the checkpoint, then the state after `step` steps, in one rename: a run killed in between goes on from the state before,
        and writes the checkpoint again."""
        self.model.save_pretrained(self.out / "checkpoint")
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        state = {"step": step, "objective": self.objective.state_dict(), "optimizers": optimizers}
        (self.out / STATE).parent.mkdir(exist_ok=True)
        partial = (self.out / STATE).with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.out / STATE)
        if self.objective.heads is not None:
            torch.save(self.objective.heads.state_dict(), self.out / HEADS)

    def begin(self) -> int:
        """Vision tokens of an earlier run in the same folder were made by another encoder; the step to begin with."""
        if self.is_first:
            shutil.rmtree(self.out / ENCODED, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        return 0

    def resume(self) -> int:
        """Load the saved state; the step to go on with."""
        if not (self.out / STATE).exists():
            raise DataError(f"{self.out}: expected a saved state {STATE} to resume from, found none; start without --resume")
        state: dict[str, Any] = torch.load(self.out / STATE, map_location=self.accelerator.device, weights_only=True)
        self.objective.load_state_dict(state["objective"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        return int(state["step"])


def _leaves_out(stage: Stage) -> bool:
    """A stage that only names leaves the language layers out; one whose vision tokens are known, the encoder."""
    return not stage.types or stage.source != "films"
