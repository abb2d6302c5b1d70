"""What a question has to look at: the window, or an earlier stretch; or nothing, because it was not seen.

In: a question, the times it gives, the memory. Out: a plan that says what is read and why. The rules, in order:

1. `since` or `until` given, or said in the question ("ten minutes ago"): what the memory holds of that time. When all of it
   does not fit into what the model can read at once, the part around the latest of the best scores, or, of a question that
   names nothing known by sight, the latest part.
2. Else, when the question is about the past ("did", "was", "when", ...) and names things known by sight that no group of the
   window shows: the latest of the best groups that show all of them, and what lies around it.
3. Else the window.

A question that is not answered by yes or no presumes what it names: when no group of the time shows it, the answer is "not
seen", and the model is not asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stream.memory.index import UNKNOWN, Row
from stream.memory.phrases import Phrases, phrases_of
from stream.memory.store import Memory
from stream.memory.stretch import Room, Stretch, latest_best, stretch_around, stretches_between
from stream.memory.when import Times, said_times

Mode = Literal["auto", "window", "memory"]
"""`auto`: the rules; `window`: never look back; `memory`: look back without asking whether the question is about the past."""

YES_NO = re.compile(r"^\W*(is|are|am|was|were|do|does|did|can|could|has|have|had|will)\b", re.IGNORECASE)
OPEN_S = 10.0
"""A time that ends longer ago has nothing of the still-open group."""
PAST = re.compile(r"\b(did|was|were|had|when|ago|earlier|happened|last|yesterday|before)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`stretch`: what to read instead of the window; None with `not_seen` false: the window. `question`: without the words that give a time.
    `searched`: UTC epoch seconds that were looked through, None for the window alone. `why`: one line for people."""

    question: str
    stretch: Stretch | None = None
    not_seen: bool = False
    searched: tuple[float, float] | None = None
    why: str = "the window"


def plan_recall(
    memory: Memory,
    question: str,
    *,
    room: Room,
    now: float,
    window_start: float,
    times: Times | None = None,
    mode: Mode = "auto",
    open_shows: Callable[[Phrases], bool] = lambda phrases: False,
) -> Plan:
    """Decide what to read. `window_start`: UTC epoch seconds from which on the window knows everything; `open_shows`: whether the
    still-open group, which is in no memory yet, shows phrases."""
    if times is None and mode != "window":
        times, question = said_times(question, now)
    known = memory.summariser.words if memory.summariser is not None else ()
    phrases = phrases_of(question, known)
    if times is not None:
        is_past = times.until is not None and times.until < now - OPEN_S
        return _by_time(memory, question, phrases, times, room, now, (lambda _: False) if is_past else open_shows)
    if not phrases or not looks_back(question, mode):
        return Plan(question=question)
    return _by_content(memory, question, phrases, room, now, window_start, open_shows)


def looks_back(question: str, mode: Mode) -> bool:
    """Whether a question without a time may be answered from before the window."""
    return mode == "memory" or (mode == "auto" and PAST.search(question) is not None)


def _by_time(
    memory: Memory,
    question: str,
    phrases: Phrases,
    times: Times,
    room: Room,
    now: float,
    open_shows: Callable[[Phrases], bool],
) -> Plan:
    searched = (times.since if times.since is not None else 0.0, times.until if times.until is not None else now)
    if not phrases:
        rows, scores_G = memory.rows(times.since, times.until), None
    else:
        rows, scores_GP = memory.scored(phrases, times.since, times.until)
        missing = _missing(memory, phrases, scores_GP) if _any_known(scores_GP) else ""
        scores_G = scores_GP.mean(1) if _any_known(scores_GP) else None
        if rows and missing and not YES_NO.search(question) and not open_shows(phrases):
            return Plan(
                question=question, not_seen=True, searched=_clip(searched, rows), why=f"no {missing} was seen at that time"
            )
    stretch = stretches_between(rows, scores_G, room)
    if stretch is None:
        return Plan(question=question, not_seen=True, searched=searched, why="nothing is remembered of that time")
    why = (
        "all of that time" if stretch.is_all else "a part of that time" + (" that shows it best" if phrases else ", the latest")
    )
    return Plan(question=question, stretch=stretch, searched=_clip(searched, rows), why=why)


def _by_content(
    memory: Memory,
    question: str,
    phrases: Phrases,
    room: Room,
    now: float,
    window_start: float,
    open_shows: Callable[[Phrases], bool],
) -> Plan:
    rows, scores_GP = memory.scored(phrases)
    in_window = np.array([row.end > window_start for row in rows], bool)
    if (in_window.any() and not _missing(memory, phrases, scores_GP[in_window])) or open_shows(phrases):
        return Plan(question=question, why="the window shows what the question names")
    searched = (rows[0].start, now) if rows else (now, now)
    if rows and not _any_known(scores_GP):
        return Plan(question=question, why="the window; the model saw nothing of what is remembered")
    missing = _missing(memory, phrases, scores_GP)
    if missing:
        return Plan(question=question, not_seen=True, searched=searched, why=f"no {missing} was seen in all that is remembered")
    older = [number for number, row in enumerate(rows) if not in_window[number]]
    scores_G = scores_GP.mean(1)
    hit = older[latest_best(scores_G[older])] if older else len(rows) - 1
    stretch = stretch_around(rows, hit, room)
    return Plan(question=question, stretch=stretch, searched=searched, why="the latest time that shows what the question names")


def _any_known(scores_GP: np.ndarray) -> bool:
    """Whether the model saw any of the groups."""
    return bool((scores_GP > UNKNOWN).any())


def _missing(memory: Memory, phrases: Phrases, scores_GP: np.ndarray) -> str:
    """The first phrase that no group shows, in words; empty when all are shown somewhere, or a group without a summary may show them."""
    assert memory.summariser is not None, "expected a summariser"
    if not len(scores_GP):
        return " ".join(phrases[0])
    for phrase, best in zip(phrases, scores_GP.max(0), strict=True):
        if best < memory.summariser.seen_at:
            return " in ".join(phrase)
    return ""


def _clip(searched: tuple[float, float], rows: list[Row]) -> tuple[float, float]:
    """The part of a time that is remembered."""
    return max(searched[0], rows[0].start), min(searched[1], rows[-1].end)
