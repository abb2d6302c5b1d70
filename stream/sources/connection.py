"""How a camera is connected, whatever lies behind: a process that reads RTSP, a WebRTC publisher, a recorded log.

In: nothing. Out: the two protocols between a camera's supervisor and the ways in. Nothing in them may hang: every wait has an end,
and the connector's `close` ends any wait from another thread.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from stream.sources.sample import Sample


class Connection(Protocol):
    """One connection that is open. `skipped` counts, by reason, what came and was no whole picture."""

    @property
    def skipped(self) -> Counter[str]: ...

    def get(self, timeout_s: float | None) -> Sample | None:
        """The next sample; None at the end of the stream. Raises `TimeoutError` when none comes in `timeout_s` (None: waits until
        the connector is closed), `SourceError` when the connection broke."""

    def close(self) -> None:
        """Let everything go, by the thread that gets; may be called twice."""


class Connector(Protocol):
    """Opens one connection after another to the same camera."""

    @property
    def waits(self) -> bool:
        """Whether connecting means to wait for the other side to come (a publisher), for as long as it takes."""

    @property
    def ends(self) -> bool:
        """Whether the end of the stream is the end of the source (a file), not a camera that left."""

    def connect(self) -> Connection:
        """Raises `SourceError` (unreachable, refused) and `CodecError`; `TimeoutError` where it `waits` and nobody has come yet."""

    def close(self) -> None:
        """For good, from another thread: a `connect` or `get` that waits ends soon, later ones fail at once."""
