"""Times as people give them: `-10m`, `2026-11-20T08:00`, epoch seconds, or "ten minutes ago" in a question.

In: text, the present. Out: UTC epoch seconds. An ISO time without a zone is local time.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from stream.errors import RecallError

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
RELATIVE = re.compile(r"^-\s*(\d+(?:\.\d+)?)\s*([smhd])$")
COUNTED = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NUMBERS = {word: float(number) for number, word in enumerate(COUNTED, 1)}
NUMBERS |= {
    "a": 1.0,
    "an": 1.0,
    "half an": 0.5,
    "a few": 3.0,
    "fifteen": 15.0,
    "twenty": 20.0,
    "thirty": 30.0,
    "forty": 40.0,
    "fifty": 50.0,
}
AGO = re.compile(
    r"\b(?:about |around |some )?(\d+|" + "|".join(sorted(NUMBERS, key=len, reverse=True)) + r") "
    r"(second|minute|hour|day)s? ago\b",
    re.IGNORECASE,
)
DAY_PARTS = {
    "this morning": (5, 12),
    "this afternoon": (12, 18),
    "tonight": (18, 24),
    "this evening": (18, 24),
    "today": (0, 24),
}
FARTHEST_S = 1e11
"""Seconds from 1970 to either side, 3,000 years: a time farther away is none, and sums with it would not be finite."""
AROUND_SHARE = 0.25
""""Ten minutes ago" is a quarter of that to both sides, at least `AROUND_S`."""
AROUND_S = 45.0


@dataclass(frozen=True, slots=True)
class Times:
    """UTC epoch seconds; None is open."""

    since: float | None
    until: float | None


def times_of(since: str | float | None, until: str | float | None, now: float) -> Times | None:
    """What a request gives; None without either. Raises `RecallError` for a text that is no time, and for an end before the beginning."""
    if since is None and until is None:
        return None
    times = Times(_moment("since", since, now), _moment("until", until, now))
    if times.since is not None and times.since >= now:
        raise RecallError(f"since: expected a time in the past, got {since}")
    if times.since is not None and times.until is not None and times.until <= times.since:
        raise RecallError(f"until: expected a time after since, got {until} after {since}")
    return times


def said_times(question: str, now: float) -> tuple[Times | None, str]:
    """The time that a question speaks of, and the question without those words."""
    if (ago := AGO.search(question)) is not None:
        number = ago[1].lower()
        back_s = (float(number) if number.isdigit() else NUMBERS[number]) * UNITS[ago[2][0].lower()]
        around_s = max(AROUND_S, AROUND_SHARE * back_s)
        return Times(now - back_s - around_s, min(now, now - back_s + around_s)), _without(question, ago)
    for words, (first, last) in DAY_PARTS.items():
        if (part := re.search(rf"\b(?:earlier )?{words}\b", question, re.IGNORECASE)) is not None:
            return _part_of_day(now, 0, first, last), _without(question, part)
    if (part := re.search(r"\byesterday\b", question, re.IGNORECASE)) is not None:
        return _part_of_day(now, -1, 0, 24), _without(question, part)
    return None, question


def _moment(name: str, value: str | float | None, now: float) -> float | None:
    if value is None:
        return None
    text = str(value).strip()
    moment = _read(text, now)
    if not abs(moment) <= FARTHEST_S:
        raise RecallError(
            f"{name}: expected a time like -10m, 2026-11-20T08:00:00+01:00 or seconds since 1970, got {text[:40]!r}"
        )
    return moment


def _read(text: str, now: float) -> float:
    """UTC epoch seconds; not a number where the text is no time."""
    if (relative := RELATIVE.match(text)) is not None:
        return now - float(relative[1]) * UNITS[relative[2]]
    for read in (float, lambda iso: datetime.fromisoformat(iso).timestamp()):
        with suppress(ValueError, OverflowError):
            return read(text)
    return math.nan


def _part_of_day(now: float, days: int, first_hour: int, last_hour: int) -> Times:
    """Hours of a day in local time, so far."""
    day = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=days)
    since, until = (day + timedelta(hours=hours) for hours in (first_hour, last_hour))
    return Times(since.timestamp(), min(now, until.timestamp()))


def _without(question: str, match: re.Match[str]) -> str:
    left, right = question[: match.start()].rstrip(" ,"), question[match.end() :].lstrip(" ,")
    return f"{left} {right}".strip().replace(" ?", "?")
