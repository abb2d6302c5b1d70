"""One stream inside the engine: its window, the groups that wait for it, and its renewal.

In: groups in order of time. Out: prefills to write, one group at a time, and the new window when a renewal is complete. After the device
has lost its pages, the groups come again.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from ov2.canvas import CanvasGroup
from ov2.engine.branch import Branch
from ov2.engine.prefill import Chunk, ChunkedPrefill
from ov2.engine.work import Output, PendingGroup, Recalled
from ov2.errors import RequestError
from ov2.kv_sequence import KVSequence, begin_sequence
from ov2.model import OV2Model
from ov2.pages import PagePool
from ov2.prompt import system_tokens
from ov2.sampling import Sampling
from ov2.segment import EncodedGroup
from ov2.session_settings import Limits
from ov2.text import TextTokenizer
from ov2.token_stream import TokenStream
from ov2.window import Window


@dataclass(slots=True)
class Renewal:
    """A window on its way to being written anew, from position zero, with timestamps from `zero_s`. `todo`: groups to write after
    `prefill`, the first of which is the system text. `alone`: the one group of `prefill`, where they are written one by one."""

    stream: StreamState
    context: KVSequence
    zero_s: float
    todo: deque[EncodedGroup]
    prefill: ChunkedPrefill
    has_system_text: bool = False
    alone: EncodedGroup | None = None


@dataclass(slots=True)
class PendingAppend:
    """A group on its way into the window: on a branch, so that nobody sees half of it."""

    stream: StreamState
    arrival: PendingGroup
    prefill: ChunkedPrefill

    @property
    def encoded(self) -> EncodedGroup:
        assert self.arrival.encoded is not None, "expected an encoded group"
        return self.arrival.encoded


@dataclass(eq=False)
class StreamState:
    """`num_taken` groups have been handed in, `num_settled` of them are appended or left out. Of those that wait, `arrival` is next; `lost`
    ones, which a restart has put back, come before the others. `renewal_error`: why the last renewal cannot be done, until somebody wants
    one again; `one_by_one`: a renewal raised, so that the next looks for the group that did."""

    name: str
    model: OV2Model
    pool: PagePool
    text: TextTokenizer
    limits: Limits
    window: Window
    waiting: deque[PendingGroup] = field(default_factory=deque)
    lost: deque[PendingGroup] = field(default_factory=deque)
    questions: deque[AnswerRequest] = field(default_factory=deque)
    max_waiting: int = 16
    num_taken: int = 0
    num_settled: int = 0
    arrival: PendingGroup | None = None
    draft: PendingAppend | None = None
    renewal: Renewal | None = None
    wants_renewal: bool = False
    renewal_error: Exception | None = None
    one_by_one: bool = False
    closed: bool = False
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def has_work(self) -> bool:
        """Whether a step may get on with it."""
        on_its_way = self.arrival or self.draft or self.renewal or self.wants_renewal
        return bool(self.lost or self.waiting or self.questions or on_its_way) or self.renewal_due()

    @property
    def arrivals(self) -> list[PendingGroup]:
        """Groups that are not in the window yet, the next one first."""
        draft = [self.draft.arrival] if self.draft is not None else []
        return [*draft, *([self.arrival] if self.arrival is not None else []), *self.lost, *self.waiting]

    @property
    def contexts(self) -> list[KVSequence]:
        """Those whose pages it holds."""
        draft = [self.draft.prefill.context] if self.draft is not None else []
        return [self.window.context, *draft, *([self.renewal.context] if self.renewal is not None else [])]

    def prefill(self, context: KVSequence, group: EncodedGroup, zero_s: float | None = None) -> ChunkedPrefill:
        """A group's tokens."""
        return ChunkedPrefill(context, [self._chunk(group, zero_s)], self.text.image_pad)

    def _chunk(self, group: EncodedGroup, zero_s: float | None = None) -> Chunk:
        return Chunk(self.window.tokens(group, zero_s), group.vision_tokens, group)

    def renewal_due(self) -> bool:
        """Whether to begin a renewal in the background."""
        return self.renewal_error is None and self.window.renewal_due()

    def want_renewal(self) -> int:
        """Write the window anew before anything else. Returns how many renewals there have been: see `waits_for_renewal`."""
        self.wants_renewal, self.renewal_error = True, None
        return self.window.num_renewals

    def waits_for_renewal(self, num_before: int | None) -> bool:
        """Whether the renewal that was wanted then is still to come. Raises what it failed of."""
        if num_before != self.window.num_renewals:
            return False
        if self.renewal_error is not None:
            raise self.renewal_error
        return True

    def begin_renewal(self) -> None:
        """Write the window anew, beside the old one. Timestamp zero of an empty one is the group that waits for it."""
        groups = self.window.groups
        waiting = self.arrival.group.start_s if self.arrival is not None else self.window.zero_s
        context = KVSequence(self.model, self.pool)
        prefill = ChunkedPrefill(context, [Chunk(system_tokens(self.text))], self.text.image_pad)
        self.renewal = Renewal(self, context, groups[0].start_s if groups else waiting, deque(groups), prefill)

    def go_on_renewing(self) -> None:
        """The renewal's prefill is written: take up the groups that the window has to hold."""
        renewal = self.renewal
        assert renewal is not None, "expected a renewal"
        if not renewal.has_system_text:
            renewal.has_system_text = True
            renewal.context.skip(self.limits.recall_tokens)
        if renewal.todo and self.one_by_one:
            renewal.alone = renewal.todo.popleft()
            renewal.prefill = self.prefill(renewal.context, renewal.alone, renewal.zero_s)
        elif renewal.todo:
            chunks = [self._chunk(group, renewal.zero_s) for group in renewal.todo]
            renewal.todo.clear()
            renewal.prefill = ChunkedPrefill(renewal.context, chunks, self.text.image_pad)

    @property
    def is_renewed(self) -> bool:
        """Whether the new window is complete, and nothing is on its way into the old one."""
        renewal = self.renewal
        return renewal is not None and not renewal.todo and not renewal.prefill.left and self.draft is None

    def finish_renewal(self) -> None:
        assert self.renewal is not None, "expected a renewal"
        renewal, self.renewal, self.wants_renewal, self.one_by_one = self.renewal, None, False, False
        self.window.renewed(renewal.context, renewal.zero_s)

    def drop_renewal(self) -> None:
        """Give up a renewal; a later one begins from nothing."""
        if self.renewal is not None:
            self.renewal.prefill.close()
            self.renewal = None

    def give_up_renewal(self, error: Exception | None) -> None:
        """Give up a renewal: what waits for it fails with the `error`; with an error, none begins until somebody wants one."""
        self.drop_renewal()
        self.wants_renewal, self.renewal_error = False, error

    def fail_renewal(self, error: Exception) -> EncodedGroup | None:
        """Give up a renewal that raised. The next one looks for the group that did, and goes on without it: returns the group once it is
        found. Where it is none of them, what waits for a renewal fails."""
        renewal = self.renewal
        assert renewal is not None, "expected a renewal"
        self.drop_renewal()
        if renewal.alone is not None:
            self.window.drop_group(renewal.alone)
        elif renewal.has_system_text and not self.one_by_one:
            self.one_by_one = True
        else:
            self.give_up_renewal(error)
        return renewal.alone

    def finish_draft(self) -> None:
        """The group is written: it is part of the window, and of a renewal under way."""
        assert self.draft is not None, "expected a draft"
        draft, self.draft = self.draft, None
        self.window.context.adopt(draft.prefill.context)
        draft.prefill.close()
        self.num_settled += 1
        if self.renewal is not None and draft.arrival.encoded is not None:
            self.renewal.todo.append(draft.arrival.encoded)
            if not self.renewal.prefill.left:
                self.go_on_renewing()

    def put_back(self) -> None:
        """All pages are lost: the groups of the window come next again, then those that were on their way into it."""
        groups = self.window.groups
        on_their_way = [draft.arrival] if (draft := self.draft) is not None else []
        on_their_way += [self.arrival] if self.arrival is not None else []
        for arrival in on_their_way:
            arrival.renewals = None
            arrival.num_restarts += 1
        again = [PendingGroup(group=group, encoded=group, future=Future(), is_again=True) for group in groups]
        self.lost.extendleft(reversed([*again, *on_their_way]))
        self.num_settled -= len(groups)
        for context in self.contexts:
            context.abandon()
        self.arrival = self.draft = self.renewal = None

    def begin_again(self) -> None:
        """An empty window, with times as after a renewal, for groups that were put back. Raises what the device does."""
        again = [arrival.group for arrival in self.lost if arrival.is_again]
        context = begin_sequence(self.model, self.pool, self.text, self.limits)
        self.window.begin_again(context, again[0].start_s if again else None, again[-1].end_s if again else 0.0)

    def close(self) -> None:
        """Give all pages back."""
        self.closed = True
        if self.draft is not None:
            self.draft.prefill.close()
            self.draft = None
        self.drop_renewal()
        self.window.context.close()


@dataclass(slots=True, eq=False, kw_only=True)
class AnswerRequest:
    """A question, then its answer. `after`: groups of its stream that come first. `renewals`: how many there had been when it began to
    wait for one. `older`: the branch as it will be, while older groups are written for it. `cancelled` may be set by any thread;
    `has_ended` once `AnswerEnded` was emitted; `error`: why it is to fail."""

    stream: StreamState
    tail: Sequence[int]
    sampling: Sampling
    emit: Callable[[Output], None]
    peek: CanvasGroup | None = None
    since_s: float | None = None
    until_s: float | None = None
    recalled: Sequence[Recalled] = ()
    beside: bool = False
    after: int = 0
    asked_s: float = field(default_factory=time.perf_counter)
    encoded: EncodedGroup | None = None
    older: Branch | None = None
    prefill: ChunkedPrefill | None = None
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
        return [part.context for part in (self.prefill, self.older) if part is not None]
