"""Facts of a caption: which of those told are right, and which are invented?

In: captions as text, told and true. Out: facts; how many are right, invented and missed, and F1.

A caption is clauses between commas, semicolons and full stops ("a person in red on the left, the lamp is on"). A clause is a fact, and one
that ends in a place is two: what is there, and where. A clause after seconds ("12.3 seconds: a dog came.") is right only within
`TOLERANCE_S` of a true one's time; one without is right whenever its like is true without a time. Each true fact makes one told fact right.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TOLERANCE_S = 0.5
WHOLE_S = 0.5
"""What a time in whole seconds, rounded down, lies below its middle."""
PLACES = ("on the left", "on the right", "near the door", "at the door")
_TIMED = re.compile(r"<?(\d+(?:\.\d+)?) ?(?:s|seconds?)?>?\s*:\s*")
_END = re.compile(r"[,;]|\.(?!\d)")


@dataclass(frozen=True, slots=True)
class Fact:
    """What a clause says, and of which second where it says that."""

    text: str
    at_s: float | None = None


@dataclass(frozen=True, slots=True)
class FactScore:
    """`right` of the told facts, `invented` the others, `missed` true ones that nobody told."""

    right: int
    invented: int
    missed: int

    @property
    def f1(self) -> float:
        """1 where there was nothing to tell and nothing was told."""
        both = 2 * self.right + self.invented + self.missed
        return 2 * self.right / both if both else 1.0


def facts_in(caption: str) -> list[Fact]:
    """Facts of a caption, in its order."""
    return [fact for part in _END.split(caption.lower()) for fact in _facts_of(part.strip())]


def _facts_of(clause: str) -> Iterator[Fact]:
    timed = _TIMED.match(clause)
    at_s = None if timed is None else float(timed[1]) + (0.0 if "." in timed[1] else WHOLE_S)
    text = " ".join(clause[timed.end() if timed else 0 :].removeprefix("and ").split())
    for place in PLACES:
        if (thing := text.removesuffix(f" {place}")) != text:
            yield Fact(thing, at_s)
    if text:
        yield Fact(text, at_s)


def fact_score(told: Sequence[Fact], true: Sequence[Fact]) -> FactScore:
    """As many told facts as can be are right."""
    wanted, given = _by_text(true), _by_text(told)
    right = sum(_num_right(given[text], wanted[text]) for text in given.keys() & wanted.keys())
    return FactScore(right, len(told) - right, len(true) - right)


def _by_text(facts: Sequence[Fact]) -> dict[tuple[str, bool], list[float]]:
    """Times of facts that say the same, in order; those without a time apart, all at zero."""
    times: dict[tuple[str, bool], list[float]] = defaultdict(list)
    for fact in facts:
        times[fact.text, fact.at_s is None].append(fact.at_s or 0.0)
    return {key: sorted(several) for key, several in times.items()}


def _num_right(told_s: Sequence[float], true_s: Sequence[float]) -> int:
    """Pairs no farther apart than the tolerance; both in order, so that the earliest that fits is the best choice."""
    num, next_told = 0, 0
    for t_s in true_s:
        while next_told < len(told_s) and told_s[next_told] < t_s - TOLERANCE_S:
            next_told += 1
        if next_told < len(told_s) and told_s[next_told] <= t_s + TOLERANCE_S:
            num, next_told = num + 1, next_told + 1
    return num
