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
from trainer.data.batches import Batch
from trainer.train.dense_heads import DenseHeads
from trainer.train.forward import hidden_states, labelled_logits, run_end_states
from trainer.train.layers import EXACT, Precision
from trainer.train.naming import WORDS, naming_loss, word_ids

NUM_LOSSES = 3
"""Of answers, of names, of what heads read at the ends of runs."""


class Objective(nn.Module):
    """A model that is taught to answer, to name what its blocks show, and, `with_heads`, to tell at every run what is true."""

    def __init__(self, model: OV2Model, text: TextTokenizer, *, with_heads: bool = False, precision: Precision = EXACT) -> None:
        super().__init__()
        self.model = model
        self.words = word_ids(text)
        self.precision = precision
        self.heads = DenseHeads(model.config.text.hidden_size) if with_heads else None

    def forward(self, batch: Batch) -> torch.Tensor:
        """Losses [3], summed. Without questions only the encoder learns, with known vision tokens all but the encoder."""
        vision_VD = self.vision(batch)
        zero = vision_VD.new_zeros(())
        names = naming_loss(self.model, self.words, vision_VD.float(), batch.names) if len(batch.names) else zero
        if not batch.samples:
            return torch.stack((zero, names, zero))
        hidden_TC = hidden_states(self.model, batch.samples, vision_VD, self.precision)
        dense = zero
        if self.heads is not None:
            dense = self.heads(run_end_states(batch.samples, hidden_TC), [sample.dense for sample in batch.samples])
        return torch.stack((self._answer_loss(batch, hidden_TC), names, dense))

    def vision(self, batch: Batch) -> torch.Tensor:
        """Vision tokens [V, D] of a batch."""
        if batch.vision is not None:
            return torch.from_numpy(batch.vision).to(self.model.device, torch.float32)
        is_half = self.precision.dtype != torch.float32
        with torch.autocast(self.model.device.type, self.precision.dtype, enabled=is_half):
            return vision_tokens(self.model, batch.groups).float()

    def _answer_loss(self, batch: Batch, hidden_TC: torch.Tensor) -> torch.Tensor:
        """Weighted cross-entropy over answer tokens."""
        logits = labelled_logits(self.model, batch.samples, hidden_TC).float()
        labels, weights = (torch.from_numpy(values).to(logits.device) for values in batch.answers)
        return (functional.cross_entropy(logits, labels, reduction="none") * weights.to(logits)).sum()


def totals(batches: Iterable[Batch], device: torch.device) -> torch.Tensor:
    """float32 [4]: what the sums of losses are divided by (weight of all answer tokens, scores of all blocks, runs), and tokens."""
    rows = [(batch.answer_weight, len(batch.names) * len(WORDS), batch.num_runs, batch.num_tokens) for batch in batches]
    return torch.tensor(rows, dtype=torch.float32, device=device).sum(0)
