"""Errors of the service, each with the HTTP status it becomes.

    ServeError(StreamError)
    ├── MalformedError       400: what came is no HTTP
    ├── SlowHeadersError     408: headers that did not come in time
    ├── SlowBodyError        408: a body that did not come in time
    ├── LargeBodyError       413: a body longer than it may be
    ├── WrongTypeError       415: a body that is no JSON by its own word
    ├── JsonError            422: a body that cannot be read as JSON
    ├── RequestError         422: a request that makes no sense, and is neither a question nor a watch
    ├── UnknownCameraError   404: no camera of that name
    ├── UnknownWatchError    404: the camera has no watch of that name
    ├── NoMediaError         404: no picture or clip of that
    ├── RangeError           416: a Range of a file that it does not have
    ├── QuestionError        422: a question that cannot be asked
    ├── WatchError           422: a watch that cannot be kept
    ├── NotReadyError        503: nothing has been seen yet, or the service is stopping; Retry-After
    ├── CapacityError        503: as many questions or clips as are allowed are already there; Retry-After
    ├── ConnectionsError     503: as many connections as are allowed are here; Retry-After
    ├── FollowersError       503: as many followers of events as are allowed are here; Retry-After
    ├── UnreadableError      503: the journal cannot be read now; Retry-After
    ├── ClipError            503: a clip cannot be cut now: the recording or the disk is in trouble; Retry-After
    ├── UnkeptError          503: a watch cannot be written down now, so nothing has changed; Retry-After
    └── StartError           the service cannot start (port in use)

`expected`, `got` and `setting` are told apart, so that a client need not read prose.
"""

from __future__ import annotations

from stream.errors import StreamError

RETRY_AFTER_S = 1
"""Told to clients that come too early or too many."""


class ServeError(StreamError):
    """Root of what the service answers instead of an answer."""

    status = 500
    code = "internal"

    def __init__(self, message: str, *, expected: str = "", got: str = "", setting: str = "", retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.expected = expected
        self.got = got
        self.setting = setting
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, dict[str, str]]:
        """The JSON answer."""
        parts = {"expected": self.expected, "got": self.got, "setting": self.setting}
        return {"error": {"code": self.code, "message": str(self), **{key: value for key, value in parts.items() if value}}}


class MalformedError(ServeError):
    """What came is no HTTP."""

    status = 400
    code = "bad_http"


class SlowHeadersError(ServeError):
    """Headers that did not come in time."""

    status = 408
    code = "slow_headers"


class SlowBodyError(ServeError):
    """A body that did not come in time."""

    status = 408
    code = "slow_body"


class LargeBodyError(ServeError):
    """A body longer than it may be."""

    status = 413
    code = "too_large"


class WrongTypeError(ServeError):
    """A body that is no JSON by its own word."""

    status = 415
    code = "wrong_type"


class JsonError(ServeError):
    """A body that cannot be read as JSON."""

    status = 422
    code = "bad_json"


class RequestError(ServeError):
    """A request that makes no sense, and is neither a question nor a watch."""

    status = 422
    code = "bad_request"


class UnknownCameraError(ServeError):
    """No camera of that name."""

    status = 404
    code = "unknown_camera"


class NoMediaError(ServeError):
    """No picture or clip of that."""

    status = 404
    code = "no_media"


class RangeError(ServeError):
    """A Range of a file that it does not have."""

    status = 416
    code = "bad_range"


class UnknownWatchError(ServeError):
    """The camera has no watch of that name."""

    status = 404
    code = "unknown_watch"


class WatchError(ServeError):
    """A watch that cannot be kept."""

    status = 422
    code = "bad_watch"


class QuestionError(ServeError):
    """A question that cannot be asked."""

    status = 422
    code = "bad_question"


class NotReadyError(ServeError):
    """Nothing has been seen yet, or the service is stopping."""

    status = 503
    code = "not_ready"


class CapacityError(ServeError):
    """As many questions, zones or clips as are allowed are already there."""

    status = 503
    code = "at_capacity"


class ConnectionsError(ServeError):
    """As many connections as are allowed are here."""

    status = 503
    code = "too_many_connections"


class FollowersError(ServeError):
    """As many followers of events as are allowed are here."""

    status = 503
    code = "too_many_followers"


class UnreadableError(ServeError):
    """The journal cannot be read now."""

    status = 503
    code = "journal_unreadable"


class ClipError(ServeError):
    """A clip cannot be cut now: the recording or the disk is in trouble."""

    status = 503
    code = "clip_not_cut"


class UnkeptError(ServeError):
    """A watch cannot be written down now, so nothing has changed."""

    status = 503
    code = "watch_not_kept"


class StartError(ServeError):
    """The service cannot start."""

    code = "cannot_start"


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
