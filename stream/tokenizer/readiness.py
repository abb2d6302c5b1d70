"""Groups of the published front-end's other policy: a group closes when its best blocks are enough, and more add little.

In: block scores of sampled frames. Out: frame ranges. It looks at pictures, where bit-cost grouping looks at packets only, so
it is for recordings; the live tokenizer keeps its bit-cost groups and takes the policy's choice of blocks (`select.topk`).

Shape letters: T frames, N blocks of a frame.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

LEAST_FRAMES = 4
"""No group has fewer frames."""


def readiness_groups(
    block_scores_TN: np.ndarray,
    grid_hw: tuple[int, int],
    *,
    threshold: float | None = None,
    canvases_per_group: int = 4,
    min_frames: int = 8,
    max_frames: int = 64,
    coverage_bins: int = 3,
    gain_ratio: float = 0.05,
    run_frames: int = 32,
) -> list[tuple[int, int]]:
    """Groups (first frame, last + 1) of a recording.

    `grid_hw` counts patches; a group has room for `canvases_per_group - 1` canvases of them. A group's readiness is the sum
    of the best scores that fit (its first frame is the anchor and gives none). It is ready at `threshold` (None: the mean
    over consecutive runs of `run_frames`) with the best blocks spread over its parts in time, and ends there once a frame
    adds less than `gain_ratio`; at the latest, at the last frame at which it was ready, or at `max_frames`. As published,
    a rest shorter than `min_frames` is left out.
    """
    num_fitting = (canvases_per_group - 1) * (grid_hw[0] * grid_hw[1] // 4)
    if threshold is None:
        threshold = mean_readiness(block_scores_TN, num_fitting, run_frames=run_frames, coverage_bins=coverage_bins)
    groups: list[tuple[int, int]] = []
    start, num_frames = 0, len(block_scores_TN)
    while num_frames - start >= max(LEAST_FRAMES, min_frames):
        best = _Best(num_fitting)
        ready_end = None
        gain = 1.0
        for end in range(start + 1, min(num_frames, start + max_frames) + 1):
            before = best.total
            if end - start > 1:
                best.add(block_scores_TN[end - 1], end - 1 - start)
            if end - start < min_frames:
                continue
            gain = (best.total - before) / max(abs(before), 1e-6) if end - start > min_frames else 1.0
            covered = best.num_covered(end - start, coverage_bins) >= min(coverage_bins, canvases_per_group - 1)
            if covered and best.total >= threshold:
                ready_end = end
                if gain < gain_ratio:
                    break
        groups.append((start, ready_end or min(num_frames, start + max_frames)))
        start = groups[-1][1]
    return groups


def mean_readiness(block_scores_TN: np.ndarray, num_fitting: int, *, run_frames: int = 32, coverage_bins: int = 3) -> float:
    """Mean readiness of consecutive runs of frames; runs too short to cover their parts do not count."""
    runs = [block_scores_TN[low : low + run_frames] for low in range(0, len(block_scores_TN), run_frames)]
    sums = [best_sum(run[1:], num_fitting) for run in runs if len(run) >= max(LEAST_FRAMES, coverage_bins + 1)]
    return float(np.mean(sums)) if sums else 0.0


def best_sum(scores: np.ndarray, num: int) -> float:
    """Sum of the `num` largest scores."""
    flat = scores.ravel().astype(np.float64)
    return float(np.partition(flat, len(flat) - num)[-num:].sum() if num < len(flat) else flat.sum())


class _Best:
    """The best blocks of the frames so far."""

    def __init__(self, num_fitting: int) -> None:
        self._num = num_fitting
        self._scores = np.zeros(0)
        self._frames = np.zeros(0, np.int64)
        self.total = 0.0

    def add(self, scores_N: np.ndarray, frame: int) -> None:
        """Take in the scores of one more frame."""
        scores = np.concatenate((self._scores, scores_N.astype(np.float64)))
        frames = np.concatenate((self._frames, np.full(len(scores_N), frame)))
        keep = np.sort(np.argsort(-scores, kind="stable")[: self._num])
        self._scores, self._frames = scores[keep], frames[keep]
        self.total = float(self._scores.sum())

    def num_covered(self, num_frames: int, num_parts: int) -> int:
        """Parts of frames 1 ... num_frames - 1 that hold a best block. Parts are cut at whole frames, rounded down."""
        edges = np.linspace(1, max(2, num_frames), num_parts + 1).astype(np.int64)
        held = np.unique(self._frames)
        return sum(bool(((held >= low) & (held < max(high, low + 1))).any()) for low, high in pairwise(edges))
