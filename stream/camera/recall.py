"""One camera's memory in the service: what goes into it, and what a question brings back.

In: groups on their way into the stream; questions. Out: plans, and older groups on the stream's own clock. Without a memory
(`memory.enabled: false`) a question sees the window, and a time before it is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

from ov2.canvas import CanvasGroup
from ov2.engine import Stream
from ov2.errors import SessionError
from ov2.segment import EncodedGroup
from ov2.session_settings import Limits
from stream.camera.errors import QuestionError
from stream.camera.question import Question
from stream.memory import Memory
from stream.memory.phrases import Phrases
from stream.memory.plan import Plan, looks_back, plan_recall
from stream.memory.stretch import Room
from stream.tokenizer.budget import num_llm_tokens

TRAINED_SHARE = 2 / 3
"""Of the trained times, what a stretch may take, as a window does by default."""
SETTLE_S = 10.0
"""Longest wait for groups that came before a question about the past."""
SPARE_TOKENS = 128
"""Beside older groups: the system text, and some of the question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recollection:
    """What a question looks at: `groups` instead of the window, in order of time; none: the window, from `since_s` to `until_s`."""

    plan: Plan
    groups: tuple[CanvasGroup, ...] = ()
    since_s: float | None = None
    until_s: float | None = None


class Recall:
    """`keep` what the stream takes; `look_back` for a question."""

    def __init__(self, memory: Memory | None, stream: Stream) -> None:
        self.memory, self._stream = memory, stream

    def keep(self, group: CanvasGroup, taken: Future[EncodedGroup]) -> None:
        """Into the memory once the model has seen it, or, without a summary, once it is known that it will not."""
        memory = self.memory
        if memory is None:
            return

        def put(done: Future[EncodedGroup]) -> None:
            seen = not done.cancelled() and done.exception() is None
            memory.put(group, num_tokens=num_llm_tokens(group), tokens=done.result().vision_tokens if seen else None)

        taken.add_done_callback(put)

    def look_back(
        self, question: Question, *, now: float, media_zero: float | None, peek: Callable[[], CanvasGroup | None]
    ) -> Recollection:
        """`media_zero`: UTC epoch seconds of media second 0; None before the first group. `peek` gives the still-open group. Raises
        `QuestionError` for a time before the window without a memory."""
        window = self._stream.window
        window_start = now if window is None or media_zero is None else window[0] + media_zero
        times = question.times
        if times is not None and times.since is not None and times.since >= window_start and media_zero is not None:
            until_s = times.until - media_zero if times.until is not None else None
            return Recollection(plan=Plan(question=question.text), since_s=times.since - media_zero, until_s=until_s)
        if self.memory is None:
            if times is not None or question.mode == "memory":
                raise QuestionError(
                    "since: expected a time inside the window, the memory is off; set memory.enabled: true",
                    expected="a time inside the window",
                    setting="memory.enabled",
                )
            return Recollection(plan=Plan(question=question.text))
        if times is not None or looks_back(question.text, question.mode):
            self._settle(self.memory)
        plan = plan_recall(
            self.memory,
            question.text,
            room=_room(self._stream.limits, question.sampling.max_tokens),
            now=now,
            window_start=window_start,
            times=times,
            mode=question.mode,
            open_shows=lambda phrases: self._shows(peek(), phrases),
        )
        if plan.stretch is None:
            return Recollection(plan=plan)
        groups = self.memory.read(plan.stretch.rows)
        if not groups:
            return Recollection(
                plan=dataclasses.replace(plan, stretch=None, not_seen=True, why="what was remembered is damaged")
            )
        return Recollection(plan=plan, groups=tuple(_on_clock(group, media_zero or 0.0) for group in groups))

    def _settle(self, memory: Memory) -> None:
        """Wait for groups on their way: what is not in the memory yet must not be called unseen."""
        with suppress(TimeoutError, SessionError):
            self._stream.wait(SETTLE_S)
        memory.wait()

    def _shows(self, group: CanvasGroup | None, phrases: Phrases) -> bool:
        """Whether one group shows all of the phrases."""
        summariser = self.memory.summariser if self.memory is not None else None
        if group is None or summariser is None:
            return False
        tokens_VD = self._stream.encode(group).vision_tokens.float().cpu().numpy()
        words_KW = summariser.word_scores(*summariser.summarise(tokens_VD))
        return bool((summariser.scores(phrases, words_KW[None]) >= summariser.seen_at).all())


def _room(limits: Limits, max_tokens: int) -> Room:
    most = min(limits.window_tokens + limits.recall_tokens, limits.max_positions - max_tokens - SPARE_TOKENS)
    return Room(num_tokens=most - SPARE_TOKENS, span_s=max(limits.window_s, TRAINED_SHARE * limits.max_timestamp_s))


def _on_clock(group: CanvasGroup, media_zero: float) -> CanvasGroup:
    """The group in media seconds of today's stream, by its wall time: before its beginning they are below zero."""
    shift_s = group.wall_s - media_zero - group.end_s
    return dataclasses.replace(
        group,
        runs=tuple((seconds + shift_s, blocks) for seconds, blocks in group.runs),
        start_s=group.start_s + shift_s,
        end_s=group.end_s + shift_s,
    )
