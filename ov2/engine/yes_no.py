"""Yes or no: how far the model leans to one of them.

In: statements, logits of the first token of an answer. Out: margins. Shape letter: W vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ov2.errors import SessionError
from ov2.prompt import question_tokens
from ov2.text import TextTokenizer


class YesNoScorer:
    """`calibration` is what the checkpoint says (`judge` in stream.json: `scale`, `bias`): a margin is then the log-odds that the
    statement holds."""

    def __init__(self, text: TextTokenizer, calibration: Mapping[str, float]) -> None:
        self._text = text
        self._yes, self._no = (sorted({text.encode(word)[0] for word in words}) for words in (("yes", "Yes"), ("no", "No")))
        self._scale, self._bias = float(calibration.get("scale", 1.0)), float(calibration.get("bias", 0.0))

    def tail(self, statement: str) -> list[int]:
        """Tokens that ask for it; a question is asked as it is. Raises `PromptError` when it is empty."""
        statement = statement.strip()
        is_question = not statement or statement.endswith("?")
        return question_tokens(self._text, statement if is_question else f"Is it true that {statement.rstrip('.')}?")

    def margin(self, logits_W: Tensor) -> float:
        """Above zero: yes. Raises `SessionError` when the logits are no numbers."""
        yes, no = (torch.logsumexp(logits_W[tokens].float(), 0) for tokens in (self._yes, self._no))
        margin = float(yes - no) * self._scale + self._bias
        if not math.isfinite(margin):
            raise SessionError(f"statement: expected logits from which a margin follows, got one of {margin}")
        return margin
