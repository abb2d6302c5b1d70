"""Tracks as published: other, slower ways to the assignment, to precision and recall of points, and to J&F."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.evaluate.assignment import assigned
from trainer.evaluate.masks import j_and_f, outline, outline_f, region_j
from trainer.evaluate.tracking import TrueFrame, at_frames, in_mask, point_score, tracks_in
from trainer.world import forms

H, W = 9, 16
seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, rows=st.integers(1, 5), columns=st.integers(1, 5), tied=st.booleans())
def test_an_assignment_is_the_cheapest_of_all(seed: int, rows: int, columns: int, tied: bool) -> None:
    rng = np.random.default_rng(seed)
    costs = rng.integers(0, 4, (rows, columns)).astype(float) if tied else rng.random((rows, columns))
    pairs = assigned(costs)
    assert len(pairs) == min(rows, columns)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    wide = costs if rows <= columns else costs.T
    ways = itertools.permutations(range(wide.shape[1]), wide.shape[0])
    least = min(sum(wide[row, column] for row, column in enumerate(way)) for way in ways)
    assert sum(costs[pair] for pair in pairs) == pytest.approx(least)


def drawn_frames(rng: np.random.Generator) -> list[TrueFrame]:
    """Up to four frames, one a second, of up to three objects in masks of a few pixels."""
    frames = []
    for second in range(int(rng.integers(1, 5))):
        masks = {}
        for ident in range(int(rng.integers(0, 4))):
            top, left = int(rng.integers(0, H - 3)), int(rng.integers(0, W - 4))
            masks[ident] = np.zeros((H, W), bool)
            masks[ident][top : top + 3, left : left + 4] = True
        points = {ident: inside(mask, rng) for ident, mask in masks.items()}
        frames.append(TrueFrame(float(second), points, masks))
    return frames


def inside(mask: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """One of the mask's pixels, told in [0, 1000]."""
    y, x = rng.choice(np.argwhere(mask))
    return float(round(x / W * 1000)), float(round(y / H * 1000))


def drawn_answer(frames: list[TrueFrame], rng: np.random.Generator) -> str:
    """Points near the true ones, some far off, some missing, some too many."""
    parts = []
    for frame in frames:
        points = [point for point in frame.points.values() if rng.random() < 0.8]
        points = [point if rng.random() < 0.6 else tuple(rng.integers(0, 1001, 2)) for point in points]
        points += [tuple(rng.integers(0, 1001, 2)) for _ in range(int(rng.random() < 0.3))]
        if points:
            told = " ".join(f"{ident} {int(x)} {int(y)}" for ident, (x, y) in enumerate(points))
            parts.append(f"{frame.t_s:.1f} {told}")
    return f'<tracks coords="{"; ".join(parts)}">them</tracks>'


def slow_points(answer: str, frames: list[TrueFrame]) -> tuple[float, float, float]:
    """Precision, recall and F1 over every way to assign points, read by hand."""
    coords = re.sub(r'.*coords="|".*', "", answer)
    told_at = {}
    for part in filter(None, coords.split("; ")):
        t_s, *numbers = map(float, part.split(" "))
        told_at[t_s] = [(numbers[k + 1] / 1000 * W, numbers[k + 2] / 1000 * H) for k in range(0, len(numbers), 3)]
    rows = []
    for frame in frames:
        told = told_at.get(frame.t_s, [])
        true = [(x / 1000 * W, y / 1000 * H) for x, y in frame.points.values()]
        masks = list(frame.masks.values())
        if not told or not true:
            rows.append([float(not told and not true)] * 3)
            continue
        num = min(len(told), len(true))
        ways = [
            list(zip(some, others, strict=True))
            for some in itertools.permutations(range(len(told)), num)
            for others in itertools.combinations(range(len(true)), num)
        ]
        way = min(ways, key=lambda pairs: sum(math.dist(told[a], true[b]) for a, b in pairs))
        hits = 0
        for a, b in way:
            x, y = round(told[a][0]), round(told[a][1])
            hits += x < W and y < H and masks[b][y, x]
        rows.append([hits / len(told), hits / len(true), 2 * hits / (len(told) + len(true))])
    return tuple(np.mean(rows, axis=0))


@given(seed=seeds)
@settings(deadline=None)
def test_points_are_right_in_the_mask_of_what_they_are_assigned_to(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = drawn_frames(rng)
    answer = drawn_answer(frames, rng)
    score = point_score(tracks_in(answer), frames, fps=1.0)
    assert (score.precision, score.recall, score.f1) == pytest.approx(slow_points(answer, frames))


@given(seed=seeds)
@settings(deadline=None)
def test_true_points_told_in_their_form_score_one(seed: int) -> None:
    frames = drawn_frames(np.random.default_rng(seed))
    told = [(frame.t_s, {ident: (x / 1000, y / 1000) for ident, (x, y) in frame.points.items()}) for frame in frames]
    assert point_score(tracks_in(forms.tracks(told, "the people")), frames, fps=1.0).f1 == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("answer", "tracks"),
    [
        (
            '<tracks coords="0.0 0 500 430; 1.0 0 510 431 1 20 30">dogs</tracks>',
            {0.0: {0: (500, 430)}, 1.0: {0: (510, 431), 1: (20, 30)}},
        ),
        ("<tracks coords='1.5 0 5 6, 2 0 7 8'>", {1.5: {0: (5, 6)}, 2.0: {0: (7, 8)}}),
        ('coords = "2 0 7 8; 1 0 5 6', {1.0: {0: (5, 6)}, 2.0: {0: (7, 8)}}),
        ('coords="1 0 5.7 6.2 0 9 9"', {1.0: {0: (5, 6)}}),
        ('coords="1 0 5 6; oh 0 7 8; 3 0 2000 5; 4 0 5; 5 0 1 1"', {1.0: {0: (5, 6)}, 5.0: {0: (1, 1)}}),
        ('coords="1\t2 0 5 6; 3.0 \t3 0 7 8"', {1.0: {2: (0, 5)}, 3.0: {3: (0, 7)}}),  # a tab is a space as well
        ("the dog ran", {}),
    ],
)
def test_tracks_are_read_as_published(answer: str, tracks: object) -> None:
    assert tracks_in(answer) == tracks


def test_points_belong_to_the_picture_at_their_time() -> None:
    mask = np.ones((H, W), bool)
    frames = [TrueFrame(t_s, {0: (1, 1)}, {0: mask}) for t_s in (0.0, 0.5)]
    tracks = tracks_in('coords="0.04 0 1 1; 0.48 0 2 2; 0.52 0 3 3; 0.6 0 4 4"')
    assert at_frames(tracks, frames, fps=10.0) == [{0: (1, 1)}, {0: (3, 3)}]
    assert not in_mask((1000.0, 0.0), mask)


def slow_f(told: np.ndarray, true: np.ndarray) -> float:
    """F of outlines by the distance of every pixel of one to every pixel of the other."""
    edges = [[(y, x) for y in range(H) for x in range(W) if on_edge(mask, y, x)] for mask in (told, true)]
    if not all(edges):
        return float(not any(edges))
    radius = math.ceil(0.008 * math.hypot(H, W))
    precision, recall = (
        np.mean([any(math.dist(pixel, other) <= radius for other in others) for pixel in some])
        for some, others in (edges, edges[::-1])
    )
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def on_edge(mask: np.ndarray, y: int, x: int) -> bool:
    right, low = min(x + 1, W - 1), min(y + 1, H - 1)
    return any(mask[y, x] != mask[other] for other in ((y, right), (low, x), (low, right)))


@given(seed=seeds, share=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
@settings(deadline=None)
def test_j_and_f_are_those_of_every_pixel(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    told, true = (rng.random((H, W)) < part for part in (share, rng.choice([0.0, 0.2, 0.6])))
    either = sum(bool(a or b) for a, b in zip(told.flat, true.flat, strict=True))
    both = sum(bool(a and b) for a, b in zip(told.flat, true.flat, strict=True))
    assert region_j(told, true) == pytest.approx(both / either if either else 1.0)
    assert outline_f(told, true) == pytest.approx(slow_f(told, true))
    assert j_and_f(true, true) == 1.0


def test_outlines_may_be_as_far_apart_as_the_diagonal_allows() -> None:
    """640x360: 0.008 of the diagonal are 5.9 pixels, so 6."""
    true, told = np.zeros((2, 360, 640), bool)
    true[100:200, 100:200] = True
    for away, score in ((6, 1.0), (7, 0.5)):
        told[:] = False
        told[100:200, 100 + away : 200 + away] = True
        assert outline_f(told, true) == pytest.approx(score, abs=0.05)
    assert outline(true).sum() == 400
