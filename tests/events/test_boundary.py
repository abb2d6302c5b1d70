"""The boundary alert from packets alone: how soon it comes, how it lives, when it keeps silent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import SettingsError
from stream.events.boundary import BoundaryDetector
from stream.events.boundary_settings import BoundarySettings
from stream.events.cost_level import RunningMedian
from stream.events.event import Change
from stream.units import Packet

FPS = 10
ZERO_WALL_S = 1_700_000_000.0


def packet(index: int, size: float, *, is_key: bool = False, discontinuity: bool = False) -> Packet:
    media_s = index / FPS
    return Packet(
        data=b"",
        pts=index,
        dts=index,
        time_base=Fraction(1, FPS),
        pts_s=media_s,
        media_s=media_s,
        wall_s=ZERO_WALL_S + media_s,
        is_key=is_key,
        codec="h264",
        size_bytes=round(size),
        width=640,
        height=360,
        discontinuity=discontinuity,
    )


def camera(seconds: float, level: Callable[[float], float], noise: float = 0.05, seed: int = 0) -> Iterable[Packet]:
    """Sizes around `level(t)`, with a keyframe eight times as large every four seconds."""
    random = np.random.default_rng(seed)
    for index in range(round(seconds * FPS)):
        is_key = index % (4 * FPS) == 0
        size = level(index / FPS) * math.exp(noise * random.normal()) * (8 if is_key else 1)
        yield packet(index, size, is_key=is_key)


def watch(packets: Iterable[Packet], settings: BoundarySettings | None = None) -> list[tuple[float, Change]]:
    """(media time at which it was told, change)."""
    now_s = [0.0]
    detector = BoundaryDetector("front", settings, clock=lambda: ZERO_WALL_S + now_s[0])
    told = []
    for each in packets:
        now_s[0] = each.media_s
        told += [(each.media_s, change) for change in detector.push(each)]
    return told


def visit(t_s: float) -> float:
    """Somebody is there from 20.0 to 35.0 s."""
    return 5000.0 if 20 <= t_s < 35 else 3500.0


@pytest.mark.parametrize("seed", range(8))
def test_a_visit_in_a_noisy_picture_is_told_within_a_second_and_so_is_its_end(seed: int) -> None:
    told = watch(camera(50, visit, seed=seed))
    came = [at_s for at_s, change in told if change.type in ("new", "update") and 20 <= at_s < 21]
    left = [at_s for at_s, change in told if change.type in ("new", "update") and 35 <= at_s < 36]
    assert came, told
    assert left, told


def test_a_single_large_picture_is_told_at_the_end_of_its_tenth_of_a_second() -> None:
    told = watch(camera(30, lambda t_s: 9000.0 if 20.55 <= t_s < 20.65 else 3500.0))
    assert told[0][0] == pytest.approx(20.7)
    assert told[0][1].after.label == "more"


def test_an_event_has_one_id_and_lives_from_new_to_end() -> None:
    told = [change for at_s, change in watch(camera(34, visit)) if at_s >= 20]
    new, end = told[0], next(change for change in told if change.type == "end")
    assert new.type == "new"
    assert {change.after.id for change in told[: told.index(end) + 1]} == {new.after.id}
    assert (new.after.camera, new.after.kind, new.after.label, new.after.end_time) == ("front", "boundary", "more", None)
    assert new.after.start_time == pytest.approx(ZERO_WALL_S + 20.0, abs=0.6)
    assert end.after.end_time is not None
    assert end.after.end_time - new.after.start_time >= BoundarySettings().calm_s
    (evidence,) = end.after.evidence
    assert evidence.start == new.after.start_time
    assert evidence.frames == pytest.approx((evidence.end - evidence.start) * FPS, abs=1.1)
    assert end.before.start_time == new.after.start_time
    assert 0 <= new.after.frame_age_ms <= 1000


def test_half_an_hour_of_noise_and_keyframes_is_nearly_silent() -> None:
    told = watch(camera(1800, lambda t_s: 3500.0, noise=0.1))
    assert sum(change.type == "new" for _, change in told) <= 8


def test_daylight_that_changes_slowly_is_no_event() -> None:
    told = watch(camera(600, lambda t_s: 3500.0 * math.exp(0.5 * math.sin(t_s / 600)), noise=0.05))
    assert sum(change.type == "new" for _, change in told) <= 6


def test_tiny_pictures_of_a_still_scene_without_noise_are_silent() -> None:
    random = np.random.default_rng(0)
    packets = [packet(index, 20 + 15 * random.random()) for index in range(1200)]
    assert watch(packets) == []


def test_nothing_is_told_before_there_is_a_scale() -> None:
    assert watch(camera(2.5, lambda t_s: 3500.0 if t_s < 1 else 9000.0)) == []


def test_a_gap_ends_the_open_event_and_starts_a_new_level() -> None:
    before = list(camera(20.6, lambda t_s: 9000.0 if t_s >= 20 else 3500.0))
    after = [packet(index, 9000.0, discontinuity=index == 300) for index in range(300, 400)]
    told = watch([*before, *after])
    assert [change.type for _, change in told][:2] == ["new", "end"]
    assert told[1][0] == 30.0
    assert all(change.type != "new" for _, change in told[2:]), "the new level is not compared with the old one"


def test_packets_out_of_order_and_all_at_one_time_raise_nothing() -> None:
    watch([packet(index, 1000.0) for index in (5, 3, 4, 900, 2, 2, 2, 901)])


def test_a_rate_controls_echo_of_keyframes_is_silent() -> None:
    """The two pictures after every keyframe are small, for the rate control pays for it there."""
    told = watch(camera(120, lambda t_s: 3500.0 * (0.3 if 0 < t_s % 4 < 0.25 else 1.0)))
    assert sum(change.type == "new" for _, change in told) <= 1


def test_a_lamp_that_goes_on_right_after_a_keyframe_is_told() -> None:
    """One picture, the second of its group of pictures."""
    told = watch(camera(30, lambda t_s: 9000.0 if 20.05 <= t_s < 20.15 else 3500.0))
    assert told[0][0] == pytest.approx(20.2)


def test_a_constant_bit_rate_hides_a_visit_in_the_quantiser_and_complexity_finds_it() -> None:
    def told(cost: str) -> list[Change]:
        detector = BoundaryDetector("front", BoundarySettings(cost=cost), clock=lambda: ZERO_WALL_S)
        random = np.random.default_rng(1)
        packets = list(camera(40, lambda t_s: 3500.0, noise=0.05))
        qps = (24 + 3 * (20 <= p.media_s < 30) + random.normal(0, 0.2) for p in packets)
        return [change for p, qp in zip(packets, qps, strict=True) for change in detector.push(p, qp)]

    came = [change.after.start_time - ZERO_WALL_S for change in told("complexity") if change.type == "new"]
    assert any(20 <= t_s < 20.5 for t_s in came), came
    assert any(30 <= t_s < 30.5 for t_s in came), came
    assert not [change for change in told("bytes") if change.type == "new"]


def test_complexity_without_a_quantiser_is_bytes() -> None:
    packets = list(camera(50, visit))
    told = [watch(packets, BoundarySettings(cost=cost)) for cost in ("complexity", "bytes")]
    assert [(at_s, change.type) for at_s, change in told[0]] == [(at_s, change.type) for at_s, change in told[1]]


def test_two_tellings_are_never_closer_than_the_refractory_time() -> None:
    told = [at_s for at_s, change in watch(camera(120, lambda t_s: 3500.0 * (1 + t_s % 1.3))) if change.type != "end"]
    assert len(told) > 10
    assert np.diff(told).min() >= BoundarySettings().refractory_s - 1e-6


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"boundary\.cost: expected one of bytes, log, complexity, got 'size'"):
        BoundarySettings(cost="size")
    with pytest.raises(SettingsError, match=r"boundary\.onset: expected above 0, got 0"):
        BoundarySettings(onset=0)


@given(st.lists(st.one_of(st.floats(0, 20), st.sampled_from((0.0, 1.0, 1.5))), min_size=1, max_size=60), st.integers(1, 20))
def test_the_running_median_is_that_of_the_newest_numbers(numbers: list[float], most: int) -> None:
    running = RunningMedian(most)
    for number in numbers:
        running.push(number)
    assert len(running) == len(numbers[-most:])
    assert running.value() == np.median(numbers[-most:])
