"""Places in a picture: points and boxes. Reads them out of an answer, and scores them.

In: an answer as text; the true box. Out: what was told; IoU of boxes. Whether a point lies in a mask: `tracking.in_mask`.

Coordinates are whole numbers in [0, 1000], x to the right and y down: a point "(512, 430)", a box "(100, 200, 300, 400)" from its
upper left to its lower right corner. No published box format was found; brackets of any kind are taken, and numbers without any.
"""

from __future__ import annotations

import re

from trainer.world.forms import SCALE

Box = tuple[float, float, float, float]
BOX_AT = 0.5
"""The IoU at which a box is right."""
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")


def numbers_in(answer: str, num: int) -> tuple[float, ...] | None:
    """The first `num` numbers of an answer; None where it has fewer, or one of them lies outside [0, 1000]."""
    told = tuple(float(text) for text in _NUMBER.findall(answer)[:num])
    return told if len(told) == num and max(told) <= SCALE else None


def point_in(answer: str) -> tuple[float, float] | None:
    """The point that an answer tells."""
    told = numbers_in(answer, 2)
    return None if told is None else (told[0], told[1])


def box_in(answer: str) -> Box | None:
    """The box that an answer tells; None for one that is inside out."""
    told = numbers_in(answer, 4)
    if told is None or told[0] >= told[2] or told[1] >= told[3]:
        return None
    return told[0], told[1], told[2], told[3]


def box_iou(told: Box, true: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(told[2], true[2]) - max(told[0], true[0])
    height = min(told[3], true[3]) - max(told[1], true[1])
    common = max(0.0, width) * max(0.0, height)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (told, true)) - common
    return common / union if union > 0 else 0.0
