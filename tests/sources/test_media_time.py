"""Media time on virtual time: counters that begin anew, jumps, wrong, repeated, standing and missing times, clocks of the wrong speed."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sources.mediaclock import MOST_TWINS, MediaClock, Moment
from stream.units import MEDIA_CLOCK_HZ

TICK = Fraction(1, MEDIA_CLOCK_HZ)
STEP = MEDIA_CLOCK_HZ // 25
HOUR = 3600 * MEDIA_CLOCK_HZ
EPOCH_S = 1.7e9
B_FRAMES = (0, 3, 1, 2, 6, 4, 5, 9, 7, 8)
"""Display numbers in decode order."""


def run(ticks: Iterable[int | None], clock: MediaClock | None = None, time_base: Fraction = TICK) -> list[Moment]:
    clock = clock or MediaClock()
    return [clock.moment(tick, time_base) for tick in ticks]


def live(clock: MediaClock, pairs: Iterable[tuple[int | None, float]]) -> list[Moment]:
    """(ticks, seconds since the beginning when it came)."""
    return [clock.moment(tick, TICK, EPOCH_S + came_s) for tick, came_s in pairs]


def assert_sound(found: list[Moment]) -> None:
    assert all(a.media_s <= b.media_s for a, b in pairwise(found))
    assert all(m.pts_s <= m.media_s for m in found)


# Counters that begin anew


@pytest.mark.parametrize("bits", [32, 33])
@pytest.mark.parametrize("time_base", [TICK, Fraction(1, 1000)])
def test_a_counter_that_begins_anew_changes_nothing(bits: int, time_base: Fraction) -> None:
    step = int(Fraction(1, 25) / time_base)
    plain = [step * number for number in range(200)]
    clock = MediaClock()
    wrapped = run([(tick + (1 << bits) - 100 * step) % (1 << bits) for tick in plain], clock, time_base)
    assert wrapped == run(plain, None, time_base)
    assert (clock.num_wraps, clock.num_jumps) == (1, 0)


@pytest.mark.parametrize("bits", [32, 33])
def test_pictures_shown_before_a_counter_began_anew_keep_their_place(bits: int) -> None:
    plain = [STEP * (10 * block + number) for block in range(4) for number in B_FRAMES]
    for first in range(25):
        clock = MediaClock()
        wrapped = run([(tick + (1 << bits) - first * STEP) % (1 << bits) for tick in plain], clock)
        assert wrapped == run(plain)
        assert clock.num_jumps == 0


def test_a_counter_begins_anew_every_time() -> None:
    minute = 60 * MEDIA_CLOCK_HZ - 1
    found = run([(number * minute) % (1 << 32) for number in range(2000)])
    assert [m.pts_s for m in found] == [pytest.approx(number * minute / MEDIA_CLOCK_HZ, abs=1e-3) for number in range(2000)]
    assert [index for index, m in enumerate(found) if m.discontinuity] == [1], "only the first step is unusual"


def test_packets_lost_where_a_counter_begins_anew_are_a_gap() -> None:
    found = run([(1 << 33) - 2 * STEP, (1 << 33) - STEP, 10 * MEDIA_CLOCK_HZ])
    assert found[2] == Moment(pytest.approx(10.08), pytest.approx(10.08), discontinuity=True)


# Jumps


@pytest.mark.parametrize("hours", [1, -1, 5, -20])
def test_a_jump_of_hours_is_taken_out_and_marked_once(hours: int) -> None:
    plain = [STEP * number for number in range(200)]
    clock = MediaClock()
    found = run([tick + (hours * HOUR if tick >= 100 * STEP else 0) for tick in plain], clock)
    assert [m.pts_s for m in found] == [m.pts_s for m in run(plain)]
    assert [index for index, m in enumerate(found) if m.discontinuity] == [100]
    assert clock.num_jumps == 1


def test_there_and_back_again_are_two_jumps() -> None:
    shift = {1: HOUR, 2: 0}
    clock = MediaClock()
    found = run([STEP * number + shift.get(number // 100, 0) for number in range(300)], clock)
    assert [index for index, m in enumerate(found) if m.discontinuity] == [100, 200]
    assert found[-1].pts_s == pytest.approx(299 / 25)
    assert clock.num_jumps == 2


@pytest.mark.parametrize("wrong", [0, 5 * HOUR])
def test_a_single_wrong_time_moves_nothing_but_itself(wrong: int) -> None:
    """A keyframe with time zero is a known mistake of cameras: time must not run away with every one of them."""
    plain = [HOUR // 100 + STEP * number for number in range(400)]
    clock = MediaClock()
    found = run([wrong if number % 50 == 30 else tick for number, tick in enumerate(plain)], clock)
    assert [m.pts_s for m in found] == [m.pts_s for m in run(plain)]
    assert [index for index, m in enumerate(found) if m.discontinuity] == [30]
    assert clock.num_jumps == 8


def test_times_without_any_sense_are_marked_once_in_a_while() -> None:
    """A decoder that starts anew at every packet would never show anything."""
    found = run([(number * 7919 % 100) * HOUR for number in range(200)])
    assert_sound(found)
    assert sum(m.discontinuity for m in found) == 1
    assert found[-1].media_s == pytest.approx(199 / 25, abs=1.0)


def test_a_camera_that_was_silent_is_believed_and_one_that_was_not_has_jumped() -> None:
    """Event cameras send nothing for minutes, and keep the connection."""
    pause = [(STEP * n, n / 25) for n in range(50)] + [(300 * MEDIA_CLOCK_HZ, 300.0), (300 * MEDIA_CLOCK_HZ + STEP, 300.04)]
    waited, jumped = MediaClock(), MediaClock()
    silent, hasty = live(waited, pause), live(jumped, [(tick, n / 25) for n, (tick, _) in enumerate(pause)])
    assert (waited.num_jumps, jumped.num_jumps) == (0, 1)
    assert silent[-2] == Moment(300.0, 300.0, discontinuity=True)
    assert hasty[-2] == Moment(2.0, 2.0, discontinuity=True)


def test_a_jump_behind_a_silence_leaves_the_silence() -> None:
    clock = MediaClock()
    live(clock, [(STEP * n, n / 25) for n in range(50)])
    assert live(clock, [(HOUR, 12.0)])[0].pts_s == pytest.approx(12.0, abs=0.1)


def test_steps_of_a_slow_camera_are_no_gaps() -> None:
    found = run([5 * MEDIA_CLOCK_HZ * number for number in range(20)])
    assert [index for index, m in enumerate(found) if m.discontinuity] == [1], "the first of them may be one"


# Missing, repeated and standing times


def test_repeated_times_are_told_apart_and_change_no_other() -> None:
    plain = [STEP * number for number in range(20)]
    found = run([tick for tick in plain for _ in range(2)])
    assert found[::2] == run(plain)
    assert [m.pts_s for m in found[1::2]] == [pytest.approx(m.pts_s + 0.001) for m in found[::2]]
    assert not any(m.discontinuity for m in found)


def test_a_time_repeated_later_is_told_apart() -> None:
    pts = [m.pts_s for m in run([0, 4 * STEP, STEP, 2 * STEP, 4 * STEP, 5 * STEP])]
    assert len(set(pts)) == len(pts)


@pytest.mark.parametrize("skips", [False, True])
def test_a_clock_that_stands_for_seconds_goes_on_without_a_step_back(skips: bool) -> None:
    """`skips`: it goes on where it would be by now, else where it stopped."""
    stood, after = 75, 100
    ticks = [STEP * n for n in range(50)] + [49 * STEP] * stood
    ticks += [STEP * (n + (stood if skips else 0)) for n in range(50, 50 + after)]
    clock = MediaClock()
    found = run(ticks, clock)
    assert all(a.pts_s < b.pts_s for a, b in pairwise(found))
    assert not any(m.discontinuity for m in found)
    assert found[-1].pts_s == pytest.approx(len(ticks) / 25, abs=0.3)
    assert clock.num_made_up == stood


def test_a_camera_that_sends_no_times_at_all_goes_on_by_frames() -> None:
    assert run([None] * 10)[-1].pts_s == pytest.approx(9 / 25)
    assert run([0] * 50)[-1].pts_s == pytest.approx((49 - MOST_TWINS) / 25, abs=0.01)


# The wrong speed


def lying(rate: float, seconds: float, fps: float = 25.0, since_s: float = 0.0) -> list[tuple[int | None, float]]:
    """Packets of a camera whose clock makes `rate` seconds of a second, as they come."""
    numbers = range(round(seconds * fps))
    return [(round((since_s + n / fps) * rate * MEDIA_CLOCK_HZ), since_s + n / fps) for n in numbers]


@pytest.mark.parametrize("rate", [2.0, 0.1, 10.0, 1.2, 0.5])
def test_a_live_clock_of_the_wrong_speed_is_believed_no_longer_than_half_a_minute(rate: float) -> None:
    clock = MediaClock()
    found = live(clock, lying(rate, 90.0))
    assert_sound(found)
    before, after = found[-1 - 40 * 25], found[-1]
    assert after.pts_s - before.pts_s == pytest.approx(40.0, rel=0.03)
    assert clock.rate == pytest.approx(1 / rate, rel=0.03)
    assert not any(m.discontinuity for m in found[2:]), "nothing is missing"


@pytest.mark.parametrize("fps_told", [24, 30, 26])
def test_a_wrong_frame_rate_is_found_within_minutes(fps_told: int) -> None:
    clock = MediaClock()
    live(clock, lying(25 / fps_told, 500.0))
    assert clock.rate == pytest.approx(fps_told / 25, rel=0.01)


def test_a_camera_without_times_is_held_to_its_arrivals() -> None:
    clock = MediaClock()
    found = live(clock, [(None, n / 10) for n in range(1000)])
    assert found[-1].pts_s - found[-301].pts_s == pytest.approx(30.0, rel=0.03)


@pytest.mark.parametrize("rate", [2.0, 0.1])
def test_pictures_keep_their_order_where_the_speed_changes(rate: float) -> None:
    clock, came_s, pairs = MediaClock(), 0.0, []
    for block in range(100):
        for number in B_FRAMES:
            came_s += 0.04
            pairs.append((round(rate * STEP * (10 * block + number)), came_s))
    found = live(clock, pairs)
    assert clock.num_rates == 1
    shown = [m.pts_s for _, m in sorted(zip([tick for tick, _ in pairs], found, strict=True), key=lambda pair: pair[0])]
    assert all(a < b for a, b in pairwise(shown))


@pytest.mark.parametrize("jitter", [0.0, 0.3, 2.0])
def test_delays_and_stalls_of_an_honest_camera_change_nothing(jitter: float) -> None:
    """Packets wait up to `jitter` seconds in turn, and once for 20 s; then they come all at once."""
    came, pairs = 0.0, []
    for number in range(25 * 600):
        late = jitter * (number * 7919 % 1000) / 1000
        captured = number / 25
        held = 140.0 if 120.0 < captured < 140.0 else captured
        came = max(came, held + late)
        pairs.append((STEP * number, came))
    clock = MediaClock()
    assert live(clock, pairs) == run([tick for tick, _ in pairs])
    assert clock.num_rates == 0


def test_a_file_pushed_as_fast_as_it_goes_keeps_its_times() -> None:
    clock = MediaClock()
    pairs = [(STEP * n, n / 25 / 60) for n in range(25 * 3600)]
    assert live(clock, pairs) == run([tick for tick, _ in pairs])


def test_our_own_clock_that_is_set_changes_no_media_time() -> None:
    for shift_s in (3600.0, -3600.0, 30.0, -30.0):
        pairs = [(STEP * n, n / 25 + (shift_s if n > 1000 else 0.0)) for n in range(25 * 400)]
        clock = MediaClock()
        assert live(clock, pairs) == run([tick for tick, _ in pairs])


# Properties


TICKS = st.one_of(
    st.none(),
    st.integers(0, 1 << 33),
    st.integers(0, 200).map(lambda n: n * STEP),
    st.integers(-5, 5).map(lambda n: n * HOUR),
)


@given(st.lists(st.tuples(TICKS, st.floats(-7200, 7200)), min_size=1, max_size=120), st.booleans())
def test_whatever_comes_media_time_never_steps_back(steps: list[tuple[int | None, float]], is_live: bool) -> None:
    clock = MediaClock()
    found = live(clock, steps) if is_live else run([tick for tick, _ in steps], clock)
    assert_sound(found)


@given(
    first=st.integers(0, (1 << 33) - 1),
    steps=st.lists(st.integers(1, 2 * MEDIA_CLOCK_HZ), min_size=1, max_size=200),
    bits=st.sampled_from([32, 33]),
)
def test_sound_times_come_out_as_they_are_wherever_the_counter_began(first: int, steps: list[int], bits: int) -> None:
    ticks = [0]
    for step in steps:
        ticks.append(ticks[-1] + step)
    assert run([(tick + first) % (1 << bits) for tick in ticks]) == run(ticks)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.lists(st.floats(0.0, 5.0), min_size=60, max_size=60),
)
def test_when_packets_came_does_not_change_sound_times(steps: list[int], late: list[float]) -> None:
    """Repeated times, too: bit by bit, a file and a camera that send the same packets get the same times."""
    ticks, came = [0], [0.0]
    for step, late_s in zip(steps, late, strict=False):
        ticks.append(ticks[-1] + step * STEP)
        came.append(max(came[-1], ticks[-1] / MEDIA_CLOCK_HZ + late_s))
    assert live(MediaClock(), zip(ticks, came, strict=True)) == run(ticks)


def test_a_first_picture_without_a_time_after_a_reconnect_is_one_discontinuity_and_not_two() -> None:
    """RTSP often leaves the first time out; a second discontinuity would cost the decoder a whole group of pictures."""
    clock, base = MediaClock(), Fraction(1, 90_000)
    for index in range(30):
        clock.moment(index * 9000, base)
    clock.reconnect(2.0)
    moments = [clock.moment(ticks, base) for ticks in (None, 9000, 18_000, 27_000)]
    assert [moment.discontinuity for moment in moments] == [True, False, False, False]
    assert [round(moment.media_s, 1) for moment in moments] == [4.9, 5.0, 5.1, 5.2]
