"""Errors of the stream side.

StreamError
├── SourceError       a camera or file that cannot be opened or read (credentials are never in the text)
│   └── TooLargeError          what came is larger than what is taken: a picture, its bytes, the memory that it needs
├── CodecError        a stream whose codec we cannot take evidence from
├── SettingsError     a setting that is unknown or out of range
├── PacketLogError    a packet log that cannot be read or written
│   └── StretchError  a stretch of time that a packet log cannot give; its text names no path
├── FolderTakenError  a folder that another process writes
├── PublishError      an MQTT broker, or another sink of events, that cannot be reached
│   └── DeliveryRefusedError   a sink that will never take this entry: it is left out, and the loss announced
├── PacketError       a client of the embedded broker that breaks MQTT's rules; its connection ends
├── JournalError      a journal that cannot be read or written now: a full disk, a Redis that is away
├── RecallError       a memory that cannot be opened, or a time that cannot be recalled
└── ServiceError      what is answered instead of an answer: `stream.camera.errors`, `stream.serve.errors`
"""

from __future__ import annotations


class StreamError(Exception):
    """Root of everything this package raises on bad input."""


class SourceError(StreamError):
    """A camera or file that cannot be opened or read."""


class TooLargeError(SourceError):
    """What came is larger than what is taken. `reason`: the word under which it is counted."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason

    def at(self, place: str) -> TooLargeError:
        """The same, with the camera or the address in front."""
        return TooLargeError(self.reason, f"{place}: {self}")


class CodecError(StreamError):
    """A stream whose codec we cannot take evidence from."""


class SettingsError(StreamError, ValueError):
    """A setting that is unknown or out of range."""


class PacketLogError(StreamError):
    """A packet log that cannot be read or written."""


class StretchError(PacketLogError):
    """A stretch of time that a packet log cannot give: not recorded, no time at all, too long for a clip. Its text names no path."""


class FolderTakenError(StreamError):
    """A folder that another process writes."""


class PublishError(StreamError):
    """An MQTT broker, or another sink of events, that cannot be reached."""


class DeliveryRefusedError(PublishError):
    """A sink that will never take this entry: it is left out, and the loss announced."""


class PacketError(StreamError):
    """A client of the embedded broker that breaks MQTT's rules; its connection ends."""


class JournalError(StreamError):
    """A journal that cannot be read or written now: a full disk, a Redis that is away."""


class RecallError(StreamError):
    """A memory that cannot be opened, or a time that cannot be recalled."""


class ServiceError(StreamError):
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
