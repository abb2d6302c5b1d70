"""What a WHIP or WHEP request is refused with.

    RefusalError(StreamError)   its HTTP status, a code to count it by, and headers

Shapes and words of the JSON body are those of the service: `{"error": {"code", "message", "expected", "got", "setting"}}`.
"""

from __future__ import annotations

from http import HTTPStatus

from stream.errors import StreamError

RETRY_AFTER_S = 2
"""Told to clients that come too early or too many."""


class RefusalError(StreamError):
    """A request that is answered with an error. `code` is a short word with underscores."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        expected: str = "",
        got: str = "",
        setting: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers or {}
        self._parts = {"expected": expected, "got": got, "setting": setting}

    def body(self) -> dict[str, dict[str, str]]:
        """The JSON answer."""
        return {"error": {"code": self.code, "message": str(self), **{key: text for key, text in self._parts.items() if text}}}


def unknown_camera(name: str, known: list[str]) -> RefusalError:
    listed = ", ".join(known) or "none"
    message = f"camera {name[:64]!r}: expected one of {listed}; add it to the configuration"
    return RefusalError(HTTPStatus.NOT_FOUND, "unknown_camera", message, expected=listed, got=name[:64], setting="cameras")


def not_for_publishers(name: str) -> RefusalError:
    message = f"camera {name}: expected a camera that is published to, got one with another url; set cameras.{name}.url: whip"
    return RefusalError(HTTPStatus.CONFLICT, "not_whip", message, expected="url: whip", setting=f"cameras.{name}.url")


def full(kind: str, limit: int, setting: str) -> RefusalError:
    message = f"expected at most {limit} {kind} at a time, and so many are here; come back later, or raise webrtc.{setting}"
    return RefusalError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "at_capacity",
        message,
        expected=f"at most {limit} {kind}",
        setting=f"webrtc.{setting}",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def stopping() -> RefusalError:
    message = "the service is stopping"
    return RefusalError(
        HTTPStatus.SERVICE_UNAVAILABLE, "stopping", message, headers={"Retry-After": str(RETRY_AFTER_S)}
    )  # fmt: skip


def taken(name: str) -> RefusalError:
    message = (
        f"camera {name}: somebody with another token publishes to it; end that session first, "
        "or publish with the same token, which takes it over"
    )
    return RefusalError(HTTPStatus.CONFLICT, "taken", message, headers={"Retry-After": str(RETRY_AFTER_S)})


def not_live(name: str) -> RefusalError:
    message = f"camera {name}: expected a live picture, nothing comes right now; try again"
    return RefusalError(HTTPStatus.CONFLICT, "not_live", message, headers={"Retry-After": str(RETRY_AFTER_S)})


def not_h264(name: str, codec: str) -> RefusalError:
    message = f"camera {name}: a live view needs H.264, got {codec}; set the camera or its sub-stream to H.264"
    return RefusalError(HTTPStatus.CONFLICT, "not_h264", message, expected="h264", got=codec, setting=f"cameras.{name}.url")


def no_session() -> RefusalError:
    message = "expected the URL of a session that runs, as its Location header told; this one has ended or never was"
    return RefusalError(HTTPStatus.NOT_FOUND, "no_session", message)


def bad_sdp(message: str, *, status: int = HTTPStatus.UNPROCESSABLE_ENTITY, code: str = "bad_sdp") -> RefusalError:
    return RefusalError(status, code, message)


def missing_library() -> RefusalError:
    message = "WebRTC needs aiortc, which is not installed; pip install 'ov2-live[webrtc]'"
    return RefusalError(HTTPStatus.NOT_IMPLEMENTED, "no_webrtc", message, expected="ov2-live[webrtc]")
