"""Wall time on virtual time: by sender reports, by arrival, and when a clock is wrong, ours or the camera's."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sources.sample import Sample
from stream.sources.timekeeper import Timekeeper
from stream.sources.wallclock import RISE, Live, Recorded
from stream.units import MEDIA_CLOCK_HZ, Packet

EPOCH_S = 1.7e9
FPS = 25
HOUR_S = 3600.0
NETWORK_S = 0.05


def captured(seconds: float, since_s: float = 0.0) -> list[float]:
    """Moments at which pictures are taken, seconds since the beginning."""
    return [since_s + n / FPS for n in range(round(seconds * FPS))]


def wall(
    clock: Live,
    moments: list[float],
    *,
    delay: Callable[[float], float] = lambda s: NETWORK_S,
    reported: Callable[[float], float | None] = lambda s: None,
    ours: Callable[[float], float] = lambda s: EPOCH_S + s,
) -> list[float]:
    """Wall times, seconds since the beginning by a true clock. `delay` on the way of a picture taken then; `reported`: what the camera's
    clock said then, since the beginning; `ours`: our clock."""
    came, found = 0.0, []
    for taken in moments:
        came = max(came, taken + delay(taken))
        told = reported(taken)
        found.append(clock.wall_s(taken, ours(came), None if told is None else EPOCH_S + told) - EPOCH_S)
    return found


def late(found: list[float], moments: list[float]) -> list[float]:
    return [wall_s - taken for wall_s, taken in zip(found, moments, strict=True)]


# By arrival


def test_without_reports_wall_time_is_the_arrival_of_the_quickest_and_bursts_are_smoothed() -> None:
    """Packets of a second come at once, at its end: the last of them was the quickest."""
    moments, clock = captured(60.0), Live()
    found = wall(clock, moments, delay=lambda s: NETWORK_S + 1.0 - s % 1.0)
    steady = late(found, moments)[FPS:]
    assert clock.source == "arrival"
    assert all(0.0 <= each <= 0.2 for each in steady)
    assert all(0.02 < b - a < 0.06 for a, b in pairwise(found[FPS:]))


def test_a_stall_shows_as_age_and_moves_no_picture() -> None:
    """Twelve seconds of pictures come late, and are dated when they were taken."""
    moments, clock = captured(120.0), Live()
    found = wall(clock, moments, delay=lambda s: max(NETWORK_S, 72.0 - s if s > 60.0 else 0.0))
    assert all(-0.01 <= each <= 0.3 for each in late(found, moments))
    assert clock.num_reanchors == 0


def test_a_line_that_is_too_slow_shows_its_growing_age() -> None:
    moments, clock = captured(120.0), Live()
    found = wall(clock, moments, delay=lambda s: NETWORK_S + 0.2 * s)
    age = moments[-1] + NETWORK_S + 0.2 * moments[-1] - found[-1]
    assert age == pytest.approx(24.0, abs=120 * RISE * 1.3)
    assert clock.num_reanchors == 0


def test_a_camera_whose_time_stood_still_is_anchored_anew() -> None:
    """Its media time is ten seconds behind from then on, and no line is so late so steadily."""
    clock = Live()
    before, after = captured(60.0), captured(60.0, since_s=60.0)
    wall(clock, before)
    found = [clock.wall_s(s, EPOCH_S + 10.0 + s + NETWORK_S, None) - EPOCH_S for s in after]
    assert clock.num_reanchors == 1
    assert found[-1] == pytest.approx(after[-1] + 10.0 + NETWORK_S, abs=0.3)
    assert all(a <= b for a, b in pairwise(found))


def test_clocks_that_drift_apart_stay_together() -> None:
    """Four hours, a thousandth too slow: fifteen seconds in the end."""
    clock = Live()
    ages = []
    for n in range(0, 4 * 3600 * FPS, 5):
        came = n / FPS
        ages.append(EPOCH_S + came - clock.wall_s(0.999 * came, EPOCH_S + came, None))
    assert max(ages) < 0.1


# By the camera's clock


def test_reports_tell_when_a_picture_was_taken_however_late_it_came() -> None:
    """Also a lag that was there from the beginning, which arrivals alone cannot show."""
    moments, clock = captured(60.0), Live()
    found = wall(clock, moments, delay=lambda s: 2.0 + (s * 7 % 1.0), reported=lambda s: s)
    assert late(found, moments) == [pytest.approx(0.0, abs=1e-6)] * len(moments)
    assert (clock.source, clock.clock_wrong, clock.num_reanchors) == ("sender report", False, 0)


def test_the_first_report_may_come_seconds_after_the_first_picture() -> None:
    moments, clock = captured(20.0), Live()
    found = wall(clock, moments, delay=lambda s: 2.3, reported=lambda s: s if s >= 2.7 else None)
    before, after = [taken for taken in moments if taken < 2.7], [taken for taken in moments if taken >= 2.7]
    assert late(found, moments) == [pytest.approx(2.3)] * len(before) + [pytest.approx(0.0, abs=1e-6)] * len(after)


def test_a_report_that_is_missing_once_is_filled_in() -> None:
    moments, clock = captured(10.0), Live()
    found = wall(clock, moments, delay=lambda s: 0.4, reported=lambda s: None if round(s * FPS) % 7 == 3 else s)
    assert late(found, moments)[10:] == [pytest.approx(0.0, abs=1e-6)] * (len(moments) - 10)


@pytest.mark.parametrize("ahead_s", [0.2, 3.0, 4.9])
def test_a_camera_ahead_of_us_does_not_hide_its_lag(ahead_s: float) -> None:
    """No picture comes before it is taken. A stall of eight seconds shows in full."""
    moments, clock, ages = captured(60.0), Live(), []
    for taken in moments:
        came = max(taken, 40.0 if 32.0 < taken <= 40.0 else 0.0) + NETWORK_S
        ages.append(EPOCH_S + came - clock.wall_s(taken, EPOCH_S + came, EPOCH_S + taken + ahead_s))
    assert min(ages) >= 0.0
    assert max(ages) == pytest.approx(8.0, abs=0.2)


@pytest.mark.parametrize("off_s", [HOUR_S, -HOUR_S, 8.0, -8.0])
def test_a_camera_whose_clock_is_wrong_is_dated_by_arrival_and_told(off_s: float) -> None:
    moments, clock = captured(60.0), Live()
    found = wall(clock, moments, delay=lambda s: NETWORK_S + (s * 7 % 0.2), reported=lambda s: s + off_s)
    assert all(0.0 <= each <= 0.3 for each in late(found, moments))
    assert (clock.clock_wrong, clock.num_reanchors) == (True, 1)
    assert clock.clock_offset_s == pytest.approx(-off_s, abs=0.1)


@pytest.mark.parametrize("off_s", [HOUR_S, -HOUR_S])
def test_a_camera_that_sets_its_clock_is_followed_at_once(off_s: float) -> None:
    moments, clock = captured(90.0), Live()
    found = wall(clock, moments, reported=lambda s: s + (off_s if 30.0 <= s < 60.0 else 0.0))
    assert all(abs(each) <= 0.1 for each in late(found, moments))
    assert (clock.clock_wrong, clock.num_reanchors) == (False, 1)


def test_a_camera_with_a_wrong_clock_still_tells_its_lag() -> None:
    moments, clock = captured(60.0), Live()
    found = wall(clock, moments, delay=lambda s: 9.0 if s > 30.0 else NETWORK_S, reported=lambda s: s + HOUR_S)
    assert all(abs(each) <= 0.1 for each in late(found, moments))


def test_pictures_that_a_server_kept_do_not_make_its_clock_wrong() -> None:
    """It begins with the last eight seconds, all at once."""
    moments, clock = captured(30.0), Live()
    found = wall(clock, moments, delay=lambda s: max(NETWORK_S, 8.0 - s), reported=lambda s: s)
    assert (clock.clock_wrong, clock.num_reanchors) == (False, 0)
    assert late(found, moments)[-1] == pytest.approx(0.0, abs=1e-6)


# Our own clock


@pytest.mark.parametrize("reports", [False, True])
@pytest.mark.parametrize("shift_s", [HOUR_S, -HOUR_S])
def test_when_our_own_clock_is_set_wall_time_goes_with_it(shift_s: float, reports: bool) -> None:
    moments, clock = captured(60.0), Live()
    found = wall(
        clock,
        moments,
        reported=lambda s: s if reports else None,
        ours=lambda s: EPOCH_S + s + (shift_s if s >= 30.0 else 0.0),
    )
    after = [each for each, taken in zip(late(found, moments), moments, strict=True) if taken > 31.0]
    assert after == [pytest.approx(shift_s, abs=0.1)] * len(after)
    assert clock.num_reanchors >= 1


# Of pictures, not of packets


def sample(number: int, arrival_s: float, reported_s: float | None = None) -> Sample:
    return Sample(b"\x00\x00\x00\x01\x41\x9a", number * MEDIA_CLOCK_HZ // FPS, None, Fraction(1, MEDIA_CLOCK_HZ), arrival_s, reported_s,
                  is_key=number == 0, codec="h264", size_bytes=6, width=160, height=96)  # fmt: skip


def packets(timekeeper: Timekeeper) -> list[Packet]:
    order = [0, *(10 * block + n for block in range(20) for n in (3, 1, 2, 6, 4, 5, 9, 7, 8, 10))]
    return [timekeeper.packet(sample(number, EPOCH_S + 1.0 + place / FPS)) for place, number in enumerate(order)]


@pytest.mark.parametrize("clock", [Live(), Recorded(EPOCH_S)])
def test_reordered_pictures_have_wall_times_in_the_order_in_which_they_are_shown(clock: Live | Recorded) -> None:
    shown = sorted(packets(Timekeeper(clock)), key=lambda packet: packet.pts_s)[10:]
    assert [b.wall_s - a.wall_s for a, b in pairwise(shown)] == [pytest.approx(1 / FPS, abs=0.01)] * (len(shown) - 1)


def test_the_same_samples_give_the_same_packets() -> None:
    assert packets(Timekeeper(Live())) == packets(Timekeeper(Live()))


def test_a_new_connection_is_anchored_anew() -> None:
    """Media time knows of the pause only roughly; wall time knows it from the first packet."""
    timekeeper = Timekeeper(Live())
    packets(timekeeper)
    timekeeper.reconnect(30.0)
    resumed = timekeeper.packet(sample(0, EPOCH_S + 45.0))
    assert resumed.wall_s == EPOCH_S + 45.0
    assert resumed.discontinuity


def test_age_is_right_again_once_a_clock_of_the_wrong_speed_is_found_out() -> None:
    """A tenth of the real speed looks like a line that gets slower and slower; the wall clock may not go on believing that."""
    timekeeper, found = Timekeeper(Live()), []
    for number in range(90 * FPS):
        came = EPOCH_S + number / FPS
        found.append(came - timekeeper.packet(sample(number, came)._replace(pts=number * MEDIA_CLOCK_HZ // FPS // 10)).wall_s)
    assert all(0.0 <= age < 0.5 for age in found[35 * FPS :])


# Properties


@given(
    delays=st.lists(st.floats(0.0, 30.0), min_size=2, max_size=150),
    told=st.sampled_from(["nothing", "right", "an hour off", "anything"]),
    offsets=st.lists(st.floats(-1e5, 1e5), min_size=150, max_size=150),
)
def test_wall_time_is_never_later_than_the_arrival_nor_earlier_than_the_picture_before(
    delays: list[float], told: str, offsets: list[float]
) -> None:
    clock, came, last = Live(), 0.0, 0.0
    for number, delay in enumerate(delays):
        taken = number / FPS
        came = max(came, taken + delay)
        off = {"nothing": None, "right": 0.0, "an hour off": HOUR_S, "anything": offsets[number]}[told]
        if number % 3 == 2:
            off = None  # a picture whose report is missing
        wall_s = clock.wall_s(taken, EPOCH_S + came, None if off is None else EPOCH_S + taken + off)
        assert last <= wall_s <= EPOCH_S + came
        last = wall_s


@given(delays=st.lists(st.floats(0.0, 3.0), min_size=FPS * 12, max_size=FPS * 12), off_s=st.floats(-1e6, 1e6))
def test_wall_time_is_within_the_delays_of_the_truth_whatever_the_camera_says(delays: list[float], off_s: float) -> None:
    clock, came = Live(), 0.0
    for number, delay in enumerate(delays):
        taken = number / FPS
        came = max(came, taken + delay)
        wall_s = clock.wall_s(taken, EPOCH_S + came, EPOCH_S + taken + off_s) - EPOCH_S
    error = wall_s - taken
    assert abs(error) <= max(5.0 if abs(off_s) <= 5.0 else 0.0, 3.0) + 0.01
