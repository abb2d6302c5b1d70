"""A rolling session of one camera: groups come in, the oldest go out, questions are asked on branches.

In: groups of canvases, questions. Out: answers. The reference is exact: a session equals the model run once over all its
tokens, where each token sees the earlier ones whose segment was still in the window when it was written.

Shape letters: V vision tokens, D width of the language model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

import torch

from ov2.answer import Answer
from ov2.canvas import CanvasGroup
from ov2.context import Context
from ov2.errors import CheckpointError, PromptError, SessionError
from ov2.model import OV2Model
from ov2.pages import PagePool
from ov2.pixels import vision_inputs
from ov2.prompt import question_tokens, run_tokens, system_tokens
from ov2.sampling import Sampling
from ov2.segment import EncodedGroup
from ov2.session_settings import SessionSettings
from ov2.text import TextTokenizer


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
        self._text = text or _folder_tokenizer(model)
        if self._text.image_pad != model.config.image_token_id:
            raise CheckpointError(
                f"tokenizer: expected the image token to be {model.config.image_token_id} as in config.json, "
                f"got {self._text.image_pad}; tokenizer and model belong to different checkpoints"
            )
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
        self.num_renewals = self.num_dropped = 0
        self._zero_s: float | None = None
        self._renewed_s = 0.0
        self._closed = False
        self._context = self._begin()

    @property
    def num_tokens(self) -> int:
        """Tokens in the window, the system text included."""
        return self._context.num_tokens

    @property
    def num_positions(self) -> int:
        """Positions used since the last renewal: the next token's position."""
        return self._context.next_position

    @property
    def zero_s(self) -> float:
        """Media seconds of timestamp zero: the start of the oldest group at the last renewal (0 before the first group)."""
        return self._zero_s or 0.0

    @property
    def groups(self) -> tuple[EncodedGroup, ...]:
        """Groups in the window, oldest first."""
        return tuple(segment.group for segment in self._context.segments if segment.group is not None)

    @property
    def window(self) -> tuple[float, float] | None:
        """Media seconds (start, end) in the window; None before the first group."""
        groups = self.groups
        return (groups[0].start_s, groups[-1].end_s) if groups else None

    @torch.inference_mode()
    def encode(self, group: CanvasGroup) -> EncodedGroup:
        """Run the vision tower over one group."""
        inputs = vision_inputs(group, *self._model.normalisation)
        vision_VD = self._model.vision_tokens(inputs.pixel_values, inputs.image_grid_thw, inputs.patch_positions)
        return EncodedGroup(
            group_id=group.group_id, vision_tokens=vision_VD, runs=group.runs, start_s=group.start_s, end_s=group.end_s
        )

    def append(self, group: CanvasGroup) -> None:
        """Take a closed group in; the oldest leave when the window is full, and the session is renewed when a trained limit is
        near. Raises `SessionError` when the group is larger than the window or older than the last one."""
        self.append_encoded(self.encode(group))

    def append_encoded(self, group: EncodedGroup) -> None:
        """`append` for a group that went through `encode` already."""
        self._require_open()
        self._require_newer(group)
        if self._zero_s is None:
            self._zero_s = self._renewed_s = group.start_s
        self._make_room(group)
        if self._limit_near(group):
            self.renew(self.groups[0].start_s if self.groups else group.start_s)
        self._write(self._context, group)

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
        prompt = [*(self._tokens(encoded) if encoded else ()), *tail]
        self._require_room(len(prompt) + max_tokens)
        if self._branch_limit_near(len(prompt) + max_tokens, encoded):
            self.renew()
            prompt = [*(self._tokens(encoded) if encoded else ()), *tail]
        return Answer(
            self._model,
            self._text,
            self._context.fork(),
            prompt,
            None if encoded is None else encoded.vision_tokens,
            sampling,
            window=self._window_with(encoded),
            asked_s=asked_s,
            clock=self._clock,
        )

    def branch(self) -> Context:
        """A bare branch, for callers that read hidden states instead of text. Close it."""
        self._require_open()
        return self._context.fork()

    def renew(self, zero_s: float | None = None) -> None:
        """Write the window again from position zero, timestamps counted from `zero_s` (default: the oldest group's start)."""
        self._require_open()
        groups, old = self.groups, self._context
        if zero_s is None and groups:
            zero_s = groups[0].start_s
        before, self._zero_s = self._zero_s, self._zero_s if zero_s is None else zero_s
        fresh = self._begin()
        try:
            for group in groups:
                self._write(fresh, group)
        except BaseException:
            self._zero_s = before
            fresh.close()
            raise
        self._context = fresh
        self._renewed_s = groups[-1].end_s if groups else self.zero_s
        self.num_renewals += 1
        old.close()

    def close(self) -> None:
        """Give all pages back. Closing twice is fine; answers under way go on."""
        self._closed = True
        self._context.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _begin(self) -> Context:
        """A context with the system text alone."""
        context = Context(self._model, self.pool)
        context.append(system_tokens(self._text))
        return context

    def _tokens(self, group: EncodedGroup) -> list[int]:
        """Tokens of a group with timestamps from `zero_s`; before the first group, from its own start."""
        zero_s = group.start_s if self._zero_s is None else self._zero_s
        return run_tokens(self._text, group.runs, zero_s=zero_s)

    def _write(self, context: Context, group: EncodedGroup) -> None:
        context.append(self._tokens(group), group.vision_tokens, group)

    def _make_room(self, group: EncodedGroup) -> None:
        """Drop the oldest groups until this one fits into the window: in tokens, in stream time, in pages."""
        limits, num_new = self.limits, len(self._tokens(group))
        system = self._context.segments[0].num_tokens
        if system + num_new > limits.window_tokens:
            raise SessionError(
                f"group {group.group_id}: expected at most {limits.window_tokens - system} tokens, got {num_new}; "
                f"set window_tokens higher, or make smaller groups (max_pixels, token_rate)"
            )
        while self.groups and (
            self.num_tokens + num_new > limits.window_tokens
            or group.end_s - self.groups[0].start_s > limits.window_s
            or self._num_pages() + num_new // limits.page_tokens + 1 > limits.window_pages
        ):
            self._context.drop(1)
            self.num_dropped += 1

    def _num_pages(self) -> int:
        return sum(len(segment.pages) for segment in self._context.segments)

    def _limit_near(self, group: EncodedGroup) -> bool:
        """Whether this group would leave too few positions for a branch, pass the trained timestamps, or renewal is due."""
        return (
            self.num_positions + len(self._tokens(group)) + self.limits.branch_tokens > self.limits.max_positions
            or group.end_s - self.zero_s > self.limits.max_timestamp_s
            or group.end_s - self._renewed_s >= self.limits.renew_s
        )

    def _branch_limit_near(self, needed: int, peek: EncodedGroup | None) -> bool:
        """Whether a branch would pass a trained limit that a renewal can bring back."""
        if not self.groups:
            return self.num_positions > self.num_tokens
        late = peek is not None and peek.end_s - self.zero_s > self.limits.max_timestamp_s
        return (late and self.groups[0].start_s > self.zero_s) or self.num_positions + needed > self.limits.max_positions

    def _require_room(self, needed: int) -> None:
        room = self.limits.max_positions - self.num_tokens
        if needed > room:
            raise PromptError(
                f"question: expected at most {room} tokens with peek and answer beside a window of {self.num_tokens}, "
                f"got {needed}; ask shorter, lower max_tokens, or set branch_tokens higher"
            )

    def _require_newer(self, group: EncodedGroup) -> None:
        if self.groups and group.start_s < self.groups[-1].start_s:
            raise SessionError(
                f"group {group.group_id}: expected one that starts at {self.groups[-1].start_s} s or later, "
                f"got {group.start_s} s"
            )

    def _require_open(self) -> None:
        if self._closed:
            raise SessionError("session: expected an open session, got a closed one")

    def _window_with(self, peek: EncodedGroup | None) -> tuple[float, float] | None:
        window = self.window
        if peek is None:
            return window
        return (window[0] if window else peek.start_s), peek.end_s


def _folder_tokenizer(model: OV2Model) -> TextTokenizer:
    if model.folder is None:
        raise CheckpointError("tokenizer: expected `text`, or a model loaded from a folder with one, got neither")
    return TextTokenizer.from_folder(model.folder)
