"""Tracks of points: where was everything that was asked for, frame by frame? Reads tracks out of an answer, and scores them.

In: an answer as text; true points and masks of frames. Out: told points; precision, recall and F1 of points; J&F of masks (masks.py).

As published (lmms-eval, tasks/rvos): an answer is `<tracks coords="t id x y [id x y ...]; t ...">label</tracks>`, t in seconds, x and y
in [0, 1000]. In every true frame told points are assigned to true ones so that the distances' sum is the least; a told point is right if
it lies in the mask of the object it was assigned to; precision, recall and F1 are means over true frames. Objects that a frame lacks are
not asked for in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.evaluate.assignment import assigned
from trainer.world.forms import SCALE

Point = tuple[float, float]
Tracks = dict[float, dict[int, Point]]
"""Seconds -> number of an object -> x and y, in [0, 1000]."""
_COORDS = re.compile(r"""coords\s*=\s*['"]([^'"]*)(?:['"]|$)""")
_FRAME = re.compile(r"(?:^|[\t:,;])\s*(\d+(?:\.\d+)?)\s+([\d.\s]+?)(?=[\t:,;]|$)")
_POINT = re.compile(r"(\d+)(?:\.\d+)?\s+(\d{1,4})(?:\.\d+)?\s+(\d{1,4})(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class TrueFrame:
    """What was to be found at `t_s`: of each object a point in [0, 1000] and its mask, bool [H, W]. Empty where nothing was there."""

    t_s: float
    points: Mapping[int, Point]
    masks: Mapping[int, np.ndarray]


@dataclass(frozen=True, slots=True)
class PointScore:
    """Means over frames, 0 to 1."""

    precision: float
    recall: float
    f1: float


def tracks_in(answer: str) -> Tracks:
    """Tracks that an answer tells; what does not follow the form is left out, and of an object told twice in a frame the second."""
    tracks: Tracks = {}
    for coords in _COORDS.findall(answer):
        for t_s, told in _FRAME.findall(coords):
            points = tracks.setdefault(float(t_s), {})
            for ident, x, y in _POINT.findall(told):
                if int(x) <= SCALE and int(y) <= SCALE:
                    points.setdefault(int(ident), (float(x), float(y)))
    return {t_s: tracks[t_s] for t_s in sorted(tracks) if tracks[t_s]}


def in_mask(point: Point, mask: np.ndarray) -> bool:
    """Whether a point in [0, 1000] lies in a mask [H, W]."""
    height, width = mask.shape
    x, y = round(point[0] / SCALE * width), round(point[1] / SCALE * height)
    return 0 <= x < width and 0 <= y < height and bool(mask[y, x])


def at_frames(tracks: Tracks, frames: Sequence[TrueFrame], fps: float) -> list[dict[int, Point]]:
    """What tracks tell of each frame: points of the same picture at `fps` pictures per second; of two times of one picture the later."""
    told = {round(t_s * fps): points for t_s, points in sorted(tracks.items())}
    return [told.get(round(frame.t_s * fps), {}) for frame in frames]


def point_score(tracks: Tracks, frames: Sequence[TrueFrame], fps: float) -> PointScore:
    """Precision, recall and F1 of told points; 1 where there is no frame."""
    scores = [_of_frame(list(told.values()), frame) for told, frame in zip(at_frames(tracks, frames, fps), frames, strict=True)]
    if not scores:
        return PointScore(1.0, 1.0, 1.0)
    precision, recall, f1 = (float(mean) for mean in np.mean(scores, axis=0))
    return PointScore(precision, recall, f1)


def _of_frame(told: Sequence[Point], frame: TrueFrame) -> tuple[float, float, float]:
    if not frame.points or not told:
        right = float(not frame.points and not told)
        return right, right, right
    idents = list(frame.points)
    true_N2 = np.array([frame.points[ident] for ident in idents], float)
    height, width = frame.masks[idents[0]].shape
    away_TN2 = (np.array(told, float)[:, None] - true_N2[None]) * (width, height)
    pairs = assigned(np.linalg.norm(away_TN2, axis=2))
    right = sum(in_mask(told[row], frame.masks[idents[column]]) for row, column in pairs)
    precision, recall = right / len(told), right / len(idents)
    return precision, recall, 2 * precision * recall / (precision + recall) if right else 0.0
