"""J&F of masks: how well regions meet (J, their IoU) and how well their outlines do (F), as DAVIS defines them (Perazzi et al. 2016).

In: told and true masks, bool [H, W]. Out: J, F, and their mean, 0 to 1. A pixel of an outline is right if one of the other outline is no
farther away than 0.008 of the picture's diagonal, rounded up to pixels. Two empty masks meet.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

TOLERANCE = 0.008
"""Of an outline, over the picture's diagonal."""


def region_j(told_HW: np.ndarray, true_HW: np.ndarray) -> float:
    """Intersection over union."""
    union = int((told_HW | true_HW).sum())
    return int((told_HW & true_HW).sum()) / union if union else 1.0


def outline(mask_HW: np.ndarray) -> np.ndarray:
    """Pixels that differ from their right, lower or lower right neighbour; at the picture's edge from those that there are."""
    padded = np.pad(mask_HW, ((0, 1), (0, 1)), mode="edge")
    here = padded[:-1, :-1]
    edge = (here ^ padded[:-1, 1:]) | (here ^ padded[1:, :-1]) | (here ^ padded[1:, 1:])
    return np.asarray(edge)


def outline_f(told_HW: np.ndarray, true_HW: np.ndarray) -> float:
    """F of the outlines: harmonic mean of the share of told pixels and of true pixels that are right."""
    told, true = outline(told_HW), outline(true_HW)
    if not told.any() or not true.any():
        return float(not told.any() and not true.any())
    radius = math.ceil(TOLERANCE * math.hypot(*told_HW.shape))
    precision = (told & _grown(true, radius)).sum() / told.sum()
    recall = (true & _grown(told, radius)).sum() / true.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _grown(edge_HW: np.ndarray, radius: int) -> np.ndarray:
    """Pixels no farther than `radius` from one that is set."""
    away = np.arange(-radius, radius + 1)
    disk = (away[:, None] ** 2 + away[None] ** 2 <= radius**2).astype(np.uint8)
    return np.asarray(cv2.dilate(edge_HW.astype(np.uint8), disk).astype(bool))


def j_and_f(told_HW: np.ndarray, true_HW: np.ndarray) -> float:
    """The mean of both."""
    return (region_j(told_HW, true_HW) + outline_f(told_HW, true_HW)) / 2
