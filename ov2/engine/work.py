"""What callers want of a stream: groups to append, questions to answer, statements to judge.

In: what was asked. Out: what becomes of it, told to a listener or a future.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ov2.canvas import CanvasGroup
from ov2.engine.prefill import ChunkedPrefill
from ov2.errors import RequestError
from ov2.kv_sequence import KVSequence
from ov2.sampling import Sampling
from ov2.segment import EncodedGroup
from ov2.token_stream import TokenStream

if TYPE_CHECKING:
    from ov2.engine.branches import Branch
    from ov2.engine.stream_state import StreamState


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
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
class Ended:
    """An answer is over: `finish_reason` is `stop`, `length`, `cancelled` or `failed`; then `error` says why."""

    finish_reason: str
    num_tokens: int
    first_token_s: float | None
    error: Exception | None = None


Output = Started | str | Ended
"""What becomes of a question: it begins, pieces of text, it is over."""


@dataclass(slots=True, eq=False)
class Recalled:
    """An older group that a question brings back."""

    group: CanvasGroup
    encoded: EncodedGroup | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class Question:
    """A question, then its answer. `after`: groups of its stream that come first. `renewals`: how many there had been when it began to
    wait for one. `older`: the branch as it will be, while older groups are written for it. `cancelled` may be set by any thread;
    `has_ended` once it was told; `error`: why it is to fail."""

    line: StreamState
    tail: Sequence[int]
    sampling: Sampling
    tell: Callable[[Output], None]
    peek: CanvasGroup | None = None
    since_s: float | None = None
    until_s: float | None = None
    recalled: Sequence[Recalled] = ()
    beside: bool = False
    after: int = 0
    asked_s: float = field(default_factory=time.perf_counter)
    encoded: EncodedGroup | None = None
    older: Branch | None = None
    passage: ChunkedPrefill | None = None
    wording: TokenStream | None = None
    first_token_s: float | None = None
    queue_s: float = 0.0
    renewals: int | None = None
    cancelled: bool = False
    has_ended: bool = False
    error: Exception | None = None

    def fail(self, cause: Exception) -> None:
        """Its listener raised: let it end at the next step."""
        self.error = RequestError(f"question: expected it to be listened to, got {type(cause).__name__}: {cause}")
        self.error.__cause__ = cause
        self.cancelled = True

    @property
    def contexts(self) -> list[KVSequence]:
        """Those whose pages it holds."""
        return [part.context for part in (self.passage, self.older) if part is not None]


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


@dataclass(slots=True, eq=False, kw_only=True)
class ScoreRequest:
    """Statements about one moment of a stream, and their margins as they come. `within_s`: how long they may wait to begin. `trunk`: the
    still-open group, which all of them see, on a branch."""

    line: StreamState
    tails: Sequence[Sequence[int]]
    future: Future[list[float]]
    peek: CanvasGroup | None = None
    encoded: EncodedGroup | None = None
    trunk: ScoredStatement | None = None
    after: int = 0
    within_s: float | None = None
    came_s: float = field(default_factory=time.perf_counter)
    statements: list[ScoredStatement] = field(default_factory=list)
    has_ended: bool = False

    @property
    def contexts(self) -> list[KVSequence]:
        """Those whose pages it holds."""
        trunk = [self.trunk] if self.trunk is not None else []
        return [statement.passage.context for statement in (*trunk, *self.statements)]

    @property
    def is_late(self) -> bool:
        return self.within_s is not None and not self.statements and time.perf_counter() > self.came_s + self.within_s


@dataclass(slots=True, eq=False)
class ScoredStatement:
    """One of them, on a branch of its own; or what all of them see."""

    judgement: ScoreRequest
    passage: ChunkedPrefill
    is_trunk: bool = False
    margin: float | None = None
