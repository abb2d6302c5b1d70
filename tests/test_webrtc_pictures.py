"""RTP packets to pictures to samples, without a network: order, loss, time, keyframes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webrtc_bits import KEY, PLAIN, PPS, SPS, Clock

from stream.errors import TooLargeError
from stream.sources.limits import IngestLimits
from stream.sources.sample import Sample
from stream.units import MEDIA_CLOCK_HZ
from stream.webrtc.assembly import MAX_WAITING, Assembly, Encoded
from stream.webrtc.pictures import KeyWish, Pictures
from stream.webrtc.rtptime import NTP_EPOCH_S, TIMESTAMPS, RtpTime

PATIENCE_S = 0.4
MAX_BYTES = 100_000


@dataclass
class Rtp:
    """A packet as aiortc hands it on."""

    sequence_number: int
    timestamp: int
    marker: int = 1
    ssrc: int = 7
    payload: bytes = b"x"
    _data: bytes = PLAIN


class Gathered:
    """An assembly and what came out of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.pictures: list[Encoded] = []
        self.asked: list[list[int]] = []
        self.num_large = 0
        self.assembly = Assembly(
            self.pictures.append,
            patience_s=PATIENCE_S,
            max_bytes=MAX_BYTES,
            on_large=self._large,
            ask_again=lambda ssrc, numbers: self.asked.append(numbers),
            monotonic=self.clock,
        )

    def _large(self) -> None:
        self.num_large += 1

    def add(self, *packets: Rtp, after_s: float = 0.0) -> bool:
        """Whether a keyframe was asked for."""
        self.clock.now_s += after_s
        return sum(self.assembly.add(packet)[0] for packet in packets) > 0

    @property
    def timestamps(self) -> list[int]:
        return [picture.timestamp for picture in self.pictures]


@pytest.fixture
def gathered() -> Gathered:
    return Gathered()


def pictures_of(num: int, pieces: int = 3, first: int = 65_530) -> list[Rtp]:
    """Pictures of several packets each, whose sequence numbers wrap."""
    return [
        Rtp(
            (first + pieces * picture + piece) % 65_536,
            3000 * picture,
            int(piece == pieces - 1),
            _data=(PLAIN if piece == 0 else b"more"),
        )
        for picture in range(num)
        for piece in range(pieces)
    ]


def test_a_picture_goes_on_with_its_last_packet(gathered: Gathered) -> None:
    *most, last = pictures_of(1)
    gathered.add(*most)
    assert gathered.pictures == []
    gathered.add(last)
    assert [picture.data for picture in gathered.pictures] == [PLAIN + b"more" + b"more"]


@given(st.permutations(range(9)), st.sets(st.integers(0, 8)))
def test_packets_in_any_order_and_twice_give_the_same_pictures(order: list[int], twice: set[int]) -> None:
    gathered = Gathered()
    first, later = pictures_of(4)[:3], pictures_of(4)[3:]
    gathered.add(*first, *(later[index] for index in order), *(later[index] for index in twice))
    assert gathered.timestamps == [0, 3000, 6000, 9000]
    assert not gathered.assembly.lost


def test_without_markers_a_picture_ends_where_the_next_begins(gathered: Gathered) -> None:
    packets = pictures_of(3)
    for packet in packets:
        packet.marker = 0
    gathered.add(*packets)
    assert gathered.timestamps == [0, 3000]


def test_a_marker_on_every_unit_is_found_out(gathered: Gathered) -> None:
    packets = pictures_of(4)
    for packet in packets:
        packet.marker = 1
        packet._data = PLAIN
    gathered.add(*packets)
    assert gathered.timestamps[-2:] == [3000, 6000]
    assert gathered.pictures[-1].data == PLAIN * 3


def test_a_lost_packet_is_asked_for_again_then_its_picture_is_given_up_and_a_keyframe_asked_for(gathered: Gathered) -> None:
    packets = pictures_of(6)
    lost = packets.pop(4)
    gathered.add(*packets[:6])
    assert gathered.timestamps == [0]
    assert not gathered.add(*packets[6:8], after_s=0.2)
    assert gathered.asked == [[lost.sequence_number]]
    assert gathered.add(*packets[8:], after_s=PATIENCE_S)
    assert gathered.timestamps == [0, 6000, 9000, 12_000, 15_000]
    assert [picture.after_loss for picture in gathered.pictures[1:3]] == [True, False]
    assert gathered.assembly.lost == {"damaged": 1}


def test_a_packet_that_comes_late_but_in_time_heals_the_picture(gathered: Gathered) -> None:
    packets = pictures_of(4)
    lost = packets.pop(4)
    gathered.add(*packets, after_s=0.1)
    assert not gathered.add(lost, after_s=0.1)
    assert gathered.timestamps == [0, 3000, 6000, 9000]
    assert not gathered.assembly.lost


def test_a_picture_that_lost_its_beginning_is_left_out(gathered: Gathered) -> None:
    packets = pictures_of(3)
    del packets[3]
    gathered.add(*packets)
    gathered.add(*pictures_of(4)[9:], after_s=2 * PATIENCE_S)
    assert gathered.timestamps == [0, 6000, 9000]


def test_what_waits_behind_a_lost_packet_is_bounded(gathered: Gathered) -> None:
    gathered.add(Rtp(0, 0))
    asked = gathered.add(*(Rtp(2 + number, 3000 + 3000 * number) for number in range(MAX_WAITING + 1)))
    assert asked
    assert len(gathered.pictures) == MAX_WAITING + 2


def test_a_sender_that_begins_anew_is_followed(gathered: Gathered) -> None:
    gathered.add(*pictures_of(2))
    assert gathered.add(*(Rtp(500 + number, 9000 + 3000 * number, ssrc=8) for number in range(2)))
    assert gathered.timestamps == [0, 3000, 9000, 12_000]
    assert gathered.pictures[2].after_loss


def test_padding_is_no_picture(gathered: Gathered) -> None:
    gathered.add(*pictures_of(1), Rtp(65_533, 0, 0, payload=b"", _data=b""), *pictures_of(2, first=65_531)[3:])
    assert gathered.timestamps == [0, 3000]


@given(st.integers(0, TIMESTAMPS - 1), st.lists(st.integers(-TIMESTAMPS // 2 + 1, TIMESTAMPS // 2 - 1), max_size=20))
def test_rtp_time_unwraps_whatever_the_steps(first: int, steps: list[int]) -> None:
    times, true = RtpTime(), first
    assert times.ticks(first, ssrc=1) == first
    for step in steps:
        true += step
        assert times.ticks(true % TIMESTAMPS, ssrc=1) == true


def ntp(wall_s: float) -> int:
    return round((wall_s + NTP_EPOCH_S) * (1 << 32))


def test_reports_tell_the_wall_time_of_pictures_also_across_a_wrap() -> None:
    times = RtpTime()
    first = TIMESTAMPS - MEDIA_CLOCK_HZ
    times.ticks(first, ssrc=1)
    times.report(1, ntp(1000.0), first)
    assert times.reported_s(first) is None
    times.report(1, ntp(1002.0), (first + 2 * MEDIA_CLOCK_HZ) % TIMESTAMPS)
    assert times.reported_s(times.ticks((first + 3 * MEDIA_CLOCK_HZ) % TIMESTAMPS, ssrc=1)) == pytest.approx(1003.0, abs=1e-3)


@pytest.mark.parametrize("slope", [0.5, 2.0])
def test_reports_whose_clocks_disagree_are_not_believed(slope: float) -> None:
    times = RtpTime()
    times.ticks(0, ssrc=1)
    for second in range(5):
        times.report(1, ntp(1000.0 + second), round(slope * second * MEDIA_CLOCK_HZ))
        assert times.reported_s(0) is None


def test_a_report_without_a_clock_or_of_another_source_says_nothing() -> None:
    times = RtpTime()
    times.ticks(0, ssrc=1)
    for second in range(3):
        times.report(1, 0, second * MEDIA_CLOCK_HZ)
        times.report(2, ntp(50.0 + second), second * MEDIA_CLOCK_HZ)
    assert times.reported_s(0) is None


class Flow:
    """Pictures of one publisher, on a clock of the test's own."""

    def __init__(self, parameter_sets: bytes, **limits: float) -> None:
        self.clock = Clock()
        self.samples: list[Sample] = []
        self.num_asked = 0
        self.pictures = Pictures(
            self.samples.append,
            self._ask,
            parameter_sets=parameter_sets,
            key_patience_s=2.0,
            limits=IngestLimits(**limits),  # type: ignore[arg-type]
            clock=self.clock,
            monotonic=self.clock,
        )
        self._time = 0

    def _ask(self) -> None:
        self.num_asked += 1

    def push(self, data: bytes, *, after_loss: bool = False) -> None:
        self._time += 3000
        self.clock.now_s += 1 / 30
        self.pictures.push(Encoded(data, self._time, 1, after_loss))


def test_pictures_begin_at_a_keyframe_that_was_asked_for() -> None:
    flow = Flow(b"")
    for data in (PLAIN, KEY, PLAIN, SPS + PPS + KEY, PLAIN):
        flow.push(data)
    assert [sample.is_key for sample in flow.samples] == [True, False]
    assert flow.samples[0].data == SPS + PPS + KEY
    assert flow.samples[0].pts == 4 * 3000
    assert (flow.samples[0].width, flow.samples[0].height) != (0, 0)
    assert flow.num_asked == 3
    assert not flow.samples[0].breaks


def test_after_a_loss_pictures_are_left_out_until_a_keyframe() -> None:
    flow = Flow(SPS + PPS)
    for data in (KEY, PLAIN):
        flow.push(data)
    flow.push(PLAIN, after_loss=True)
    flow.push(PLAIN)
    flow.push(KEY)
    flow.push(PLAIN)
    assert [sample.pts for sample in flow.samples] == [3000, 6000, 15_000, 18_000]
    assert [sample.breaks for sample in flow.samples] == [False, False, True, False]
    assert flow.pictures.skipped == {"after_loss": 2}
    assert flow.num_asked == 2


def test_a_sender_that_gives_no_keyframe_is_taken_as_it_comes_in_the_end() -> None:
    flow = Flow(SPS + PPS)
    flow.push(KEY)
    flow.push(PLAIN, after_loss=True)
    for _ in range(90):
        flow.push(PLAIN)
    assert [sample.breaks for sample in flow.samples[:3]] == [False, True, False]
    assert flow.clock.now_s > 102.0
    assert 25 < len(flow.samples) < 35


def test_wishes_for_keyframes_are_rationed() -> None:
    clock, asked = Clock(), []
    wish = KeyWish(lambda: asked.append(clock.now_s), clock)
    for _ in range(20):
        clock.now_s += 0.1
        wish()
    assert len(asked) == 4


def test_a_picture_that_never_ends_is_told_once_and_not_kept(gathered: Gathered) -> None:
    """Fragments of one time, without a marker."""
    gathered.add(*(Rtp(number, 3000, 0, _data=PLAIN if number == 0 else bytes(1000)) for number in range(5000)))
    held = gathered.assembly._picture
    assert held is not None
    assert sum(map(len, held.pieces)) <= MAX_BYTES
    assert gathered.num_large == 1
    gathered.add(Rtp(5000, 6000), Rtp(5001, 9000))
    assert gathered.timestamps == [6000, 9000]
    assert gathered.assembly.lost == {"damaged": 1}


def test_pictures_over_the_limits_are_refused_with_the_setting() -> None:
    flow = Flow(SPS + PPS, max_access_unit_mb=0.1, max_picture_px=640 * 480)
    with pytest.raises(TooLargeError, match=r"at most 307200 pixels, got 1280x720; .* ingest\.max_picture_px") as caught:
        flow.push(KEY)
    assert caught.value.reason == "large_picture"
    with pytest.raises(TooLargeError, match=r"at most 0\.1 MiB, .* ingest\.max_access_unit_mb"):
        flow.push(KEY + bytes([0x55]) * 110_000)
