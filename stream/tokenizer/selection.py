"""Which blocks a group shows besides its anchor frame.

In: block scores of the candidate frames of one group. Out: chosen blocks as (frame, row, col). Two policies: `stratified`
(equal shares of the group's evidence in time, the published default) and `topk` (the best blocks anywhere), which the
published front-end pairs with `readiness_groups`. Frame 0 is always the anchor: it is shown whole, so none of its blocks
is chosen again.

Shape letters: T candidate frames, R and C block rows and columns, N = R * C blocks of a frame, P P-canvases.
"""

from __future__ import annotations

import numpy as np

from stream.tokenizer.readiness import readiness_groups

__all__ = ["frame_masses", "in_reading_order", "readiness_groups", "stratified", "topk"]

RANK_DECAY = 0.35
"""A frame's block of zero-based rank k counts 1 / sqrt(1 + RANK_DECAY * k): many weak blocks never outweigh a few strong."""
PEAK_SHARE = 0.35
"""Share of a frame's largest score that its mass counts once more."""


def ranked_scores(block_scores_TN: np.ndarray) -> np.ndarray:
    """Scores after the discount for their rank within the frame, float64 [T, N], in place of the raw ones."""
    order_TN = np.argsort(-block_scores_TN, axis=1, kind="stable")
    num_blocks = block_scores_TN.shape[1]
    discount_N = 1.0 / np.sqrt(1.0 + RANK_DECAY * np.arange(num_blocks))
    scores_TN = np.empty(block_scores_TN.shape, np.float64)
    sorted_TN = np.take_along_axis(block_scores_TN, order_TN, axis=1).astype(np.float64)
    np.put_along_axis(scores_TN, order_TN, sorted_TN * discount_N, axis=1)
    return scores_TN


def frame_masses(block_scores_TRC: np.ndarray) -> np.ndarray:
    """Evidence of each frame, float64 [T]: its ranked scores, plus 0.35 of the largest."""
    scores_TN = block_scores_TRC.reshape(len(block_scores_TRC), -1)
    masses: np.ndarray = ranked_scores(scores_TN).sum(axis=1) + PEAK_SHARE * scores_TN.max(axis=1)
    return masses


def stratified(block_scores_TRC: np.ndarray, num_p_canvases: int) -> np.ndarray:
    """Blocks for `num_p_canvases` P-canvases, int32 [n, 3] = (frame, row, col), in order of choice.

    Canvas p takes its blocks from the frames that hold the p-th equal share of the group's evidence; where those do not
    fill it, from a range about their centre twice as wide; then from the whole group. n is smaller than
    `num_p_canvases * R * C` only when the frames after the anchor have fewer blocks.
    """
    num_frames, num_rows, num_cols = block_scores_TRC.shape
    num_blocks = num_rows * num_cols
    if num_frames < 2 or num_p_canvases < 1:
        return np.zeros((0, 3), np.int32)
    later_TN = block_scores_TRC[1:].reshape(num_frames - 1, num_blocks)
    scores_TN = ranked_scores(later_TN)
    share_T = np.cumsum(scores_TN.sum(axis=1) + PEAK_SHARE * later_TN.max(axis=1))
    if share_T[-1] > 0:
        share_T /= share_T[-1]
    free_TN = np.ones(scores_TN.shape, bool)
    chosen: list[np.ndarray] = []
    for p in range(num_p_canvases):
        wanted = num_blocks
        for low, high in _ranges(share_T, p / num_p_canvases, (p + 1) / num_p_canvases):
            picked = _best(scores_TN, free_TN, low, high, wanted)
            chosen.append(picked)
            wanted -= len(picked)
            if not wanted:
                break
    flat = np.concatenate(chosen)
    frame, block = np.divmod(flat, num_blocks)
    return np.stack((frame + 1, *np.divmod(block, num_cols)), axis=1).astype(np.int32)


def _ranges(share_T: np.ndarray, low_q: float, high_q: float) -> list[tuple[int, int]]:
    """Ranges of frames [low, high) to fill a canvas from: the focus, the wider one, all."""
    last = len(share_T) - 1
    low, high, centre = (
        min(int(np.searchsorted(share_T, q, side="left")), last) for q in (low_q, high_q, (low_q + high_q) / 2)
    )
    reach = max(1, high + 1 - low)
    return [(low, high + 1), (max(0, centre - reach), min(last, centre + reach) + 1), (0, last + 1)]


def _best(scores_TN: np.ndarray, free_TN: np.ndarray, low: int, high: int, wanted: int) -> np.ndarray:
    """Flat indices of the best unused blocks of frames [low, high), score down, then the earlier; marks them used."""
    num_blocks = scores_TN.shape[1]
    candidates = np.flatnonzero(free_TN[low:high]) + low * num_blocks
    scores = scores_TN.ravel()[candidates]
    if wanted < len(scores):
        good_enough = scores >= np.sort(scores)[-wanted]
        candidates, scores = candidates[good_enough], scores[good_enough]
    picked: np.ndarray = candidates[np.argsort(-scores, kind="stable")[:wanted]]
    free_TN.ravel()[picked] = False
    return picked


def few_frames(block_scores_TRC: np.ndarray, num_p_canvases: int, frames_per_canvas: int) -> np.ndarray:
    """Which frames are shown at all, ascending int [t], 0 for the anchor included: of every equal share of the group's evidence in time the
    `frames_per_canvas` with the most of it. A timestamp costs as much as some blocks."""
    num_frames = len(block_scores_TRC)
    wanted = num_p_canvases * frames_per_canvas
    if num_frames - 1 <= wanted:
        return np.arange(num_frames)
    masses_T = frame_masses(block_scores_TRC[1:])
    share_T = (np.cumsum(masses_T) - masses_T / 2) / max(float(masses_T.sum()), 1e-12)
    part_T = np.minimum((share_T * num_p_canvases).astype(np.int64), num_p_canvases - 1)
    kept: list[int] = []
    for part in range(num_p_canvases):
        frames = np.flatnonzero(part_T == part)
        kept += frames[np.argsort(-masses_T[frames], kind="stable")[:frames_per_canvas]].tolist()
    others = [frame for frame in np.argsort(-masses_T, kind="stable").tolist() if frame not in kept]
    kept += others[: wanted - len(kept)]
    return np.array([0, *(frame + 1 for frame in sorted(kept))])


def topk(block_scores_TRC: np.ndarray, num_p_canvases: int) -> np.ndarray:
    """The same from anywhere in the group: the best blocks by raw score, then the earlier, int32 [n, 3], in order of choice."""
    _, num_rows, num_cols = block_scores_TRC.shape
    scores = block_scores_TRC[1:].ravel()
    flat = np.argsort(-scores, kind="stable")[: max(0, num_p_canvases) * num_rows * num_cols]
    frame, block = np.divmod(flat, num_rows * num_cols)
    return np.stack((frame + 1, *np.divmod(block, num_cols)), axis=1).astype(np.int32)


def in_reading_order(chosen: np.ndarray) -> np.ndarray:
    """Chosen blocks [n, 3] sorted by (frame, row, col): the order in which canvases show them."""
    return chosen[np.lexsort((chosen[:, 2], chosen[:, 1], chosen[:, 0]))]
