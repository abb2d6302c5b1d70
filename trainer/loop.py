"""The training loop.

In: a `TrainConfig` and an output folder. Out: a checkpoint in the released layout, with its curves. Accelerate moves it to whatever
the machine has, one process or several (trainer.processes). A run that was stopped or killed resumes at its last saved state with the
same samples in the same order.

A step is `gradient_accumulation_steps` batches of every process. The batches of a step are numbered, and shared out by number: two processes
learn what one with twice the accumulation learns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from ov2.model import OV2Model
from ov2.text import TextTokenizer
from trainer.batches import Batch, Clips, draw_batch
from trainer.config import TrainConfig
from trainer.errors import DataError
from trainer.objective import Objective, totals
from trainer.optim import clip_gradients, learning_rate, make_optimizer, set_learning_rate
from trainer.processes import this_process
from trainer.record import Record
from trainer.validation import validate

STATE = Path("state") / "latest.pt"
Report = Callable[[int, dict[str, float]], None]


def train(config: TrainConfig, out: Path, model: OV2Model, *, resume: bool = False, report: Report | None = None) -> OV2Model:
    """Run all stages; states go to `out/state`, the checkpoint to `out/checkpoint`. Of several processes the first alone writes.

    `report(step, values)` is called after every step, in the first process (for a progress bar).

    Raises:
        DataError: there are no clips to learn from, or no state to resume.
    """
    run = _Run(config, out, model)
    first = run.resume() if resume else 0
    record = Record(out, resume_step=first) if run.is_first else None
    for step in range(first, config.num_steps):
        values = run.step(step)
        is_last = step + 1 == config.num_steps
        if is_last or (step + 1) % config.validate_every == 0:
            values |= run.validate(step)
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
        self.clips = Clips(Path(config.data.folder), config.data.num_validation)
        self.objective = Objective(model, self.text)
        # a stage that only names leaves the language layers out
        unused = DistributedDataParallelKwargs(find_unused_parameters=any(not stage.types for stage in config.stages))
        self.accelerator = Accelerator(kwargs_handlers=[unused])
        # called for gradients; the objective itself for everything else
        self.wrapped, self.optimizer = self.accelerator.prepare(self.objective, make_optimizer(model, config))
        if self.is_first:
            out.mkdir(parents=True, exist_ok=True)

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return bool(self.accelerator.is_main_process)

    def step(self, step: int) -> dict[str, float]:
        """One update of the weights; what to record of it, over all processes."""
        began = time.perf_counter()
        rate = learning_rate(self.config, step)
        set_learning_rate(self.optimizer, rate)
        batches = self._batches(step)
        answer_weight, num_scores, num_tokens = self._over_processes(totals(batches, self.accelerator.device)).tolist()
        asks = answer_weight > 0
        weights = (1 / answer_weight, self.config.naming_weight / num_scores) if asks else (0.0, 1 / num_scores)
        answers, names = self._learn(batches, weights).tolist()
        seconds = time.perf_counter() - began
        losses = {"loss": answers / answer_weight} if asks else {}
        return losses | {"naming": names / num_scores, "lr": rate, "tokens_per_s": num_tokens / seconds}

    def _batches(self, step: int) -> list[Batch]:
        """This process's batches of a step."""
        stage, _ = self.config.stage_at(step)
        num_processes, own = self.accelerator.num_processes, self.accelerator.process_index
        numbers = range(own, num_processes * self.config.gradient_accumulation_steps, num_processes)
        rngs = (np.random.default_rng([self.config.seed, step, number]) for number in numbers)
        return [draw_batch(self.clips, self.text, stage, rng) for rng in rngs]

    def _learn(self, batches: Sequence[Batch], weights: tuple[float, float]) -> torch.Tensor:
        """Update the weights by the weighted sum of all losses; the losses [2], summed over all processes."""
        device = self.accelerator.device
        # gradients of processes are averaged, and are to be summed
        scale_2 = torch.tensor(weights, device=device) * self.accelerator.num_processes
        losses_2 = torch.zeros(2, device=device)
        for batch in batches:
            is_last = batch is batches[-1]
            with nullcontext() if is_last else self.accelerator.no_sync(self.wrapped):
                batch_2 = self.wrapped(batch)
                self.accelerator.backward((batch_2 * scale_2).sum())
            losses_2 += batch_2.detach()
        clip_gradients(self.model)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return self._over_processes(losses_2)

    def _over_processes(self, values: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = self.accelerator.reduce(values, reduction="sum")
        return total

    def validate(self, step: int) -> dict[str, float]:
        """Marks on held-out clips, of the stage that the step belongs to."""
        stage, _ = self.config.stage_at(step)
        return validate(self.accelerator, self.objective, self.clips, self.text, stage)

    def save(self, step: int) -> None:
        """Write the checkpoint, then the state after `step` steps, in one rename: a run killed in between goes on from the state before,
        and writes the checkpoint again."""
        self.model.save_pretrained(self.out / "checkpoint")
        state = {"step": step, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        (self.out / STATE).parent.mkdir(exist_ok=True)
        partial = (self.out / STATE).with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.out / STATE)

    def resume(self) -> int:
        """Load the saved state; the step to go on with."""
        if not (self.out / STATE).exists():
            raise DataError(f"{self.out}: expected a saved state {STATE} to resume from, found none; start without --resume")
        state: dict[str, Any] = torch.load(self.out / STATE, map_location=self.accelerator.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])
