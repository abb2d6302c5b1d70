"""The optimizer and the learning-rate schedule.

In: a model and its settings. Out: AdamW, with weight decay on matrices alone, and one schedule: linear warm-up over the run's first steps,
then a cosine down to `final_lr` within each stage.

Muon was tried and left out: its orthogonalization runs in bfloat16, which costs more than the whole backward pass on a CPU without
matrix units for it (measured on two such cores: over two seconds a step).
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from trainer.config import TrainConfig

BETAS = (0.9, 0.98)


def make_optimizer(model: nn.Module, config: TrainConfig) -> AdamW:
    """AdamW over all parameters; matrices decay, embeddings, norms and biases do not."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        decays = parameter.ndim >= 2 and "embed" not in name
        (matrices if decays else rest).append(parameter)
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return AdamW(groups, lr=1.0, betas=BETAS, fused=True)


def learning_rate(config: TrainConfig, step: int) -> float:
    """The rate at `step`, by warm-up and the stage's cosine."""
    stage, within = config.stage_at(min(step, config.num_steps - 1))
    warm = min(1.0, (step + 1) / config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * within / stage.steps))
    return warm * stage.lr * (stage.final_lr + (1 - stage.final_lr) * cosine)


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Give the optimizer its rate for a step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip_gradients(model: nn.Module, limit: float = 1.0) -> float:
    """Clip the gradient's norm; returns the norm before."""
    return float(torch.nn.utils.clip_grad_norm_(model.parameters(), limit))
