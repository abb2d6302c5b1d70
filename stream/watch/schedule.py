"""When a watch is armed.

In: lines like "mon-fri 08:00-18:00", "sat,sun", "22:00-06:00". Out: whether a moment of local time is inside any of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_PER_DAY = 24 * 60
_LINE = re.compile(
    r"^(?:(?P<days>[a-z]{3}(?:-[a-z]{3})?(?:,[a-z]{3}(?:-[a-z]{3})?)*)\s*)?(?:(?P<from>\d\d:\d\d)-(?P<to>\d\d:\d\d))?$"
)
EXPECTED = 'expected days, times or both, as in "mon-fri 08:00-18:00", "sat,sun" or "22:00-06:00"'


@dataclass(frozen=True, slots=True)
class _Span:
    """Days of the week (0 is Monday) on which it begins, and minutes of the day; over midnight when it ends before it begins."""

    days: frozenset[int]
    begin: int
    end: int

    def holds(self, day: int, minute: int) -> bool:
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        return (day in self.days and minute >= self.begin) or ((day - 1) % 7 in self.days and minute < self.end)


class Schedule:
    """Raises `ValueError` for a line that cannot be read. No lines: always."""

    def __init__(self, lines: Sequence[str] = ()) -> None:
        self._spans = [_span(line) for line in lines]

    def holds(self, moment: datetime) -> bool:
        """Whether the watch is armed at a local time."""
        minute = 60 * moment.hour + moment.minute
        return not self._spans or any(span.holds(moment.weekday(), minute) for span in self._spans)


def _span(line: str) -> _Span:
    found = _LINE.match(line.strip().lower())
    if found is None or not line.strip():
        raise ValueError(f"{EXPECTED}, got {line!r}")
    days = _days(found["days"], line) if found["days"] else frozenset(range(7))
    if not found["from"]:
        return _Span(days, 0, MINUTES_PER_DAY)
    begin, end = _minutes(found["from"], line), _minutes(found["to"], line)
    if begin == end:
        raise ValueError(f"{EXPECTED}, got {line!r}, which begins when it ends")
    return _Span(days, begin, end)


def _days(text: str, line: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        names = part.split("-")
        unknown = [name for name in names if name not in DAYS]
        if unknown:
            raise ValueError(f"{EXPECTED}, got {line!r}: no day is called {unknown[0]!r}")
        first, last = DAYS.index(names[0]), DAYS.index(names[-1])
        days |= {(first + step) % 7 for step in range((last - first) % 7 + 1)}
    return frozenset(days)


def _minutes(text: str, line: str) -> int:
    hours, minutes = map(int, text.split(":"))
    if hours > 24 or minutes > 59 or (hours == 24 and minutes):
        raise ValueError(f"{EXPECTED}, got {line!r}: {text} is no time of day")
    return 60 * hours + minutes
