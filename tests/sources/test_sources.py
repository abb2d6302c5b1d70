"""Files, clocks, addresses and the bridge between threads."""

from __future__ import annotations

import logging
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from clips import write_clip
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import CodecError, SourceError
from stream.sources import Mailbox, MediaClock, open_source, redact
from stream.sources.address import parse_address
from stream.sources.mediaclock import to_media_ticks
from stream.sources.untimed import MAX_HELD, TimeFinder
from stream.units import Packet


def make_packet(number: int, *, is_key: bool = False, size: int = 100) -> Packet:
    return Packet(
        data=b"\x00\x00\x00\x01\x41\x9a" + bytes([1]) * (size - 6),
        pts=number,
        dts=number,
        time_base=Fraction(1, 10),
        pts_s=number / 10,
        media_s=number / 10,
        wall_s=0.0,
        is_key=is_key,
        codec="h264",
        size_bytes=size,
        width=160,
        height=96,
    )


def cut(path: Path, share: float) -> Path:
    """The first part of a file."""
    data = path.read_bytes()
    short = path.with_stem(path.stem + "-cut")
    short.write_bytes(data[: int(share * len(data))])
    return short


# Addresses


@pytest.mark.parametrize(
    ("url", "kind", "opened"),
    [
        ("clip.mp4", "file", "clip.mp4"),
        ("file:///a%20b/clip.mp4", "file", "/a b/clip.mp4"),
        ("rtsp://cam/x", "pull", "rtsp://cam/x"),
        ("listen:rtsp://127.0.0.1:8554/x", "listen", "rtsp://127.0.0.1:8554/x"),
    ],
)
def test_an_address_tells_its_kind(url: str, kind: str, opened: str) -> None:
    address = parse_address(url)
    assert (address.kind, address.url) == (kind, opened)


@pytest.mark.parametrize("url", ["rtmp://cam/x", "listen:clip.mp4", "listen:rtsps://cam/x"])
def test_an_address_that_we_do_not_read_is_refused(url: str) -> None:
    with pytest.raises(SourceError, match=r"expected|listening"):
        parse_address(url)


@given(st.text("abcXYZ019!$&'()*+,;=:%@._~-", min_size=1), st.text("abcXYZ019!$&'()*+,;=:%@._~-", min_size=1))
def test_no_credential_survives_redaction(user: str, password: str) -> None:
    shown = redact(f"cannot open rtsp://{user}:{password}@cam.local:554/x?channel=1 at all")
    assert shown == "cannot open rtsp://***@cam.local:554/x?channel=1 at all"


def test_secrets_in_a_query_are_redacted() -> None:
    assert redact("rtsp://cam/x?user=me&channel=2&password=word") == "rtsp://cam/x?user=***&channel=2&password=***"


# Media time


@given(
    st.integers(-(10**9), 10**9), st.sampled_from([Fraction(1, 12800), Fraction(1, 1000), Fraction(1, 90000), Fraction(1, 24)])
)
def test_ticks_are_brought_to_the_media_clock_as_ffmpeg_does(ticks: int, time_base: Fraction) -> None:
    exact = ticks * time_base * 90000
    ours = to_media_ticks(ticks, time_base)
    assert abs(ours - exact) <= Fraction(1, 2)
    assert abs(ours - exact) < Fraction(1, 2) or abs(ours) > abs(exact)


@pytest.mark.parametrize("fps", [Fraction(n) for n in (8, 10, 12, 15, 16, 20, 24, 25, 30, 50, 60)] + [Fraction(25, 2)])
def test_a_tick_lost_on_the_way_does_not_change_the_time(fps: Fraction) -> None:
    """RTP servers cut where files round: the same seconds must come out."""
    exact, cut_, origin = MediaClock(), MediaClock(), 12345
    for index in range(2000):
        at = index / fps
        rounded = to_media_ticks(index, 1 / fps)
        truncated = int(at * 90000) - (1 if index % 3 and at * 90000 % 1 == 0 else 0)
        a = exact.moment(rounded, Fraction(1, 90000))
        b = cut_.moment(truncated + origin, Fraction(1, 90000))
        assert (a.pts_s, a.media_s) == (b.pts_s, b.media_s) == (pytest.approx(float(at), abs=0.001),) * 2


def moments(ticks: list[int | None]) -> list[tuple[float, float, bool]]:
    clock = MediaClock()
    found = [clock.moment(tick, Fraction(1, 10)) for tick in ticks]
    return [(m.pts_s, m.media_s, m.discontinuity) for m in found]


def test_reordered_pictures_step_back_and_media_time_does_not() -> None:
    assert moments([0, 4, 2, 1, 3]) == [
        (0.0, 0.0, False),
        (0.4, 0.4, False),
        (0.2, 0.4, False),
        (0.1, 0.4, False),
        (0.3, 0.4, False),
    ]


def test_a_gap_is_believed_and_marked() -> None:
    assert moments([0, 1, 51, 52]) == [(0.0, 0.0, False), (0.1, 0.1, False), (5.1, 5.1, True), (5.2, 5.2, False)]


@pytest.mark.parametrize("jump", [36000, -36000, -30])
def test_a_clock_that_jumps_is_marked_and_taken_out(jump: int) -> None:
    assert moments([0, 40, 41, 41 + jump, 42 + jump])[2:] == [(4.1, 4.1, False), (4.2, 4.2, True), (4.3, 4.3, False)]


def test_a_packet_without_a_time_is_one_step_later() -> None:
    assert [m[0] for m in moments([0, 2, None, 6])] == [0.0, 0.2, 0.4, 0.6]


def test_media_time_goes_on_over_a_reconnection() -> None:
    clock = MediaClock()
    clock.reconnect(5.0)
    for tick in (70, 71):
        clock.moment(tick, Fraction(1, 10))
    clock.reconnect(3.0)
    resumed = clock.moment(5, Fraction(1, 10))
    assert (resumed.pts_s, resumed.discontinuity) == (3.1, True)
    assert clock.moment(6, Fraction(1, 10)).pts_s == 3.2
    assert clock.num_jumps == 0


@given(st.lists(st.one_of(st.none(), st.integers(-(10**6), 10**6)), min_size=1, max_size=60))
def test_media_time_never_steps_back(ticks: list[int | None]) -> None:
    found = moments(ticks)
    assert all(a[1] <= b[1] for a, b in pairwise(found))
    assert all(m[0] <= m[1] for m in found)


def test_untimed_packets_wait_a_bounded_number() -> None:
    """Without a reference time there is nothing to wait for."""
    finder = TimeFinder()
    packets = [av.Packet(b"x") for _ in range(MAX_HELD)]
    assert [finder.push(packet) for packet in packets] == [[packet] for packet in packets]
    assert finder.flush() == []


# Files


def test_a_file_gives_every_packet_with_media_and_wall_time(golden: Path) -> None:
    with open_source(str(golden / "macroblock" / "cabac_main_b3.mp4"), clock=lambda: 1000.0) as source:
        packets = list(source)
    assert len(packets) == 120
    assert (source.codec, source.truncated, source.skipped.total()) == ("h264", False, 0)
    assert packets[0].is_key
    assert packets[0].pts_s == packets[0].media_s == 0.0
    assert all(packet.wall_s == 1000.0 + packet.pts_s for packet in packets)
    assert {(packet.width, packet.height) for packet in packets} == {(320, 240)}
    assert not any(packet.discontinuity for packet in packets)
    assert sorted(packet.pts_s for packet in packets) == [pytest.approx(i / 25) for i in range(120)]


def test_a_paced_file_takes_its_own_time(tmp_path: Path) -> None:
    now_s = 50.0

    def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    path = write_clip(tmp_path / "clip.mp4", num_frames=10, bf="0")
    given_s = [now_s for _ in open_source(str(path), paced=True, monotonic=lambda: now_s, sleep=sleep)]
    assert given_s == [pytest.approx(50 + i / 10) for i in range(10)]


@pytest.mark.parametrize("suffix", ["mp4", "ts", "mkv"])
def test_a_truncated_file_gives_what_it_holds(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    whole = write_clip(tmp_path / f"clip.{suffix}", num_frames=40)
    with open_source(str(cut(whole, 0.6))) as source:
        packets = list(source)
    expected = list(open_source(str(whole)))
    assert 10 < len(packets) < 40
    assert [p.data for p in packets[:-1]] == [p.data for p in expected[: len(packets) - 1]]
    if suffix == "mp4":
        assert source.truncated
        assert "cut off" in caplog.text


def test_a_new_size_in_a_file_is_a_discontinuity(tmp_path: Path) -> None:
    first, second = write_clip(tmp_path / "a.h264"), write_clip(tmp_path / "b.h264", width=320, height=192)
    both = tmp_path / "both.h264"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    packets = list(open_source(str(both)))
    assert [p.media_s for p in packets if p.discontinuity] == [packets[30].media_s]
    assert [p.width for p in packets] == [160] * 30 + [320] * 30


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video " * 100)
    (tmp_path / "empty.mp4").write_bytes(b"")
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        track = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame(format="s16", layout="mono", samples=800)
        sound.sample_rate = 8000
        container.mux(track.encode(sound))
    expected = {
        "missing.mp4": "no such file",
        "text.mp4": "expected a video file",
        "empty.mp4": "expected a video file",
        "sound.wav": "expected a video track, found none",
        ".": "expected a file, got a directory|expected a video file",
    }
    for name, words in expected.items():
        with pytest.raises(SourceError, match=words):
            open_source(str(tmp_path / name))


def test_an_index_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "clip.mkv")
    short = tmp_path / "short.mp4"
    short.write_bytes(whole.read_bytes()[:40])
    with pytest.raises(SourceError, match="cut off before its index"):
        open_source(str(short))


def test_a_codec_without_evidence_is_refused(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", codec="mpeg4", num_frames=3)
    with pytest.raises(CodecError, match=r"clip\.avi: expected H\.264, .* or MJPEG, got mpeg4; set the camera's sub-stream"):
        open_source(str(clip))


# The bridge


def test_the_mailbox_gives_in_order_and_ends_with_none() -> None:
    mailbox = Mailbox()
    packets = [make_packet(i, is_key=i == 0) for i in range(3)]
    for packet in packets:
        mailbox.put(packet)
    mailbox.close()
    mailbox.put(make_packet(9))
    assert [mailbox.get() for _ in range(4)] == [*packets, None]


def test_the_mailbox_gives_all_that_wait_at_once_up_to_so_many() -> None:
    mailbox = Mailbox()
    packets = [make_packet(i, is_key=i == 0) for i in range(5)]
    for packet in packets:
        mailbox.put(packet)
    mailbox.close()
    assert [mailbox.take(3) for _ in range(3)] == [packets[:3], packets[3:], []]


def test_an_empty_mailbox_times_out() -> None:
    with pytest.raises(TimeoutError):
        Mailbox().get(timeout_s=0)


def test_a_slow_reader_loses_the_oldest_pictures_up_to_a_keyframe() -> None:
    mailbox = Mailbox(max_packets=10)
    for number in range(15):
        mailbox.put(make_packet(number, is_key=number % 6 == 0))
    mailbox.close()
    left = list(iter(mailbox.get, None))
    assert [packet.pts for packet in left] == [6, 7, 8, 9, 10, 11, 12, 13, 14]
    assert [packet.discontinuity for packet in left] == [True] + [False] * 8
    assert mailbox.num_dropped == 6


def test_without_a_keyframe_in_it_the_mailbox_waits_for_one(caplog: pytest.LogCaptureFixture) -> None:
    mailbox = Mailbox("front", max_packets=4, monotonic=lambda: 100.0)
    with caplog.at_level(logging.WARNING, logger="stream.sources.mailbox"):
        for number in range(8):
            mailbox.put(make_packet(number, is_key=number in (0, 7)))
    assert len(mailbox) == 1
    assert mailbox.get() == replace(make_packet(7, is_key=True), discontinuity=True)
    assert mailbox.num_dropped == 7
    assert "front: reader is too slow, discarding 4 packets" in caplog.text


def test_the_mailbox_is_bounded_in_bytes() -> None:
    mailbox = Mailbox(max_bytes=1000)
    for number in range(50):
        mailbox.put(make_packet(number, is_key=number % 5 == 0, size=300))
        assert len(mailbox) <= 3
