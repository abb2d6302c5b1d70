"""What callers want of a stream: groups to append, questions to answer, statements to judge.

In: what was asked. Out: what becomes of it, for a listener or a future.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, field

from ov2.canvas import CanvasGroup
from ov2.segment import EncodedGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerStarted:
    """An answer begins. `window`: media seconds (start, end) that it sees, recalled groups included, None without a group; `group_ids`
    that it sees of the window; `num_recalled`: older groups that it sees; `zero_s`: media seconds of timestamp zero; `num_tokens` of
    what it sees; `prompt_tokens` read for this question alone; `queue_s` waited for a turn, `catch_up_s` for groups that came before
    it, its peek, older groups, and a renewal."""

    window: tuple[float, float] | None
    group_ids: tuple[int, ...]
    zero_s: float
    num_tokens: int
    prompt_tokens: int
    queue_s: float
    catch_up_s: float
    num_recalled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerEnded:
    """An answer is over: `finish_reason` is `stop`, `length`, `cancelled` or `failed`; then `error` says why."""

    finish_reason: str
    num_tokens: int
    first_token_s: float | None
    error: Exception | None = None


Output = AnswerStarted | str | AnswerEnded
"""What becomes of a question: it begins, pieces of text, it is over."""


@dataclass(slots=True, eq=False)
class Recalled:
    """An older group that a question brings back."""

    group: CanvasGroup
    encoded: EncodedGroup | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class PendingGroup:
    """A group on its way into a stream. `renewals`: as of a question. `is_again`: it was in the window when the engine began again, of
    which `num_restarts` interrupted it."""

    group: CanvasGroup | EncodedGroup
    future: Future[EncodedGroup]
    came_s: float = field(default_factory=time.perf_counter)
    encoded: EncodedGroup | None = None
    renewals: int | None = None
    is_again: bool = False
    num_restarts: int = 0
