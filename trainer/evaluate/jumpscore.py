"""JumpScore: when did each jump start? Reads a list of seconds out of an answer, and scores it against the true list.

In: an answer as text; true starts, seconds. Out: told starts; the score of one film, 0 to 1, that of the benchmark is its mean over films.

As published (lmms-eval, tasks/jumpscore): every told start takes the nearest true one that is free and no farther away than the
tolerance, in order of time; AP is the area under precision over recall, not interpolated; the score is its mean over three tolerances.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

TOLERANCES_S = (0.1, 0.2, 0.3)
"""Inclusive."""
_SECONDS = re.compile(r"(?<!\d)(\d+(?:\.\d+)?)\s*s\b")
_LIST = re.compile(r"```json\s*(\[.*?\])\s*```|(\[.*?\])", re.DOTALL)
_NUMBER = re.compile(r"\b\d+(?:\.\d+)?\b")


def starts_in(answer: str) -> list[float]:
    """Starts that an answer tells, in order: numbers followed by "s" if there are any; else those of the longest bracketed list; else all."""
    answer = answer.lower()
    if told := _SECONDS.findall(answer):
        return sorted(map(float, told))
    lists = [fenced or plain for fenced, plain in _LIST.findall(answer)]
    listed = _listed(re.sub(r",\s*\]", "]", max(lists, key=len))) if lists else []
    return sorted(listed or map(float, _NUMBER.findall(answer)))


def _listed(text: str) -> list[float]:
    """Numbers of a bracketed list, also where they stand in quotes; what is no JSON is searched for numbers."""
    try:
        items = json.loads(text)
    except json.JSONDecodeError:
        return [float(number) for number in _NUMBER.findall(text)]
    return [seconds for item in items if (seconds := _seconds(item)) is not None]


def _seconds(item: object) -> float | None:
    if isinstance(item, int | float):
        return float(item)
    try:
        return float(item.replace("s", "").strip()) if isinstance(item, str) else None
    except ValueError:
        return None


def average_precision(told_s: Sequence[float], true_s: Sequence[float], tolerance_s: float) -> float:
    """AP at one tolerance; 0 where there is no true start."""
    free = list(true_s)
    area, num_right = 0.0, 0
    for num_told, t_s in enumerate(sorted(told_s), 1):
        near = [other for other in free if abs(t_s - other) <= tolerance_s]
        if near:
            free.remove(min(near, key=lambda other: abs(t_s - other)))
            num_right += 1
            area += num_right / num_told / len(true_s)
    return area


def jumpscore(told_s: Sequence[float], true_s: Sequence[float]) -> float:
    """The score of one film: 1 where nobody jumped and no start was told, 0 where one was."""
    if not true_s:
        return float(not told_s)
    return sum(average_precision(told_s, true_s, tolerance_s) for tolerance_s in TOLERANCES_S) / len(TOLERANCES_S)
