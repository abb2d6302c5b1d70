"""A rolling session of one camera: groups come in, the oldest go out, questions are asked on branches.

In: groups of canvases, questions. Out: answers. The reference is exact: a session equals the model run once over all its
tokens, where each token sees the earlier ones whose segment was still in the window when it was written.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from ov2.answer import Answer
from ov2.canvas import CanvasGroup
from ov2.encode import encode
from ov2.errors import SessionError
from ov2.kv_sequence import KVSequence, begin_sequence
from ov2.model import OV2Model
from ov2.pages import PagePool
from ov2.prompt import question_tokens
from ov2.sampling import Sampling
from ov2.segment import EncodedGroup
from ov2.session_settings import SessionSettings
from ov2.text import TextTokenizer
from ov2.window import Window, span_of


class Session:
    """Segments: the system text, then groups in order of time. Owned by one thread; close it to give its pages back.

    `text` defaults to the tokenizer of the model's folder, `pool` to one of its own. `limits` are the settings in force;
    `num_renewals` and `num_dropped` (groups that left the window) count what happened.
    """

    def __init__(
        self,
        model: OV2Model,
        settings: SessionSettings | None = None,
        text: TextTokenizer | None = None,
        pool: PagePool | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model, self._clock = model, clock
        self._text = model.tokenizer(text)
        settings = settings or SessionSettings()
        self.limits = settings.resolve(max_positions=model.max_positions, max_timestamp_s=model.max_timestamp_s)
        if pool is not None and pool.page_tokens != self.limits.page_tokens:
            raise SessionError(
                f"pool: expected pages of {self.limits.page_tokens} tokens, got {pool.page_tokens}; set page_tokens"
            )
        self.pool = pool or PagePool(
            model.config.text,
            num_pages=self.limits.num_pages,
            page_tokens=self.limits.page_tokens,
            dtype=model.dtype,
            device=model.device,
        )
        self._closed = False
        self._window = Window(self.limits, self._text, begin_sequence(model, self.pool, self._text, self.limits))

    @property
    def num_renewals(self) -> int:
        return self._window.num_renewals

    @property
    def num_dropped(self) -> int:
        return self._window.num_dropped

    @property
    def num_tokens(self) -> int:
        """Tokens in the window, the system text included."""
        return self._window.num_tokens

    @property
    def num_positions(self) -> int:
        """Positions used since the last renewal: the next token's position."""
        return self._window.num_positions

    @property
    def zero_s(self) -> float:
        """Media seconds of timestamp zero: the start of the oldest group at the last renewal (0 before the first group)."""
        return self._window.zero_s

    @property
    def groups(self) -> tuple[EncodedGroup, ...]:
        """Groups in the window, oldest first."""
        return self._window.groups

    @property
    def window(self) -> tuple[float, float] | None:
        """Media seconds (start, end) in the window; None before the first group."""
        return self._window.span_s

    def encode(self, group: CanvasGroup) -> EncodedGroup:
        """Run the vision tower over one group."""
        return encode(self._model, [group])[0]

    def append(self, group: CanvasGroup) -> None:
        """Take a closed group in; the oldest leave when the window is full, and the session is renewed when a trained limit is
        near. Raises `SessionError` when the group is larger than the window or older than the last one."""
        self.append_encoded(self.encode(group))

    def append_encoded(self, group: EncodedGroup) -> None:
        """`append` for a group that went through `encode` already."""
        self._require_open()
        window = self._window
        window.require_newer(group)
        window.start_clock(group)
        window.make_room(group)
        if window.limit_near(group):
            self.renew(self.groups[0].start_s if self.groups else group.start_s)
        window.context.append(window.tokens(group), group.vision_tokens, group)

    def ask(
        self,
        question: str,
        peek: CanvasGroup | None = None,
        *,
        max_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
    ) -> Answer:
        """Ask on a branch that sees the window, the still-open group `peek`, and the question; the session stays as it is.

        Raises `PromptError` when the question is empty, or does not fit beside the window with peek and answer.
        """
        asked_s = self._clock()
        self._require_open()
        sampling = Sampling(max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)
        tail = question_tokens(self._text, question)
        encoded = None if peek is None else self.encode(peek)
        prompt = self._prompt(encoded, tail)
        self._window.require_room(len(prompt) + max_tokens)
        if self._window.branch_limit_near(len(prompt) + max_tokens, encoded):
            self.renew()
            prompt = self._prompt(encoded, tail)
        return Answer(
            self._model,
            self._text,
            self._window.context.fork(),
            prompt,
            None if encoded is None else encoded.vision_tokens,
            sampling,
            window=span_of([*self.groups, *([encoded] if encoded is not None else [])]),
            asked_s=asked_s,
            clock=self._clock,
        )

    def branch(self) -> KVSequence:
        """A bare branch, for callers that read hidden states instead of text. Close it."""
        self._require_open()
        return self._window.context.fork()

    def renew(self, zero_s: float | None = None) -> None:
        """Write the window again from position zero, timestamps counted from `zero_s` (default: the oldest group's start)."""
        self._require_open()
        groups = self.groups
        if zero_s is None:
            zero_s = groups[0].start_s if groups else self.zero_s
        fresh = begin_sequence(self._model, self.pool, self._text, self.limits)
        try:
            for group in groups:
                fresh.append(self._window.tokens(group, zero_s), group.vision_tokens, group)
        except BaseException:
            fresh.close()
            raise
        self._window.renewed(fresh, zero_s)

    def close(self) -> None:
        """Give all pages back. Closing twice is fine; answers under way go on."""
        self._closed = True
        self._window.context.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _prompt(self, peek: EncodedGroup | None, tail: list[int]) -> list[int]:
        return [*(self._window.tokens(peek) if peek is not None else ()), *tail]

    def _require_open(self) -> None:
        if self._closed:
            raise SessionError("session: expected an open session, got a closed one")
