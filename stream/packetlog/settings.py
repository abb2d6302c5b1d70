"""Settings of a packet log: how much is kept, and how it is cut into files.

In: keyword arguments. Out: `PacketLogSettings`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from stream.errors import SettingsError

_LEAST = {
    "max_bytes": 1 << 20,
    "max_age_s": 1.0,
    "segment_bytes": 1 << 16,
    "segment_s": 1.0,
    "queue_packets": 8,
    "queue_bytes": 1 << 16,
}
_SEGMENTS_LEAST = 8
"""A log holds at least so many segments of the usual size: what is deleted is a whole one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketLogSettings:
    """Bounds of one camera's log. Raises `SettingsError` for a value out of range.

    The log takes at most `max_bytes` on disk, and, with `max_age_s`, keeps nothing that was written longer ago; whole segments go, the
    oldest first. A segment ends at the first key frame past `segment_bytes` or `segment_s`; a camera without key frames gets twice as much.
    `queue_packets`, `queue_bytes`: what may wait for the disk; more is dropped, counted, and marked as a hole.
    """

    max_bytes: int = 2 << 30
    max_age_s: float | None = None
    segment_bytes: int = 16 << 20
    segment_s: float = 300.0
    queue_packets: int = 1024
    queue_bytes: int = 32 << 20

    def __post_init__(self) -> None:
        for field in fields(self):
            value, low = getattr(self, field.name), _LEAST[field.name]
            if value is None and field.name == "max_age_s":
                continue
            if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < low:
                raise SettingsError(f"record.{field.name}: expected a number of at least {low:g}, got {value!r}")

    @property
    def segment_limit_bytes(self) -> int:
        """Where a segment ends at the next key frame: a log has room for several."""
        return min(int(self.segment_bytes), int(self.max_bytes) // _SEGMENTS_LEAST)

    @property
    def hard_limit_bytes(self) -> int:
        """Where it ends without one; no record is longer."""
        return 2 * self.segment_limit_bytes
