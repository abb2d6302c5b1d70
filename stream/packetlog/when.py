"""Moments as people write them.

In: epoch seconds, an ISO 8601 time, or seconds from a log's beginning or end. Out: UTC epoch seconds.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from stream.errors import StretchError
from stream.packetlog.log import LogRange

EARLIEST_EPOCH_S = 1e8
"""Smaller numbers (epoch seconds of before March 1973) count from a log's beginning."""


def moment(text: str, covers: LogRange | None) -> float:
    """`1763663264.5`; `2026-11-20T18:27:44` (UTC where it names no zone); `90` or `+90` from the log's beginning; `-30` from its end.

    Raises `StretchError` for anything else, and for a relative time in an empty log.
    """
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        return _iso(text)
    if not math.isfinite(number):
        raise _not_a_time(text)
    if number >= EARLIEST_EPOCH_S:
        return number
    if covers is None:
        raise StretchError(f"time {text}: expected a log with packets to count from, found none")
    return covers.end_s + number if text.startswith("-") else covers.start_s + number


def _iso(text: str) -> float:
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise _not_a_time(text) from None
    return (told if told.tzinfo is not None else told.replace(tzinfo=UTC)).timestamp()


def _not_a_time(text: str) -> StretchError:
    return StretchError(
        f"time: expected epoch seconds, an ISO 8601 time, seconds from the beginning (90), or from the end (-30), got {text!r}"
    )
