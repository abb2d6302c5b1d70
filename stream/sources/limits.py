"""How much of a camera is taken: bytes of an access unit, pixels of a picture, memory of the process that reads it.

In: numbers of the `ingest:` settings. Out: `IngestLimits`, which says what is over them: `TooLargeError`, with the setting. The owner of a
connection puts the camera's name in front.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from stream.codec.h264.parameter_sets import LARGEST_PICTURE_PX
from stream.errors import SettingsError, TooLargeError

MIB = 1 << 20
LARGE_UNIT, LARGE_PICTURE, LARGE_PLAYLIST = "large_access_unit", "large_picture", "large_playlist"
READER_MEMORY = "reader_memory"
"""How it is counted among a camera's drops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestLimits:
    """- `max_access_unit_mb`: MiB of one access unit, parameter sets and all, wherever its pieces gather.
    - `max_picture_px`: pixels of a picture, for whoever decodes it.
    - `reader_memory_mb`: MiB that a reader process may need beyond what it has when it starts.

    Raises `SettingsError` for a number that is not above zero."""

    max_access_unit_mb: float = 16.0
    max_picture_px: int = LARGEST_PICTURE_PX
    reader_memory_mb: float = 512.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
                raise SettingsError(f"ingest.{field.name}: expected a number above zero, got {value!r}")

    @property
    def access_unit_bytes(self) -> int:
        return int(self.max_access_unit_mb * MIB)

    def check_access_unit(self, num_bytes: int) -> None:
        """Raises `TooLargeError` for an access unit, or for a part of one, that is too large."""
        if num_bytes > self.access_unit_bytes:
            raise self.large_unit()

    def large_unit(self) -> TooLargeError:
        """The error for an access unit that is larger, or that goes on without end."""
        expected = f"expected pictures of at most {self.max_access_unit_mb:g} MiB, got one that is larger, or never ends"
        return TooLargeError(LARGE_UNIT, f"{expected}; lower the camera's bitrate, or set ingest.max_access_unit_mb")

    def check_picture(self, width: int, height: int) -> None:
        """Raises `TooLargeError` for a picture that is too large."""
        if width * height > self.max_picture_px:
            expected = f"expected pictures of at most {self.max_picture_px} pixels, got {width}x{height}"
            raise TooLargeError(LARGE_PICTURE, f"{expected}; use the camera's sub-stream, or set ingest.max_picture_px")

    def out_of_memory(self) -> TooLargeError:
        """The error for a reader process that got no more memory."""
        expected = f"expected reading to need at most {self.reader_memory_mb:g} MiB of memory, it needs more"
        return TooLargeError(READER_MEMORY, f"{expected}; use the camera's sub-stream, or set ingest.reader_memory_mb")
