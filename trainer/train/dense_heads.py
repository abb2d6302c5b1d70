"""Heads that read what is true at the end of every run of blocks; thrown away after training, so that the released layout stays.

In: hidden states of the last layer at the runs' ends, and their targets. Out: a loss per run, summed; and how often a head is right.

Shape letters: R runs, C width, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.train.dense_targets import CHOICES, EVENT_KEYS, NUM_LABELS, UNKNOWN, DenseTargets

EVENT_WEIGHT = 8.0
"""Of a label that is true among events: one in a hundred is."""
LABELS_SHARE = 10.0
"""Of the mean over all labels, most of which are easy, against the mean over all choices."""


class DenseHeads(nn.Module):
    """One matrix over hidden states of width `width`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = nn.Linear(width, NUM_LABELS + sum(CHOICES.values()))
        weights = torch.ones(NUM_LABELS)
        weights[: len(EVENT_KEYS)] = EVENT_WEIGHT
        self.register_buffer("weights_L", weights, persistent=False)
        self.weights_L: Tensor

    def forward(self, hidden_RC: Tensor, targets: Sequence[DenseTargets]) -> Tensor:
        """Loss, summed over runs: mean over classes of one choice, and of all labels."""
        labels_RL, choices = (
            torch.from_numpy(np.concatenate([getattr(target, name) for target in targets])).to(hidden_RC.device)
            for name in ("labels", "choices")
        )
        told_RL, *told = self.scores(hidden_RC)
        loss = functional.binary_cross_entropy_with_logits(told_RL, labels_RL, weight=1 + labels_RL * (self.weights_L - 1))
        total = LABELS_SHARE * loss * len(labels_RL)
        for index, scores in enumerate(told):
            total = total + functional.cross_entropy(scores, choices[:, index], ignore_index=UNKNOWN, reduction="sum") / len(
                CHOICES
            )
        return total

    def scores(self, hidden_RC: Tensor) -> list[Tensor]:
        """Logits of all labels [R, L], then of every choice."""
        return list(self.read(hidden_RC.float()).split([NUM_LABELS, *CHOICES.values()], -1))

    @torch.no_grad()
    def right(self, hidden_RC: Tensor, targets: Sequence[DenseTargets]) -> dict[str, tuple[int, int]]:
        """Of every choice, how many are right, and of how many; of events, twice the hits and what F1 divides them by."""
        labels = np.concatenate([target.labels for target in targets])
        choices = np.concatenate([target.choices for target in targets])
        told_RL, *told = self.scores(hidden_RC)
        said = told_RL[:, : len(EVENT_KEYS)].cpu().numpy() > 0
        true = labels[:, : len(EVENT_KEYS)] > 0
        found = {"events": (2 * int((said & true).sum()), int(said.sum() + true.sum()))}
        for index, (name, scores) in enumerate(zip(CHOICES, told, strict=True)):
            known = choices[:, index] != UNKNOWN
            found[name] = (int((scores.argmax(-1).cpu().numpy() == choices[:, index])[known].sum()), int(known.sum()))
        return found
