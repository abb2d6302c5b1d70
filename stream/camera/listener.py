"""What the engine tells of a question, as the service tells it.

In: the engine's words, on its thread. Out: the question's `Started`, `Piece`s, then `Finished` or `Refused`.
"""

from __future__ import annotations

from collections.abc import Callable

from ov2.engine.work import Ended, Output
from ov2.engine.work import Started as Begun
from ov2.errors import ClosedError, PromptError, RequestError, RestartError
from stream.camera.errors import QuestionError, begun_again, stopping
from stream.camera.question import Finished, Piece, Question, Refused, Seen, Started, Timings
from stream.errors import ServiceError


class Listener:
    """Turns what the engine tells into what the service tells."""

    def __init__(self, question: Question, seen: Callable[[Begun], Seen]) -> None:
        self._question, self._seen_by = question, seen
        self._begun: Begun | None = None
        self._seen: Seen | None = None
        self._pieces: list[str] = []

    def tell(self, told: Output) -> None:
        """Called by the engine's thread."""
        if isinstance(told, str):
            self._pieces.append(told)
            self._question.tell(Piece(told))
        elif isinstance(told, Begun):
            self._begun, self._seen = told, self._seen_by(told)
            self._question.tell(Started(self._seen))
        elif told.error is not None:
            self._question.tell(Refused(refusal(told.error)))
        elif told.finish_reason != "cancelled" and self._begun is not None and self._seen is not None:
            self._question.tell(self._finished(told, self._begun, self._seen))

    def _finished(self, ended: Ended, begun: Begun, seen: Seen) -> Finished:
        timings = Timings(
            queue_ms=1000 * begun.queue_s,
            catch_up_ms=1000 * begun.catch_up_s,
            first_token_ms=1000 * (ended.first_token_s or 0.0),
            total_ms=self._question.elapsed_ms(),
        )
        return Finished("".join(self._pieces).strip(), ended.finish_reason, ended.num_tokens, seen, timings)


def refusal(error: Exception) -> ServiceError:
    """What of an error of the engine is told outside: of one that nobody expected, its kind alone."""
    if isinstance(error, PromptError):
        return unanswerable(error)
    if isinstance(error, RequestError):
        if isinstance(error.__cause__, ServiceError):
            return error.__cause__
        return ServiceError(
            f"question: expected an answer, got {type(error.__cause__).__name__} on the way to it; the service's log says more",
            expected="an answer",
            got=type(error.__cause__).__name__,
        )
    if isinstance(error, RestartError):
        return begun_again()
    return stopping() if isinstance(error, ClosedError) else ServiceError(str(error))


def unanswerable(error: PromptError) -> QuestionError:
    return QuestionError(str(error), expected="a question that fits beside the window", setting="session.branch_tokens")
