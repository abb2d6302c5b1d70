"""What one answer is worth, by the metric of its question's type.

In: a film's world, a question, an answer. Out: metrics of that answer by name; "score" is the one that counts.

Points that tracks tell become masks by a perfect segmenter: the actor under a point, and nothing where there is none (the ground would share
its outline with who stands on it). It stands where a mask propagator stands on real films, and gives true points a J&F of one. `boxes` is
the J&F that true boxes would have, filled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from trainer.evaluate.captions import fact_score, facts_in
from trainer.evaluate.grounding import RECALL_AT, first_iou, intervals_in, mean_ap
from trainer.evaluate.jumpscore import TOLERANCES_S, average_precision, jumpscore, starts_in
from trainer.evaluate.masks import outline_f, region_j
from trainer.evaluate.spatial import BOX_AT, box_in, box_iou, point_in
from trainer.evaluate.tracking import Point, TrueFrame, at_frames, in_mask, point_score, tracks_in
from trainer.world import Question, Renderer, World, check
from trainer.world.forms import SCALE
from trainer.world.masks import Mask, masks_at
from trainer.world.placed import track_frames

MASK_WH = (320, 180)
FPS = 10
"""Of films that are asked about places."""
Metrics = Mapping[str, float]


class FilmScorer:
    """Scores answers about one film."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._renderer = Renderer(world, width=MASK_WH[0], height=MASK_WH[1])
        self.masks: Callable[[float], dict[int, Mask]] = lru_cache(maxsize=64)(lambda t_s: masks_at(self._renderer, t_s))

    def metrics(self, question: Question, answer: str, zero_s: float) -> Metrics:
        """What `answer` is worth; a true answer scores one."""
        match question.type:
            case "jump_starts":
                return _starts(question, answer)
            case "interval":
                return _interval(question, answer)
            case "describe" | "log":
                return _facts(question, answer)
            case "point":
                told = point_in(answer)
                return {"score": float(told is not None and in_mask(told, self.masks(question.at_s)[question.idents[0]]))}
            case "box":
                return _box(question, answer)
            case "tracks":
                return self._tracks(question, answer, zero_s)
        return {"score": float(check(question, answer))}

    def _tracks(self, question: Question, answer: str, zero_s: float) -> Metrics:
        frames = self._frames(question, zero_s)
        told = tracks_in(answer)
        points = point_score(told, frames, FPS)
        meets = [
            self._meets(question, zero_s + frame.t_s, here)
            for frame, here in zip(frames, at_frames(told, frames, FPS), strict=True)
        ]
        j, f, boxes = (float(mean) for mean in np.mean(meets, axis=0))
        return {
            "score": (j + f) / 2,
            "j": j,
            "f": f,
            "boxes": boxes,
            "precision": points.precision,
            "recall": points.recall,
            "f1": points.f1,
        }

    def _frames(self, question: Question, zero_s: float) -> list[TrueFrame]:
        """True points and masks, by the numbers of the answer."""
        frames = []
        for second, points in track_frames(self.world, question.idents, zero_s, question.at_s, zero_s):
            masks = self.masks(zero_s + second)
            scaled = {number: (round(x * SCALE), round(y * SCALE)) for number, (x, y) in points.items()}
            frames.append(TrueFrame(second, scaled, {number: masks[question.idents[number]] for number in points}))
        return frames

    def _meets(self, question: Question, t_s: float, told: Mapping[int, Point]) -> tuple[float, float, float]:
        """J and F of the actors under told points, and J&F of true boxes."""
        masks = self.masks(t_s)
        true = self._union([mask for ident, mask in masks.items() if ident in question.idents])
        under = self._union([mask for mask in masks.values() if any(in_mask(point, mask) for point in told.values())])
        boxes = self._union(
            [self._filled(actor.box) for actor in self.world.state_at(t_s).actors if actor.ident in question.idents]
        )
        bound = (region_j(boxes, true) + outline_f(boxes, true)) / 2
        return region_j(under, true), outline_f(under, true), bound

    def _union(self, masks: Sequence[Mask]) -> Mask:
        width, height = MASK_WH
        return np.asarray(np.logical_or.reduce([np.zeros((height, width), bool), *masks]), bool)

    def _filled(self, box: tuple[float, float, float, float]) -> Mask:
        (width, height), mask = MASK_WH, np.zeros(MASK_WH[::-1], bool)
        left, top, right, bottom = (round(max(0.0, value) * size) for value, size in zip(box, (width, height) * 2, strict=True))
        mask[top:bottom, left:right] = True
        return mask


def _starts(question: Question, answer: str) -> Metrics:
    told, true = starts_in(answer), starts_in(question.answer)
    at = {f"ap@{tolerance_s:g}": average_precision(told, true, tolerance_s) for tolerance_s in TOLERANCES_S if true}
    return {"score": jumpscore(told, true), **at}


def _interval(question: Question, answer: str) -> Metrics:
    true = intervals_in(question.answer)
    overlap = first_iou(answer, true[0])
    at = {f"r1@{threshold:g}": float(overlap >= threshold) for threshold in RECALL_AT}
    return {"score": overlap, **at, "map": mean_ap(intervals_in(answer), true)}


def _box(question: Question, answer: str) -> Metrics:
    true, told = box_in(question.answer), box_in(answer)
    assert true is not None, f"expected a box, got {question.answer}"
    overlap = 0.0 if told is None else box_iou(told, true)
    return {"score": float(overlap >= BOX_AT), "box_iou": overlap}


def _facts(question: Question, answer: str) -> Metrics:
    facts = fact_score(facts_in(answer), facts_in(question.answer))
    return {"score": facts.f1, "right": facts.right, "invented": facts.invented, "missed": facts.missed}
