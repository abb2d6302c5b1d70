"""The optimizers and the learning-rate schedule.

In: what is trained and its settings. Out: Muon for the matrices of layers (momentum made orthogonal, so that every direction of a matrix moves:
with dense supervision half the windows of AdamW gave the same), AdamW for all else; and one schedule: linear warm-up over the run's first
steps, then a cosine down to `final_lr` within each stage.

Muon orthogonalises in bfloat16: on a CPU without units for it that costs more than a backward pass of ov2-nano.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from trainer.config import TrainConfig

BETAS = (0.9, 0.98)
FACTOR = "lr_factor"
"""Key of a parameter group: its rate, as a multiple of the schedule's."""
_OF_LAYERS = (".layers.", ".merger.")


def make_optimizers(trained: nn.Module, config: TrainConfig) -> list[Optimizer]:
    """AdamW, after Muon where the configuration asks for it. Matrices decay; embeddings, norms and biases do not."""
    of_layers: list[nn.Parameter] = []
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in trained.named_parameters():
        decays = parameter.ndim >= 2 and "embed" not in name
        by_muon = config.optimizer == "muon" and parameter.ndim == 2 and any(part in name for part in _OF_LAYERS)
        (of_layers if by_muon else matrices if decays else rest).append(parameter)
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    made: list[Optimizer] = [AdamW(groups, lr=1.0, betas=BETAS, fused=True)]
    if of_layers:
        group = {"params": of_layers, "weight_decay": config.weight_decay, FACTOR: config.matrix_lr}
        # the length of a step is that of AdamW, so that one rate serves both
        made.insert(0, Muon([group], lr=1.0, adjust_lr_fn="match_rms_adamw"))
    return made


def learning_rate(config: TrainConfig, step: int) -> float:
    """The rate at `step`, by warm-up and the stage's cosine."""
    stage, within = config.stage_at(min(step, config.num_steps - 1))
    warm = min(1.0, (step + 1) / config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * within / stage.steps))
    return warm * stage.lr * (stage.final_lr + (1 - stage.final_lr) * cosine)


def set_learning_rate(optimizers: Sequence[Optimizer], rate: float) -> None:
    """Give the optimizers their rate for a step."""
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] = rate * group.get(FACTOR, 1.0)


def clip_gradients(model: nn.Module, limit: float = 1.0) -> float:
    """Clip the gradient's norm; returns the norm before."""
    return float(torch.nn.utils.clip_grad_norm_(model.parameters(), limit))
