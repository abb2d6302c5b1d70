"""What a reader process and its owner say to each other.

In: nothing. Out: the owner's orders, and the reader's words beside `Sample`s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Order(NamedTuple):
    """Open this and read it. `options`: keyword arguments of `open_source`."""

    url: str
    options: Mapping[str, Any]


class Opened(NamedTuple):
    """The source is open. `codec`: FFmpeg's name."""

    codec: str


class Skipped(NamedTuple):
    """What came and was no whole picture so far, by reason."""

    counts: dict[str, int]


class Ended(NamedTuple):
    """The stream has ended, or was told to. The process waits for its next order."""


class Failed(NamedTuple):
    """It could not be opened, or it broke. `kind`: the name of our error. The process waits for its next order; with a `reason`, that of a
    `TooLargeError`, it ends, and its memory with it."""

    kind: str
    message: str
    reason: str = ""


STOP = "stop"
"""The order to let the present source go."""
QUIT = "quit"
"""The order to let it go and end."""
