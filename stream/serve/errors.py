"""Errors of the service, each with the HTTP status it becomes; those of a camera's questions are in `stream.camera.errors`.

    ServiceError(StreamError), in `stream.errors`
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
    ├── WatchError           422: a watch that cannot be kept
    ├── ConnectionsError     503: as many connections as are allowed are here; Retry-After
    ├── FollowersError       503: as many followers of events as are allowed are here; Retry-After
    ├── UnreadableError      503: the journal cannot be read now; Retry-After
    ├── ClipError            503: a clip cannot be cut now: the recording or the disk is in trouble; Retry-After
    ├── UnkeptError          503: a watch cannot be written down now, so nothing has changed; Retry-After
    └── StartError           the service cannot start (port in use)

`expected`, `got` and `setting` are told apart, so that a client need not read prose.
"""

from __future__ import annotations

from stream.errors import ServiceError


class MalformedError(ServiceError):
    """What came is no HTTP."""

    status = 400
    code = "bad_http"


class SlowHeadersError(ServiceError):
    """Headers that did not come in time."""

    status = 408
    code = "slow_headers"


class SlowBodyError(ServiceError):
    """A body that did not come in time."""

    status = 408
    code = "slow_body"


class LargeBodyError(ServiceError):
    """A body longer than it may be."""

    status = 413
    code = "too_large"


class WrongTypeError(ServiceError):
    """A body that is no JSON by its own word."""

    status = 415
    code = "wrong_type"


class JsonError(ServiceError):
    """A body that cannot be read as JSON."""

    status = 422
    code = "bad_json"


class RequestError(ServiceError):
    """A request that makes no sense, and is neither a question nor a watch."""

    status = 422
    code = "bad_request"


class UnknownCameraError(ServiceError):
    """No camera of that name."""

    status = 404
    code = "unknown_camera"


class NoMediaError(ServiceError):
    """No picture or clip of that."""

    status = 404
    code = "no_media"


class RangeError(ServiceError):
    """A Range of a file that it does not have."""

    status = 416
    code = "bad_range"


class UnknownWatchError(ServiceError):
    """The camera has no watch of that name."""

    status = 404
    code = "unknown_watch"


class WatchError(ServiceError):
    """A watch that cannot be kept."""

    status = 422
    code = "bad_watch"


class ConnectionsError(ServiceError):
    """As many connections as are allowed are here."""

    status = 503
    code = "too_many_connections"


class FollowersError(ServiceError):
    """As many followers of events as are allowed are here."""

    status = 503
    code = "too_many_followers"


class UnreadableError(ServiceError):
    """The journal cannot be read now."""

    status = 503
    code = "journal_unreadable"


class ClipError(ServiceError):
    """A clip cannot be cut now: the recording or the disk is in trouble."""

    status = 503
    code = "clip_not_cut"


class UnkeptError(ServiceError):
    """A watch cannot be written down now, so nothing has changed."""

    status = 503
    code = "watch_not_kept"


class StartError(ServiceError):
    """The service cannot start."""

    code = "cannot_start"
