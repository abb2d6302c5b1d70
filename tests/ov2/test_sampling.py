"""The choice of a token: what may be asked of it, and that whatever may be asked can be computed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ov2.errors import PromptError, SessionError
from ov2.sampling import LEAST_TEMPERATURE, MOST_SEED, MOST_TEMPERATURE, MOST_TOKENS, Sampling, choose

SPECIAL = (math.inf, -math.inf, math.nan, 3.4e38, -3.4e38, 1e-45, 0.0)
LOGITS = st.lists(st.one_of(st.floats(-100, 100), st.sampled_from(SPECIAL)), min_size=1, max_size=12)
TEMPERATURES = st.one_of(st.floats(0, MOST_TEMPERATURE), st.sampled_from([1e-46, 1e-39, 1e-38, LEAST_TEMPERATURE]))
SHARES = st.one_of(st.floats(0, 1, exclude_min=True), st.sampled_from([5e-324, 1e-46]))


def chosen(logits: list[float], **how: Any) -> int:
    sampling = Sampling(**how)
    return choose(torch.tensor(logits, dtype=torch.float32), sampling, sampling.generator())


@given(logits=LOGITS, temperature=TEMPERATURES, top_p=SHARES, seed=st.integers(0, MOST_SEED))
def test_whatever_is_accepted_gives_a_token_that_has_a_logit(
    logits: list[float], temperature: float, top_p: float, seed: int
) -> None:
    how = {"temperature": temperature, "top_p": top_p, "seed": seed}
    if all(math.isnan(one) or one == -math.inf for one in logits):
        with pytest.raises(SessionError, match="logits: expected a number for at least one token, got none"):
            chosen(logits, **how)
        return
    logit = logits[chosen(logits, **how)]
    assert not math.isnan(logit)
    assert logit > -math.inf
    if math.inf in logits:
        assert logit == math.inf


@given(logits=st.lists(st.integers(-1000, 1000).map(float), min_size=1, max_size=12, unique=True), top_p=SHARES)
def test_a_tiny_temperature_is_greedy_and_a_tiny_share_keeps_the_first(logits: list[float], top_p: float) -> None:
    best = int(np.argmax(logits))
    for temperature in (0.0, 1e-46, 1e-39, LEAST_TEMPERATURE / 2):
        assert chosen(logits, temperature=temperature, top_p=top_p) == best
    assert chosen(logits, temperature=1.0, top_p=1e-46) == best


def test_the_bounds_themselves_are_accepted_and_what_lies_beyond_is_refused() -> None:
    for seed in (0, MOST_SEED, np.int64(7)):
        assert 0 <= chosen([0.0, 1.0], temperature=1.0, seed=seed) <= 1
    Sampling(max_tokens=MOST_TOKENS, min_tokens=MOST_TOKENS, temperature=MOST_TEMPERATURE, top_p=1.0)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"seed": -1}, "seed: expected at least 0"),
        ({"seed": 2**63}, "seed: expected at least 0 and at most 9223372036854775807"),
        ({"seed": 1 << 20_000}, "seed: .* got one of 20001 bits"),
        ({"seed": 1.5}, "seed: .* a whole number, got 1.5"),
        ({"seed": True}, "seed: .* a whole number, got True"),
        ({"temperature": math.nan}, "temperature: .* got nan"),
        ({"temperature": math.inf}, "temperature: .* got inf"),
        ({"temperature": 10.001}, "temperature: .* at most 10, got 10.001"),
        ({"top_p": math.nan}, "top_p: .* got nan"),
        ({"top_p": 1.1}, "top_p: .* got 1.1"),
        ({"max_tokens": MOST_TOKENS + 1}, "max_tokens: expected at least 1 and at most 1048576"),
        ({"min_tokens": 65}, "min_tokens: .* at most 64"),
    ],
)
def test_what_lies_beyond_the_bounds_is_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        Sampling(**how)
