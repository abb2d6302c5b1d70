"""What a source on the web may take before it gives a picture: requests, time and bytes.

A playlist may have no end, name thousands of others, or itself; an answer may go on for ever and hold nothing. FFmpeg would read it all.

In: requests and bytes as they come. Out: nothing, or the error of a source that goes too far, without its address.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from stream.errors import SourceError, TooLargeError
from stream.sources.limits import LARGE_PLAYLIST, IngestLimits

MAX_OPENING_REQUESTS = 256
"""Playlists and segments before the first picture. A playlist of twenty renditions needs a hundred."""
_UNITS_PER_PICTURE = 4
"""Bytes from one picture to the next, in largest access units: sound and other programmes come between them."""
MAX_PLAYLIST_BYTES = 4 << 20
"""A day in segments of two seconds; FFmpeg holds twenty times as much of it."""
MAX_RENDITIONS = 64
"""Renditions of all playlists together. FFmpeg opens each, and takes those that it names for others of the first."""
_PLAYLIST, _RENDITION = b"#EXTM3U", b"#EXT-X-STREAM-INF"


class Intake:
    """Of one source. `picture_came` and `settle` begin anew."""

    def __init__(self, limits: IngestLimits, timeout_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._until_s: float | None = monotonic() + timeout_s
        self._num_requests = 0
        self._num_renditions = 0
        self._num_bytes = 0

    def settle(self) -> None:
        """The source is open."""
        self._until_s, self._num_bytes = None, 0

    def picture_came(self) -> None:
        self._num_bytes = 0

    def request(self) -> None:
        """Raises `SourceError` for one too many."""
        self._num_requests += 1
        if self._until_s is not None and self._num_requests > MAX_OPENING_REQUESTS:
            expected = f"expected a picture within {MAX_OPENING_REQUESTS} playlists and segments, got none"
            raise SourceError(f"{expected}; use the playlist of one rendition")

    def take(self, num_bytes: int) -> None:
        """Raises `TimeoutError` when opening takes too long, `TooLargeError` when no picture comes of what is read."""
        self._num_bytes += num_bytes
        if self._until_s is not None:
            if self._monotonic() > self._until_s:
                raise TimeoutError
        elif self._num_bytes > _UNITS_PER_PICTURE * self._limits.access_unit_bytes:
            raise self._limits.large_unit()

    def see_renditions(self, num: int) -> None:
        """Raises `TooLargeError`."""
        self._num_renditions += num
        if self._num_renditions > MAX_RENDITIONS:
            expected = f"expected at most {MAX_RENDITIONS} renditions in its playlists, got more"
            raise TooLargeError(LARGE_PLAYLIST, f"{expected}; use the playlist of one of them")


class Answer:
    """Minds what one answer holds, if it is a playlist."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._head = b""
        self._num_bytes = 0

    def take(self, data: bytes) -> None:
        """Raises `TooLargeError`."""
        if len(self._head) < len(_PLAYLIST):
            self._head += data[: len(_PLAYLIST)]
        self._num_bytes += len(data)
        if not self._head.startswith(_PLAYLIST):
            return
        self._intake.see_renditions(data.count(_RENDITION))
        if self._num_bytes > MAX_PLAYLIST_BYTES:
            expected = f"expected a playlist of at most {MAX_PLAYLIST_BYTES} bytes, got one that is longer, or never ends"
            raise TooLargeError(LARGE_PLAYLIST, f"{expected}; let it list fewer segments")
