"""Temporal grounding: from when to when? Reads intervals out of an answer, and scores them against the true ones.

In: an answer as text; true intervals, seconds. Out: told intervals; IoU, recall at a threshold, and mAP of moment retrieval.

As published: the first interval of an answer counts, mIoU is the mean IoU of all questions, R1@t the share of them with an IoU of at
least t (lmms-eval, tasks/timelens). mAP as QVHighlights has it: told intervals by falling confidence, each takes the best true one that is
free and overlaps enough; precision is that of the best later point; mean over IoU of 0.5 to 0.95 and over questions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Interval = tuple[float, float]
RECALL_AT = (0.3, 0.5, 0.7)
MAP_AT = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
MOST_TOLD = 10
"""Told intervals of one question that count for mAP."""
_CLOCK = re.compile(r"\b(\d{1,2}:\d{2}:\d{2}(?:\.\d+)?|\d{1,2}:\d{2}(?:\.\d+)?)\b")
_PAIRS = (re.compile(r"(\d+\.?\d*)\s*-\s*(\d+\.?\d*)"), re.compile(r"(\d+\.?\d*)\s+to\s+(\d+\.?\d*)"))
_NUMBER = re.compile(r"\b\d+\.?\d*\b")


def intervals_in(answer: str) -> list[Interval]:
    """Intervals that an answer tells: pairs of clock times (1:02:03.4, 02:03) if there are any; else "3.2 - 9.6"; else "3.2 to 9.6"; else
    numbers two by two."""
    answer = answer.lower()
    if len(clock := [_clock_s(text) for text in _CLOCK.findall(answer)]) > 1:
        return _two_by_two(clock)
    for pair in _PAIRS:
        if told := pair.findall(answer):
            return [(float(start), float(end)) for start, end in told]
    return _two_by_two([float(number) for number in _NUMBER.findall(answer)])


def _clock_s(text: str) -> float:
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def _two_by_two(numbers: Sequence[float]) -> list[Interval]:
    return list(zip(numbers[::2], numbers[1::2], strict=False))


def iou(told: Interval, true: Interval) -> float:
    """Intersection over union of two intervals; 0 for one that ends before it begins."""
    common = min(told[1], true[1]) - max(told[0], true[0])
    union = max(told[1], true[1]) - min(told[0], true[0])
    return max(0.0, common) / union if union > 0 else 0.0


def first_iou(answer: str, true: Interval) -> float:
    """IoU of the first interval that an answer tells; 0 without any."""
    told = intervals_in(answer)
    return iou(told[0], true) if told else 0.0


def recall_at(ious: Sequence[float], threshold: float) -> float:
    """R1: the share of questions with an IoU of at least `threshold`."""
    return sum(value >= threshold for value in ious) / len(ious) if ious else 0.0


def retrieval_ap(told: Sequence[Interval], true: Sequence[Interval], threshold: float) -> float:
    """AP of one question's intervals, told with falling confidence, at one IoU; 0 without any."""
    free, num_right, precisions = set(range(len(true))), 0, list[float]()
    for rank, interval in enumerate(told[:MOST_TOLD], 1):
        near = {index: overlap for index in free if (overlap := iou(interval, true[index])) >= threshold}
        if near:
            free.remove(max(near, key=lambda index: (near[index], -index)))
            num_right += 1
            precisions.append(num_right / rank)
    # every right one adds the same recall, with the best precision from there on
    return sum(max(precisions[index:]) for index in range(num_right)) / len(true) if true else 0.0


def mean_ap(told: Sequence[Interval], true: Sequence[Interval]) -> float:
    """mAP of one question: the mean over `MAP_AT`."""
    return sum(retrieval_ap(told, true, threshold) for threshold in MAP_AT) / len(MAP_AT)
