"""An answer while it is written: a branch of a session, token by token.

In: a branch, the prompt, how to choose tokens. Out: pieces of text, each of whole characters, and afterwards what it took.
The branch's pages go back when the answer ends, is closed, or is forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType

import torch
from torch import Tensor

from ov2.kv_sequence import KVSequence
from ov2.model import OV2Model
from ov2.sampling import Sampling
from ov2.text import TextTokenizer
from ov2.token_stream import TokenStream


class Answer(Iterator[str]):
    """Iterate over it for pieces of text; the first `next` reads the prompt.

    After the last piece: `text`, `num_tokens` written, `prompt_tokens` read for this question alone, `first_token_s` from the
    question to the first token, `finish_reason` (`stop` or `length`; None while it runs), and `window`, the media seconds
    (start, end) it looked at (None when there was no group).
    """

    def __init__(
        self,
        model: OV2Model,
        text: TextTokenizer,
        branch: KVSequence,
        prompt: Sequence[int],
        vision_VD: Tensor | None,
        sampling: Sampling,
        *,
        window: tuple[float, float] | None,
        asked_s: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model, self._branch, self._clock = model, branch, clock
        self.window, self.prompt_tokens = window, len(prompt)
        self.text = ""
        self.first_token_s: float | None = None
        self._prompt, self._vision_VD, self._asked_s = prompt, vision_VD, asked_s
        self._wording = TokenStream(model.config, text, sampling)
        self._closed = False

    @property
    def num_tokens(self) -> int:
        return self._wording.num_tokens

    @property
    def finish_reason(self) -> str | None:
        return self._wording.finish_reason

    def __next__(self) -> str:
        try:
            piece = self._advance()
        except BaseException:
            self.close()
            raise
        if not piece:
            raise StopIteration
        self.text += piece
        return piece

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self._branch.close()

    def close(self) -> None:
        """Stop writing and give the pages back. Closing twice is fine."""
        self._closed = True
        self._branch.close()

    def _advance(self) -> str:
        """The next piece; empty when there is none left."""
        wording = self._wording
        while wording.finish_reason is None and not self._closed:
            piece = wording.push(self._logits())
            if self.first_token_s is None:
                self.first_token_s = self._clock() - self._asked_s
            if wording.finish_reason is not None:
                self._branch.close()
            if piece:
                return piece
        return ""

    @torch.inference_mode()
    def _logits(self) -> Tensor:
        """Read the prompt or the last token: logits of the next."""
        if self.first_token_s is None:
            hidden_TD = self._branch.append(self._prompt, self._vision_VD)
        else:
            hidden_TD = self._branch.extend([self._wording.token])
        return self._model.head(hidden_TD[-1])
