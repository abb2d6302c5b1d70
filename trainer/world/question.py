"""One question with its only answer, and the check of an answer. In: an answer as text. Out: right or wrong, or seconds off."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

from trainer.world.language import AnyType

WITHIN_S = 0.5
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question and its only answer.

    - `at_s`: the moment it is asked at, world seconds. `about`: the seconds that hold the evidence.
    - `choices`: all answers there are, where they are few; otherwise None.
    - `family`: the narrower kind of thing asked about ("dog", "lamp", "coat"), for tables.
    - `idents`: the actors whose place is asked for, in the order of their numbers in the answer.
    - `exact_s`: the answer to "when" before it was rounded.
    """

    at_s: float
    type: AnyType
    text: str
    answer: str
    about: tuple[float, ...]
    choices: tuple[str, ...] | None = None
    family: str = ""
    idents: tuple[int, ...] = ()
    exact_s: float | None = None

    def __post_init__(self) -> None:
        assert self.choices is None or self.answer in self.choices, f"{self.text}: {self.answer!r} is not among {self.choices}"
        assert all(second <= self.at_s for second in self.about), f"{self.text}: evidence after {self.at_s}"


def check(question: Question, answer: str) -> bool:
    """True for the right answer: equal but for case, punctuation and spaces. For "when" of an answer in tenths, at most `WITHIN_S` off the
    exact second; of one in whole seconds, the same number."""
    if question.type not in ("when", "when_tenths"):
        return normalised(answer) == normalised(question.answer)
    off_s = seconds_off(question, answer)
    return off_s is not None and off_s <= (WITHIN_S if _is_exact(question, answer) else 0)


def seconds_off(question: Question, answer: str) -> float | None:
    """By how many seconds an answer to "when" is wrong: one in tenths from the exact second, one in whole seconds from the whole one. None
    when one of the two names no single number."""
    right, given = (_NUMBER.findall(text) for text in (question.answer, answer))
    if len(right) != 1 or len(given) != 1:
        return None
    if question.exact_s is not None and _is_exact(question, answer):
        return abs(question.exact_s - float(given[0]))
    return abs(int(float(right[0])) - int(float(given[0])))


def _is_exact(question: Question, answer: str) -> bool:
    """Whether an answer is held against the exact second."""
    return question.type == "when_tenths" or (question.exact_s is not None and bool(re.search(r"\d\.\d", answer)))


def normalised(text: str) -> str:
    """Lower case, no punctuation, single spaces."""
    return " ".join(text.lower().translate(str.maketrans("", "", string.punctuation)).split())
