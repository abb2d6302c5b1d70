"""One question with its only answer, and the check of an answer. In: an answer as text. Out: right or wrong, or seconds off."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

from trainer.world.language import QuestionType


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question and its only answer.

    - `at_s`: the moment it is asked at, world seconds. `about`: the seconds that hold the evidence.
    - `choices`: all answers there are, where they are few; otherwise None.
    - `family`: the narrower kind of thing asked about ("dog", "lamp", "coat"), for tables.
    """

    at_s: float
    type: QuestionType
    text: str
    answer: str
    about: tuple[float, ...]
    choices: tuple[str, ...] | None = None
    family: str = ""

    def __post_init__(self) -> None:
        assert self.choices is None or self.answer in self.choices, f"{self.text}: {self.answer!r} is not among {self.choices}"
        assert all(second <= self.at_s for second in self.about), f"{self.text}: evidence after {self.at_s}"


def check(question: Question, answer: str) -> bool:
    """True for the right answer: equal but for case, punctuation and spaces; for "when", the same number of seconds."""
    if question.type == "when":
        return seconds_off(question, answer) == 0
    return normalised(answer) == normalised(question.answer)


def seconds_off(question: Question, answer: str) -> int | None:
    """By how many seconds an answer to "when" is wrong; None when one of the two names no single number."""
    right, given = (re.findall(r"\d+", text) for text in (question.answer, answer))
    if len(right) != 1 or len(given) != 1:
        return None
    return abs(int(right[0]) - int(given[0]))


def normalised(text: str) -> str:
    """Lower case, no punctuation, single spaces."""
    return " ".join(text.lower().translate(str.maketrans("", "", string.punctuation)).split())
