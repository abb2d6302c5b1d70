"""Choice of the next token, and the bounds of what may be asked of it.

In: logits of one position. Out: a token id. The bounds stand here alone: the library, HTTP, MQTT and the command line all refuse by
them. Whatever they let through can be computed. Shape letter: W vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import TypedDict

import torch
from torch import Tensor

from ov2.errors import PromptError, SessionError

MOST_TOKENS = 1 << 20
"""Of one answer: more positions than any checkpoint has. What fits beside a window is less, and is checked where the window is known."""
MOST_TEMPERATURE = 10.0
LEAST_TEMPERATURE = 1e-5
"""Below it the choice is greedy: a token whose logit is a thousandth behind the first would have a share of e^-100, and logits divided by
much less pass the range of float32."""
MOST_SEED = 2**63 - 1


class SamplingOptions(TypedDict, total=False):
    """The fields of `Sampling`, as keyword arguments of those who ask."""

    max_tokens: int
    min_tokens: int
    temperature: float
    top_p: float
    seed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How an answer is chosen. `temperature` 0 is greedy, and so is one below `LEAST_TEMPERATURE`; `top_p` keeps the likeliest tokens that
    reach this share, the first of them always; `seed` makes a sampled answer repeatable; before `min_tokens` it does not end. Raises
    `PromptError` for values out of range."""

    max_tokens: int = 64
    min_tokens: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        _require_whole("max_tokens", self.max_tokens, 1, MOST_TOKENS)
        _require_whole("min_tokens", self.min_tokens, 0, self.max_tokens)
        if not 0.0 <= self.temperature <= MOST_TEMPERATURE:
            raise PromptError(f"temperature: expected zero or above, and at most {MOST_TEMPERATURE:g}, got {self.temperature}")
        if not 0.0 < self.top_p <= 1.0:
            raise PromptError(f"top_p: expected above 0 and at most 1, got {self.top_p}")
        if self.seed is not None:
            _require_whole("seed", self.seed, 0, MOST_SEED)

    @property
    def is_greedy(self) -> bool:
        return self.temperature < LEAST_TEMPERATURE

    def generator(self) -> torch.Generator:
        """A generator on the CPU, so that a seed means the same on every device."""
        generator = torch.Generator()
        if self.seed is None:
            generator.seed()
        else:
            generator.manual_seed(int(self.seed))
        return generator


def choose(logits_W: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """The next token: never one whose logit is NaN or minus infinity. Raises `SessionError` when there is no other."""
    most, first = (float(x) for x in logits_W.max(-1))
    if not math.isfinite(most):
        logits_W = _comparable(logits_W)
        first = float(logits_W.argmax())
    if sampling.is_greedy:
        return int(first)
    logits_W = logits_W.float().cpu()
    # Nothing lies above zero then, so that no division can pass the range of float32 upwards, and the first keeps a share.
    shares_W = ((logits_W - logits_W.max()) / sampling.temperature).softmax(-1)
    if sampling.top_p < 1.0:
        sorted_W, order_W = shares_W.sort(descending=True)
        beyond_W = sorted_W.cumsum(-1) - sorted_W >= sampling.top_p
        beyond_W[0] = False
        shares_W[order_W[beyond_W]] = 0.0
    return int(torch.multinomial(shares_W, 1, generator=generator))


def _comparable(logits_W: Tensor) -> Tensor:
    """Logits of which the largest is finite: NaN counts as minus infinity, and beside plus infinity nothing else counts."""
    logits_W = logits_W.float().nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    most = float(logits_W.max())
    if most == -torch.inf:
        raise SessionError("logits: expected a number for at least one token, got none; the model cannot go on from here")
    return torch.where(logits_W == torch.inf, 0.0, -torch.inf) if most == torch.inf else logits_W


def _require_whole(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or not least <= int(value) <= most:
        raise PromptError(f"{name}: expected at least {least} and at most {most}, a whole number, got {_shown(value)}")


def _shown(value: object) -> str:
    """A number of a thousand digits is told by its size."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"one of {value.bit_length()} bits"
    return str(value)[:80]
