"""Errors of the stream side.

StreamError
├── SourceError       a camera or file that cannot be opened or read (credentials are never in the text)
├── CodecError        a stream whose codec we cannot take evidence from
├── SettingsError     a setting that is unknown or out of range
├── PacketLogError    a packet log that cannot be read or written, or a clip that cannot be cut from it
├── PublishError      an MQTT broker, or another sink of events, that cannot be reached
│   └── DeliveryRefusedError   a sink that will never take this entry: it is left out, and the loss announced
├── PacketError       a client of the embedded broker that breaks MQTT's rules; its connection ends
├── JournalError      a journal that cannot be read or written now: a full disk, a Redis that is away
└── RecallError       a memory that cannot be opened, or a time that cannot be recalled
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


class PacketLogError(StreamError):
    """A packet log that cannot be read or written, or a clip that cannot be cut from it."""


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
