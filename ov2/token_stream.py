"""The words of an answer, token by token.

In: logits of the next token. Out: pieces of text, each of whole characters, and why it ended. Shape letter: W vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ov2.config import OV2Config
from ov2.sampling import Sampling, choose
from ov2.text import TextStream, TextTokenizer


class TokenStream:
    """`token` is the last one chosen, `num_tokens` those before a stop token, `finish_reason` `stop` or `length` (None while it runs)."""

    def __init__(self, config: OV2Config, text: TextTokenizer, sampling: Sampling) -> None:
        self.token = -1
        self.num_tokens = 0
        self.finish_reason: str | None = None
        self._pictures = [config.image_token_id, config.video_token_id]
        self._stop_ids = text.stop_ids
        self._sampling, self._generator, self._stream = sampling, sampling.generator(), TextStream(text)

    @torch.inference_mode()
    def push(self, logits_W: Tensor) -> str:
        """Choose a token, and return the text that it completes, possibly none; with the last one, all that is left. Tokens that stand for
        a picture are never chosen: there is none."""
        logits_W[self._pictures] = -torch.inf
        if self.num_tokens < self._sampling.min_tokens:
            logits_W[list(self._stop_ids)] = -torch.inf
        self.token = choose(logits_W, self._sampling, self._generator)
        if self.token in self._stop_ids:
            self.finish_reason = "stop"
            return self._stream.finish()
        self.num_tokens += 1
        piece = self._stream.push(self.token)
        if self.num_tokens < self._sampling.max_tokens:
            return piece
        self.finish_reason = "length"
        return piece + self._stream.finish()
