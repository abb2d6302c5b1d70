"""What callers hold of an engine: a stream, and the replies to what they ask of it.

In: groups, questions and statements from any thread. Out: replies that are read piece by piece, margins. A call never waits for the
device unless it says so.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Protocol, TypeVar, Unpack

from ov2.canvas import CanvasGroup
from ov2.engine.scheduler import Scheduler
from ov2.engine.score_request import ScoreRequest
from ov2.engine.stream_state import AnswerRequest, StreamState
from ov2.engine.work import AnswerEnded, AnswerStarted, Output, PendingGroup, Recalled
from ov2.errors import ClosedError, PromptError, SessionError
from ov2.prompt import question_tokens
from ov2.sampling import Sampling, SamplingOptions
from ov2.segment import EncodedGroup
from ov2.session_settings import Limits
from ov2.text import TextTokenizer

log = logging.getLogger(__name__)
Result = TypeVar("Result")


class Driver(Protocol):
    """Who steps the scheduler: a thread (`ov2.engine.engine.Engine`), or the caller (`ov2.engine.stepper.Stepper`)."""

    @property
    def alive(self) -> bool: ...

    @property
    def has_ended(self) -> bool: ...

    def call(self, work: Callable[[], Result]) -> Result: ...

    def post(self, work: Callable[[], None]) -> None: ...

    def next_output(self, outputs: queue.SimpleQueue[Output]) -> Output: ...

    def cancel(self, question: AnswerRequest) -> None: ...

    def take_question(self) -> None: ...

    def end_question(self) -> None: ...


class Stream:
    """One stream of an engine, for any thread."""

    def __init__(self, engine: Driver, scheduler: Scheduler, text: TextTokenizer, state: StreamState) -> None:
        self._engine, self._scheduler, self._text, self._state = engine, scheduler, text, state

    @property
    def name(self) -> str:
        return self._state.name

    @property
    def limits(self) -> Limits:
        """The settings in force."""
        return self._state.limits

    @property
    def window(self) -> tuple[float, float] | None:
        """Media seconds (start, end) in the window; None before the first group."""
        return self._state.window.span_s

    @property
    def num_tokens(self) -> int:
        """Tokens in the window, the system text included."""
        return self._state.window.num_tokens

    @property
    def pressure(self) -> float:
        """How full the queue of waiting groups is, 0 to 1: a tokenizer that makes fewer, longer groups relieves it."""
        return min(1.0, len(self._state.waiting) / self._state.max_waiting)

    @property
    def skipped(self) -> dict[str, int]:
        """Groups that were left out, by reason."""
        return dict(self._state.skipped)

    def append(self, group: CanvasGroup) -> Future[EncodedGroup]:
        """Take a closed group in; does not wait. The future gives its vision tokens when it is written, or why it was left out:
        `SessionError` when it is larger than the window or older than the last one, `CapacityError` when the device is behind."""
        arrival = PendingGroup(group=group, future=Future())
        self._post(lambda: self._scheduler.append(self._state, arrival))
        return arrival.future

    def ask(
        self,
        question: str,
        *,
        peek: CanvasGroup | None = None,
        since_s: float | None = None,
        until_s: float | None = None,
        recalled: Sequence[CanvasGroup] = (),
        beside: bool = False,
        **options: Unpack[SamplingOptions],
    ) -> Reply:
        """Ask on a branch that sees the groups appended before, the still-open group `peek`, and the question; the stream stays as it is.

        `since_s`, `until_s`: only groups of the window that end later, and begin earlier. `recalled`: older groups in order of time, which
        are read instead of the window, with times from the first of them; `beside` the window, in the room that `recall_tokens`
        keeps, where it is true. `options`: fields of `Sampling`. Returns at once; iterate over the reply for
        pieces of text. Raises `PromptError`
        when the question is empty or the sampling is out of range, `CapacityError` when too many wait; a question that does not fit
        beside the window fails when it is read.
        """
        outputs: queue.SimpleQueue[Output] = queue.SimpleQueue()
        sampling = Sampling(**options)
        return Reply(
            self.submit(
                question, outputs.put, sampling, peek=peek, since_s=since_s, until_s=until_s, recalled=recalled, beside=beside
            ),
            outputs,
            self._engine,
        )

    def submit(
        self,
        question: str,
        emit: Callable[[Output], None],
        sampling: Sampling | None = None,
        *,
        peek: CanvasGroup | None = None,
        since_s: float | None = None,
        until_s: float | None = None,
        recalled: Sequence[CanvasGroup] = (),
        beside: bool = False,
    ) -> AnswerRequest:
        """`ask` for callers with an event loop: `emit` is called on the device's thread, which must not be held up."""
        tail = question_tokens(self._text, question)
        sampling = sampling or Sampling()
        most = self.limits.max_positions - self.limits.recall_tokens
        if sampling.max_tokens > most:
            raise PromptError(
                f"max_tokens: expected at most {most}, the positions of a window, got {sampling.max_tokens}; ask for fewer"
            )
        engine = self._engine

        def emit_and_count(item: Output) -> None:
            if isinstance(item, AnswerEnded):
                engine.end_question()
            try:
                emit(item)
            except Exception as error:  # a listener's trouble is its own
                log.exception("stream %s: a listener failed, and its question with it", self.name)
                asked.fail(error)

        asked = AnswerRequest(
            stream=self._state,
            tail=tail,
            sampling=sampling,
            emit=emit_and_count,
            peek=peek,
            since_s=since_s,
            until_s=until_s,
            recalled=[Recalled(group) for group in recalled],
            beside=beside,
        )
        engine.take_question()
        try:
            self._post(lambda: self._scheduler.ask(asked))
        except SessionError:
            engine.end_question()
            raise
        return asked

    def judge(
        self, statements: Sequence[str], *, peek: CanvasGroup | None = None, within_s: float | None = None
    ) -> list[float]:
        """Margins of statements about the window and the still-open group `peek`: log-odds that each holds, as far as the checkpoint is
        calibrated; all of them in one pass over the window.

        Waits for the device. A statement that is a question is asked as it is. `within_s`: raises `CapacityError` when the device does not
        get to it in time. Raises `PromptError` for an empty statement.
        """
        return self.judge_soon(statements, peek=peek, within_s=within_s).result() if statements else []

    def judge_soon(
        self, statements: Sequence[str], *, peek: CanvasGroup | None = None, within_s: float | None = None
    ) -> Future[list[float]]:
        """`judge` that does not wait: what it would return or raise is in the future, save `PromptError` for an empty statement."""
        tails = [self._scheduler.verdict.tail(statement) for statement in statements]
        future: Future[list[float]] = Future()
        request = ScoreRequest(stream=self._state, tails=tails, future=future, peek=peek, within_s=within_s)
        self._post(lambda: self._scheduler.judge(request))
        return future

    def encode(self, group: CanvasGroup) -> EncodedGroup:
        """Vision tokens of a group that is not appended, a peek for one; waits for the device."""
        return self._engine.call(lambda: self._scheduler.encode(group))

    def wait(self, timeout_s: float | None = None) -> None:
        """Until all groups appended so far are written or left out. Raises `TimeoutError`."""
        future: Future[None] = Future()
        self._post(lambda: self._scheduler.notify_when_settled(self._state, future))
        future.result(timeout_s)

    def renew(self, timeout_s: float | None = None) -> None:
        """Write the window anew now, from position and timestamp zero; it is done by itself when a trained limit comes near. Waits for the
        device. Raises `TimeoutError`."""
        future: Future[None] = Future()
        self._post(lambda: self._scheduler.renew(self._state, future))
        future.result(timeout_s)

    def count_shed(self, reason: str) -> None:
        """Count among the engine's figures what the caller put off because of `pressure`."""
        self._post(lambda: self._scheduler.count_shed(reason))

    def close(self) -> None:
        """End the stream: answers are cut short, pages are free. Closing twice is fine."""
        if not self._state.closed and not self._engine.has_ended:
            self._engine.call(lambda: self._scheduler.close(self._state) if not self._state.closed else None)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _post(self, work: Callable[[], None]) -> None:
        if self._state.closed and self._engine.alive:
            raise ClosedError(f"stream {self.name!r}: expected an open one, got one that is closed")
        self._engine.post(work)


class Reply(Iterator[str]):
    """An answer while it is written: iterate for pieces of text; close it, or let it go, and the device stops writing.

    `started` tells what it sees, once it has begun. After the last piece: `text`, `num_tokens`, `first_token_s` from the question to the
    first token, `finish_reason` (`stop`, `length`, `cancelled`). Iterating raises `PromptError` or `SessionError` when it failed.
    """

    def __init__(self, question: AnswerRequest, outputs: queue.SimpleQueue[Output], engine: Driver) -> None:
        self._question, self._outputs, self._engine = question, outputs, engine
        self.started: AnswerStarted | None = None
        self.ended: AnswerEnded | None = None
        self.text = ""

    @property
    def num_tokens(self) -> int:
        return self.ended.num_tokens if self.ended is not None else 0

    @property
    def prompt_tokens(self) -> int:
        """Tokens read for this question alone."""
        return self.started.prompt_tokens if self.started is not None else 0

    @property
    def first_token_s(self) -> float | None:
        return self._question.first_token_s

    @property
    def finish_reason(self) -> str | None:
        return self.ended.finish_reason if self.ended is not None else None

    @property
    def window(self) -> tuple[float, float] | None:
        """Media seconds (start, end) that the answer saw."""
        return self.started.window if self.started is not None else None

    def __next__(self) -> str:
        while self.ended is None:
            if piece := self._take():
                return piece
        raise StopIteration

    def begin(self) -> None:
        """Wait until `started` is there. Raises as iterating does."""
        while self.started is None and self.ended is None:
            self._take()

    def _take(self) -> str:
        """The next piece, or nothing when something else has come; what is written of an answer that was closed is left out."""
        item = self._engine.next_output(self._outputs)
        if isinstance(item, str):
            if self._question.cancelled:
                return ""
            self.text += item
            return item
        if isinstance(item, AnswerStarted):
            self.started = item
            return ""
        self.ended = item
        if item.error is not None:
            raise item.error
        return ""

    def close(self) -> None:
        """Stop writing; no more pieces come. Closing twice is fine."""
        self._engine.cancel(self._question)

    def __enter__(self) -> Reply:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self._engine.cancel(self._question)
