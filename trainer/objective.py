"""The objective: a model with what its training minimises, as the one module that is called in a step.

In: a `Batch`. Out: summed losses, to be divided by the totals of the whole step: a step may be several batches on several processes, and an
answer token counts the same in whichever of them it lies.

It is a module of its own because gradients of several processes meet in a wrapper around the module that is called; methods called on
what the wrapper holds would go past it.

Shape letters: V vision tokens, D width of the language model.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional

from ov2.encode import vision_tokens
from ov2.model import OV2Model
from ov2.text import TextTokenizer
from trainer.batches import Batch
from trainer.forward import labelled_logits
from trainer.naming import WORDS, naming_loss, word_ids


class Objective(nn.Module):
    """A model that is taught to answer, and to name what its blocks show."""

    def __init__(self, model: OV2Model, text: TextTokenizer) -> None:
        super().__init__()
        self.model = model
        self.words = word_ids(text)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Losses [2] of answers and of names, summed. Without questions only the encoder learns."""
        vision_VD = vision_tokens(self.model, batch.groups)
        names = naming_loss(self.model, self.words, vision_VD, batch.names)
        answers = self._answer_loss(batch, vision_VD) if batch.samples else torch.zeros_like(names)
        return torch.stack((answers, names))

    def _answer_loss(self, batch: Batch, vision_VD: torch.Tensor) -> torch.Tensor:
        """Weighted cross-entropy over answer tokens."""
        logits = labelled_logits(self.model, batch.samples, vision_VD).float()
        labels, weights = (torch.from_numpy(values).to(logits.device) for values in batch.answers)
        return (functional.cross_entropy(logits, labels, reduction="none") * weights.to(logits)).sum()


def totals(batches: Iterable[Batch], device: torch.device) -> torch.Tensor:
    """float32 [3]: weight of all answer tokens, scores of all blocks (both what a sum of losses is divided by), and tokens."""
    rows = [(batch.answer_weight, len(batch.names) * len(WORDS), batch.num_tokens) for batch in batches]
    return torch.tensor(rows, dtype=torch.float32, device=device).sum(0)
