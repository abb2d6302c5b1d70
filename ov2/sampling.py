"""Choice of the next token.

In: logits of one position. Out: a token id. Shape letter: W vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ov2.errors import PromptError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How an answer is chosen. `temperature` 0 is greedy; `top_p` keeps the likeliest tokens that reach this share; `seed`
    makes a sampled answer repeatable; before `min_tokens` it does not end. Raises `PromptError` for values out of range."""

    max_tokens: int = 64
    min_tokens: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise PromptError(f"max_tokens: expected at least 1, got {self.max_tokens}")
        if not 0 <= self.min_tokens <= self.max_tokens:
            raise PromptError(f"min_tokens: expected 0 to max_tokens {self.max_tokens}, got {self.min_tokens}")
        if not 0.0 <= self.temperature < float("inf"):
            raise PromptError(f"temperature: expected zero or above, got {self.temperature}")
        if not 0.0 < self.top_p <= 1.0:
            raise PromptError(f"top_p: expected above 0 and at most 1, got {self.top_p}")

    def generator(self) -> torch.Generator:
        """A generator on the CPU, so that a seed means the same on every device."""
        generator = torch.Generator()
        if self.seed is None:
            generator.seed()
        else:
            generator.manual_seed(self.seed)
        return generator


def choose(logits_W: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """The next token."""
    if sampling.temperature == 0.0:
        return int(logits_W.argmax())
    shares_W = (logits_W.float().cpu() / sampling.temperature).softmax(-1)
    if sampling.top_p < 1.0:
        sorted_W, order_W = shares_W.sort(descending=True)
        beyond_W = sorted_W.cumsum(-1) - sorted_W >= sampling.top_p
        shares_W[order_W[beyond_W]] = 0.0
    return int(torch.multinomial(shares_W, 1, generator=generator))
