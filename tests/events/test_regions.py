"""Regions at work: what begins, ceases, wanders and flickers somewhere in the picture, and when that is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from clips import write_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.codec.connected import label
from stream.codec.effort import Effort
from stream.codec.places import find_at_work, most_changed
from stream.codec.slice_reader import SliceReader
from stream.events.boundary import BoundaryDetector
from stream.events.event import Change
from stream.events.regions import MOST_PICTURES, SPAN_S, Regions
from stream.sources import open_source
from stream.units import Packet

ROWS, COLUMNS = 12, 20
STEP_S = 0.2
Scene = Callable[[float], list[tuple[int, int]]]
"""Media seconds -> upper left corners of figures of 4 x 3 macroblocks."""


def effort(corners: Iterable[tuple[int, int]] = (), *, moving: float = 0.0) -> Effort:
    spent = np.zeros((ROWS, COLUMNS), np.float32)
    for row, column in corners:
        spent[row : row + 4, column : column + 3] = 1
    return Effort(moving=np.full((ROWS, COLUMNS), moving, np.float32), spent=spent)


def packet(index: int, *, size: int = 1000, fps: float = 1 / STEP_S, discontinuity: bool = False) -> Packet:
    return Packet(
        data=b"",
        pts=index,
        dts=index,
        time_base=Fraction(1, 100),
        pts_s=index / fps,
        media_s=index / fps,
        wall_s=1000.0 + index / fps,
        is_key=False,
        codec="h264",
        size_bytes=size,
        width=16 * COLUMNS,
        height=16 * ROWS,
        discontinuity=discontinuity,
    )


def watch(scene: Scene, seconds: float = 20.0) -> list[tuple[float, str, str]]:
    """(media time, type, label) of what is told; the cost of the packets says nothing."""
    detector = BoundaryDetector("front", clock=lambda: 0.0)
    told = []
    for index in range(round(seconds / STEP_S)):
        each = packet(index)
        told += [(each.media_s, change) for change in detector.push(each, 26.0, effort(scene(each.media_s)))]
    return [(round(at_s, 1), change.type, change.after.label) for at_s, change in told if change.type != "end"]


def test_a_figure_is_told_when_it_sets_off_and_when_it_rests_and_not_while_it_walks_on() -> None:
    """Four macroblocks a second."""
    told = watch(lambda t_s: [(4, int(4 * (t_s - 10)))] if 10 <= t_s < 14 else [])
    assert [(each[0], each[2]) for each in told] == [(10.0, "more"), (14.0, "less")]


def test_a_lamp_that_shows_for_a_moment_is_told_once() -> None:
    told = watch(lambda t_s: [(2, 4), (2, 7), (6, 4), (6, 7)] if 10 <= t_s < 10.3 else [])
    assert [(each[0], each[2]) for each in told] == [(10.0, "more")]


def test_a_second_figure_is_told_elsewhere_while_the_first_goes_on() -> None:
    told = watch(lambda t_s: [(0, abs(12 - int(2 * t_s) % 24))] + ([(8, 15)] if 10 <= t_s < 15 else []))
    after = [each for each in told if each[0] >= 5]
    assert [(each[0], each[2]) for each in after] == [(10.0, "more"), (15.0, "less")]


def test_two_figures_that_meet_and_part_are_no_change() -> None:
    told = watch(lambda t_s: [(4, int(2 * t_s) % 17), (4, 16 - int(2 * t_s) % 17)], seconds=8)
    assert [each for each in told if each[0] >= 1] == []


def test_vectors_without_coefficients_are_noise() -> None:
    regions = Regions()
    assert [regions.push(index * STEP_S, effort(moving=float(index > 5))) for index in range(20)] == [0.0] * 20


def test_vectors_beside_coefficients_count() -> None:
    regions = Regions()
    spent = np.zeros((ROWS, COLUMNS), np.float32)
    spent[5, 5] = 0.1
    faint, clear = Effort(np.zeros_like(spent), spent), Effort(np.ones_like(spent), spent)
    assert max(regions.push(index * STEP_S, clear if index > 5 else faint) for index in range(20)) > 1


@settings(deadline=None)  # the first may compile
@given(st.lists(st.integers(0, 400), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_whatever_comes_memory_is_bounded_and_changes_are_finite(times: list[int], seed: int) -> None:
    rng, regions = np.random.default_rng(seed), Regions()
    for now in sorted(times):
        noise = rng.random((2, ROWS, COLUMNS), np.float32)
        assert np.isfinite(regions.push(now / 20, Effort(moving=noise[0], spent=noise[1])))
        assert len(regions._newest) <= max(3, sum(now / 20 - SPAN_S - 0.01 <= t / 20 <= now / 20 for t in times))


def test_a_source_that_repeats_its_time_for_ever_fills_no_memory() -> None:
    regions, quiet = Regions(), Effort(*np.zeros((2, ROWS, COLUMNS), np.float32))
    for _ in range(1000):
        regions.push(5.0, quiet)
    assert len(regions._newest) <= MOST_PICTURES


def test_another_size_of_picture_starts_anew() -> None:
    regions = Regions()
    for index in range(10):
        regions.push(index * STEP_S, effort([(2, 2)]))
    small = Effort(moving=np.zeros((4, 4), np.float32), spent=np.zeros((4, 4), np.float32))
    assert regions.push(2.0, small) == 0.0


def test_a_gap_forgets_what_was_at_work() -> None:
    detector = BoundaryDetector("front", clock=lambda: 0.0)
    for index in range(50):
        detector.push(packet(index), 26.0, effort([(2, 2)]))
    after = [
        change for index in range(50, 70) for change in detector.push(packet(index, discontinuity=index == 50), 26.0, effort())
    ]
    assert after == []


def test_a_change_of_the_cost_alone_is_told_only_where_effort_is_not_read() -> None:
    """Twice the bytes, and no macroblock at work: rate control."""

    def told(seen: Effort | None) -> list[Change]:
        detector = BoundaryDetector("front", clock=lambda: 0.0)
        rng = np.random.default_rng(0)
        sizes = (3500 * (2 if index >= 200 else 1) * np.exp(0.1 * rng.normal()) for index in range(300))
        packets = (packet(index, size=round(size), fps=10.0) for index, size in enumerate(sizes))
        return [change for each in packets for change in detector.push(each, 26.0, seen)]

    assert [change.type for change in told(None)][:1] == ["new"]
    assert told(effort()) == []


def test_an_event_opened_by_a_region_counts_each_frame_once() -> None:
    detector = BoundaryDetector("front", clock=lambda: 0.0)
    changes = [
        change
        for index in range(100)
        for change in detector.push(
            packet(index, fps=20.0), 26.0, effort([(4, 4)] if index >= 61 else []) if index % 4 == 1 else None
        )
    ]
    end = next(change for change in changes if change.type == "end")
    (evidence,) = end.after.evidence
    assert evidence.frames == pytest.approx((evidence.end - evidence.start) * 20, abs=1.1)


@settings(deadline=None)  # the first may compile
@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_parts_are_those_that_touch(rows: int, columns: int, data: st.DataObject) -> None:
    """Against the definition: smallest number of those reached, step by step."""
    mask = np.array(
        data.draw(st.lists(st.lists(st.booleans(), min_size=columns, max_size=columns), min_size=rows, max_size=rows))
    )
    labels = np.zeros(mask.shape, np.int32)
    num = 1 + label(mask, labels, np.empty((mask.size, 2), np.int32))
    truth = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    for _ in range(mask.size):
        padded = np.pad(truth, 1)
        around = np.max([padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)], axis=0)
        truth = np.where(mask, around, 0)
    assert ((labels > 0) == mask).all()
    assert num == len(set(truth[mask])) + 1 == labels.max() + 1
    assert len(set(zip(labels[mask], truth[mask], strict=True))) == num - 1


def grown(mask: np.ndarray) -> np.ndarray:
    """With the eight neighbours of each."""
    padded, (rows, columns) = np.pad(mask, 1), mask.shape
    return np.any([padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)], axis=0)


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_what_is_at_work_is_coefficients_or_vectors_beside_them(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    moving = rng.random((rows, columns), np.float32)
    spent = np.where(rng.random((rows, columns)) < 0.2, rng.random((rows, columns)), 0).astype(np.float32)
    at_work = np.empty_like(spent)
    found = find_at_work(moving, spent, at_work)
    strength = np.maximum(spent, moving * grown(spent > 0))
    np.testing.assert_array_equal(at_work, np.where(strength >= 0.5, strength, 0))
    assert found == at_work.any()


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_place_that_changed_most_is_found_as_by_hand(rows: int, columns: int, num: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pictures = np.where(rng.random((num, rows, columns)) < 0.15, rng.random((num, rows, columns)), 0).astype(np.float32)
    is_before = rng.random(num) < 0.5
    is_before[0] = True
    kept = np.where(pictures.any(axis=(1, 2)), np.arange(num), -1)
    labels = np.zeros((rows, columns), np.int32)
    label(grown((pictures > 0).any(axis=0)), labels, np.empty((rows * columns, 2), np.int32))
    then, now = pictures[is_before].mean(axis=0), pictures[-1]
    ratios = [(now[labels == place].sum() + 4) / (then[labels == place].sum() + 4) for place in range(1, labels.max() + 1)]
    most = max(ratios, key=lambda ratio: abs(np.log(ratio)), default=1.0)
    assert abs(np.log(most_changed(pictures, kept, is_before))) == pytest.approx(abs(np.log(most)), abs=1e-6)


WALL = np.random.default_rng(1).integers(40, 200, (12, 20, 1)).repeat(16, 0).repeat(16, 1).astype(np.int16)
FIGURE = np.random.default_rng(2).integers(0, 255, (64, 48, 1)).astype(np.int16)


def street(index: int) -> np.ndarray:
    """320 x 192 with sensor noise; from 12 s on a textured figure walks through it, 40 pixels a second, and rests at 16 s."""
    picture = WALL.copy()
    if index >= 120:
        left = 60 + 4 * min(index - 120, 40)
        picture[64:128, left : left + 48] = FIGURE
    noise = np.random.default_rng(1000 + index).integers(-3, 4, picture.shape, dtype=np.int16)
    return np.clip(picture + noise, 0, 255).astype(np.uint8).repeat(3, 2)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> list[Packet]:
    path = tmp_path_factory.mktemp("street") / "street.mp4"
    write_clip(path, width=320, height=192, num_frames=190, draw=street, g="50", bf="0", crf="25")
    with open_source(str(path)) as packets:
        return list(packets)


def told_of(film: Iterable[Packet]) -> list[float]:
    reader, detector = SliceReader(), BoundaryDetector("front", clock=lambda: 0.0)
    told = []
    for each in film:
        slices = reader.of(each)
        changes = detector.push(each, slices.mean_qp(), slices.effort())
        told += [each.media_s for change in changes if change.type != "end"]
    return told


def test_a_still_noisy_film_is_silent_until_somebody_walks_and_the_end_of_the_walk_is_told(film: list[Packet]) -> None:
    told = told_of(film)
    assert told
    assert all(12 <= t_s <= 17 for t_s in told), told
    assert 12 <= told[0] <= 13
    assert any(16 <= t_s <= 17 for t_s in told)


def test_a_film_whose_slices_cannot_be_read_is_told_as_by_its_packets_alone(film: list[Packet]) -> None:
    plain = BoundaryDetector("front", clock=lambda: 0.0)
    told = [(each.media_s, change.type) for each in film for change in plain.push(each)]
    unread = [replace(each, codec="hevc") for each in film]
    reader, detector = SliceReader(), BoundaryDetector("front", clock=lambda: 0.0)
    seen = [(each, reader.of(each)) for each in unread]
    assert all(slices.effort() is None for _, slices in seen)
    assert told == [
        (each.media_s, change.type)
        for each, slices in seen
        for change in detector.push(each, slices.mean_qp(), slices.effort())
    ]
