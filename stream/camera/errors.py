"""Errors of what is asked of a camera: each names what was expected, what came, and the setting.

ServiceError(StreamError), in `stream.errors`
├── QuestionError        a question that cannot be asked
├── NotReadyError        nothing has been seen yet, or the service is stopping: ask again
└── AtCapacityError      as many questions or clips as are allowed are already there
"""

from __future__ import annotations

from ov2.errors import ClosedError, PromptError, RequestError, RestartError
from stream.errors import ServiceError

RETRY_AFTER_S = 1
"""Told to clients that come too early or too many."""


class QuestionError(ServiceError):
    """A question that cannot be asked."""

    status = 422
    code = "bad_question"


class NotReadyError(ServiceError):
    """Nothing has been seen yet, or the service is stopping."""

    status = 503
    code = "not_ready"


class AtCapacityError(ServiceError):
    """As many questions, zones or clips as are allowed are already there."""

    status = 503
    code = "at_capacity"


def stopping() -> NotReadyError:
    """The answer to a question while the service goes down."""
    return NotReadyError("the service is stopping", expected="a running service", got="one that is stopping", retry_after_s=5)


def begun_again() -> NotReadyError:
    """The answer to a question that was under way when the engine began again."""
    return NotReadyError(
        "engine: expected a device that computes, it has begun again; ask again",
        expected="a device that computes",
        got="an engine that began again",
        retry_after_s=RETRY_AFTER_S,
    )


def nothing_seen(camera: str) -> NotReadyError:
    """The answer to a question before the first frame."""
    return _too_early(camera, "at least one frame")


def no_group(camera: str) -> NotReadyError:
    """The answer to a wish for canvases before the first group has closed."""
    return _too_early(camera, "at least one closed group")


def _too_early(camera: str, expected: str) -> NotReadyError:
    message = f"camera {camera}: expected {expected}, none has come yet; ask again"
    return NotReadyError(message, expected=expected, got="none yet", retry_after_s=RETRY_AFTER_S)


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
