"""The one thread that owns the model: answers, questions, appends, in that order.

In: questions (bounded; more are refused) and groups that wait in the feeds. Out: answers, told to each question's bridge. A
turn gives every running answer one piece, takes up one waiting question, appends one group. So a long answer never holds up
ingest, and ingest never holds up an answer by more than one group.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ov2.answer import Answer
from ov2.errors import OV2Error, PromptError
from stream.serve.errors import (
    RETRY_AFTER_S,
    CapacityError,
    NotReadyError,
    QuestionError,
    ServeError,
    nothing_seen,
)
from stream.serve.feed import Feed
from stream.serve.question import Finished, Piece, Question, Refused, Seen, Started, Timings

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Branch:
    """An answer on its way."""

    question: Question
    answer: Answer
    seen: Seen
    queue_ms: float
    catch_up_ms: float
    first_token_ms: float = 0.0

    def finished(self) -> Finished:
        timings = Timings(
            queue_ms=self.queue_ms,
            catch_up_ms=self.catch_up_ms,
            first_token_ms=self.first_token_ms,
            total_ms=self.question.elapsed_ms(),
        )
        answer = self.answer
        return Finished(answer.text.strip(), answer.finish_reason or "stop", answer.num_tokens, self.seen, timings)


class Device:
    """`start()`, then `submit(question)` from anywhere, then `stop()`. `on_failure` is told when the thread dies of a bug."""

    def __init__(
        self,
        *,
        max_questions: int = 16,
        max_branches: int = 4,
        on_failure: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self.failure: BaseException | None = None
        self.busy_s = 0.0
        self._feeds: dict[str, Feed] = {}
        self._max_questions = max_questions
        self._max_branches = max_branches
        self._on_failure = on_failure
        self._turn = threading.Condition()
        self._waiting: deque[Question] = deque()
        self._branches: list[_Branch] = []
        self._stopping = False
        self._next_feed = 0
        self._thread = threading.Thread(target=self._main, name="device", daemon=True)

    def add(self, feed: Feed) -> None:
        """Own a camera's session from now on."""
        self._feeds[feed.name] = feed

    def start(self) -> None:
        self._thread.start()

    def refuse(self) -> None:
        """Take no more work; what waits or runs is refused by the thread on its way out."""
        with self._turn:
            self._stopping = True
            self._turn.notify()

    def stop(self, timeout_s: float = 3.0) -> None:
        """Refuse, and join the thread."""
        self.refuse()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def wake(self) -> None:
        """A feed has a group."""
        with self._turn:
            self._turn.notify()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and self.failure is None

    @property
    def num_questions(self) -> int:
        """Waiting and running."""
        return len(self._waiting) + len(self._branches)

    def submit(self, question: Question) -> None:
        """Queue a question. Raises `CapacityError` when too many wait, `NotReadyError` when the device is going down."""
        with self._turn:
            if self._stopping or self.failure is not None:
                raise _stopping()
            if self.num_questions >= self._max_questions:
                raise CapacityError(
                    f"questions: expected at most {self._max_questions} at a time, all places are taken; ask again",
                    expected=f"at most {self._max_questions} questions at a time",
                    got=str(self.num_questions + 1),
                    setting="server.max_questions",
                    retry_after_s=RETRY_AFTER_S,
                )
            self._waiting.append(question)
            self._turn.notify()

    def _main(self) -> None:
        try:
            while self._wait():
                began = time.perf_counter()
                self._step()
                self.busy_s += time.perf_counter() - began
        except BaseException as error:
            self.failure = error
            log.exception("device: the thread that owns the model has died")
            self._on_failure(error)
            raise
        finally:
            self._refuse_all()

    def _wait(self) -> bool:
        with self._turn:
            self._turn.wait_for(lambda: self._stopping or self._branches or self._waiting or self._hungry())
            return not self._stopping

    def _hungry(self) -> bool:
        return any(feed.waiting for feed in self._feeds.values())

    def _step(self) -> None:
        """One turn, in the order of DESIGN section 8."""
        self._branches = [branch for branch in self._branches if self._decode(branch)]
        if self._waiting and len(self._branches) < self._max_branches:
            with self._turn:
                question = self._waiting.popleft()
            self._begin(question)
        self._append()

    def _decode(self, branch: _Branch) -> bool:
        """One piece of one answer. False when it is over."""
        question = branch.question
        if question.cancelled:
            branch.answer.close()
            return False
        try:
            piece = next(branch.answer, None)
        except OV2Error as error:
            question.tell(Refused(ServeError(str(error))))
            return False
        if not branch.first_token_ms:
            branch.first_token_ms = question.elapsed_ms()
            question.tell(Started(branch.seen))
        if piece is None:
            question.tell(branch.finished())
            return False
        question.tell(Piece(piece))
        return True

    def _begin(self, question: Question) -> None:
        if question.cancelled:
            return
        queue_ms = question.elapsed_ms()
        try:
            begun = self._feeds[question.camera].ask(question.text, question.sampling)
        except PromptError as error:
            question.tell(Refused(_unanswerable(error)))
            return
        except OV2Error as error:
            question.tell(Refused(ServeError(str(error))))
            return
        if begun is None:
            question.tell(Refused(nothing_seen(question.camera)))
            return
        seen, answer = begun
        branch = _Branch(question, answer, seen, queue_ms, question.elapsed_ms() - queue_ms)
        if self._decode(branch):
            self._branches.append(branch)

    def _append(self) -> None:
        """One group, the cameras in turn."""
        feeds = list(self._feeds.values())
        for offset in range(len(feeds)):
            place = (self._next_feed + offset) % len(feeds)
            if feeds[place].waiting and feeds[place].append_one():
                self._next_feed = place + 1
                return

    def _refuse_all(self) -> None:
        with self._turn:
            self._stopping = True
            waiting, self._waiting = list(self._waiting), deque()
        for branch in self._branches:
            branch.answer.close()
        for question in [*waiting, *(branch.question for branch in self._branches)]:
            question.tell(Refused(_stopping()))
        self._branches = []


def _unanswerable(error: PromptError) -> QuestionError:
    return QuestionError(str(error), expected="a question that fits beside the window", setting="session.branch_tokens")


def _stopping() -> NotReadyError:
    return NotReadyError("the service is stopping", expected="a running service", got="one that is stopping", retry_after_s=5)
