"""Errors of the stream side.

StreamError
├── SourceError       a camera or file that cannot be opened or read (credentials are never in the text)
├── CodecError        a stream whose codec we cannot take evidence from
├── SettingsError     a setting that is unknown or out of range
└── PublishError      an MQTT broker that cannot be reached
"""

from __future__ import annotations


class StreamError(Exception):
    """Root of everything this package raises on bad input."""


class SourceError(StreamError):
    """A camera or file that cannot be opened or read."""


class CodecError(StreamError):
    """A stream whose codec we cannot take evidence from."""


class SettingsError(StreamError, ValueError):
    """A setting that is unknown or out of range."""


class PublishError(StreamError):
    """An MQTT broker that cannot be reached."""
