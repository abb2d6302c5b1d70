"""How many tokens a step may have: fewer when the device's memory has run out, more again after steps that went well.

In: what became of steps. Out: tokens of the next.
"""

from __future__ import annotations

import torch

from ov2.engine.settings import LEAST_STEP_TOKENS
from ov2.engine.state import EngineState
from ov2.errors import SessionError


class StepBudget:
    """`tokens` of the next step."""

    def __init__(self, state: EngineState) -> None:
        self._state = state
        self._most = self.tokens = state.settings.tokens_of_a_step(state.model.device)

    def grow(self) -> None:
        """A step went well."""
        self.tokens = min(self._most, 2 * self.tokens)

    def shrink(self, error: SessionError) -> bool:
        """Memory has run out: renewals in the background go first, until somebody waits for them; then steps get smaller. True when
        neither is left to do."""
        self._state.tally.shed["out_of_memory"] += 1
        if self._state.model.device.type == "cuda":
            torch.cuda.empty_cache()
        if self._state.drop_renewals(error):
            return False
        smallest = self.tokens <= LEAST_STEP_TOKENS
        self.tokens = max(LEAST_STEP_TOKENS, self.tokens // 2)
        return smallest


def no_memory(cause: Exception) -> SessionError:
    error = SessionError(f"out of memory: {cause}")
    error.__cause__ = cause
    return error
