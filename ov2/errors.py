"""Errors of the model side.

OV2Error
├── CanvasError       a group whose parts do not fit together
├── CheckpointError   a model folder that is missing, damaged or of another layout
├── PromptError       a question that cannot be asked (empty, or too long for the window)
└── SessionError      a session used outside its contract (no room left, closed)
    ├── PagesError    no page is free
    ├── PoolError     the pages' holders are miscounted: what they hold can no longer be relied upon
    ├── CapacityError the engine has no room for one more stream or question
    ├── RequestError  the work of one question, statement or group raised; it failed alone
    ├── DeviceError   the device has become unusable; the engine begins again
    ├── RestartError  the engine began again while a question or statement was under way
    └── ClosedError   the stream, or the engine, has ended
"""

from __future__ import annotations


class OV2Error(Exception):
    """Root of everything this package raises on bad input."""


class CanvasError(OV2Error, ValueError):
    """A group of canvases whose parts do not fit together."""


class CheckpointError(OV2Error):
    """A model folder that is missing, damaged or of another layout."""


class PromptError(OV2Error, ValueError):
    """A question that cannot be asked."""


class SessionError(OV2Error):
    """A session used outside its contract."""


class PagesError(SessionError):
    """No page is free for new tokens."""


class PoolError(SessionError, AssertionError):
    """The pages' holders are miscounted: a broken promise inside, after which what pages hold cannot be relied upon."""


class RequestError(SessionError):
    """The work of one question, statement or group raised, and failed alone. `__cause__` is what it raised."""


class DeviceError(SessionError):
    """The device has become unusable: nothing more can be computed on it as it is. `__cause__` is what showed it."""


class RestartError(SessionError):
    """The engine began again while a question or statement was under way: it may be asked again."""


class CapacityError(SessionError):
    """The engine has no room for one more stream or question."""


class ClosedError(SessionError):
    """The stream, or the engine, has ended."""
