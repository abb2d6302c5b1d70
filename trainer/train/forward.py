"""The training forward pass: packed samples through the model, attention along their trees.

In: a model and `Sample`s. Out: hidden states, and logits of the tokens that carry a label. Samples of a batch lie one after another in one
sequence and never see each other; a branch sees its own tokens and the trunk up to where it left it. No [T, T] mask is ever made.

Shape letters: T tokens of all samples, C width, R ends of runs, V vision tokens, D width of the language model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ov2.model import OV2Model
from trainer.train.layers import EXACT, Precision, run_layers
from trainer.train.sample import Sample
from trainer.train.tree_attention import ForestAttention


def hidden_states(
    model: OV2Model, samples: Sequence[Sample], vision_VD: torch.Tensor, precision: Precision = EXACT
) -> torch.Tensor:
    """Hidden states [rows of all samples in order, width] after the last norm, given the samples' vision tokens."""
    device = vision_VD.device
    ids, positions = (_joined(samples, name, device) for name in ("input_ids", "positions"))
    attend = ForestAttention.of(samples, device, is_compiled=precision.is_compiled)
    return run_layers(model, model.embed(ids, vision_VD), positions, attend, precision)


def labelled_logits(model: OV2Model, samples: Sequence[Sample], hidden_TC: torch.Tensor) -> torch.Tensor:
    """Logits [labelled rows of all samples in order, vocabulary], given their hidden states."""
    return model.head(hidden_TC[_joined(samples, "labels", hidden_TC.device) >= 0])


def run_end_states(samples: Sequence[Sample], hidden_TC: torch.Tensor) -> torch.Tensor:
    """Hidden states [R, C] at the ends of all runs of all samples."""
    starts = np.cumsum([0, *(len(sample.input_ids) for sample in samples[:-1])])
    rows = np.concatenate([start + sample.dense.rows for start, sample in zip(starts, samples, strict=True)])
    return hidden_TC[torch.from_numpy(rows).to(hidden_TC.device)]


def _joined(samples: Sequence[Sample], name: str, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([getattr(sample, name) for sample in samples])).to(device)
