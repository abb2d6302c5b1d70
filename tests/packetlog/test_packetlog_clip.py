"""Clips: the very pictures that were recorded, at their times, in a file that anything plays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import pytest
from clips import scene, write_clip
from hypothesis import given
from hypothesis import strategies as st
from ov2_command import ov2
from packetlog_cases import packets as no_pictures

from stream.errors import PacketLogError
from stream.packetlog import PacketLog, PacketLogWriter, cut_clip
from stream.packetlog.timing import decode_ticks
from stream.sources import open_source
from stream.units import Packet

FPS, GOP, NUM_FRAMES = 10, 10, 60
WALL_S = 1_700_000_000.0
ENCODERS = {
    "plain": ("libx264", {"bf": "0"}),
    "bframes": ("libx264", {"bf": "3", "x264-params": "b-pyramid=normal:b-adapt=0"}),
    "open_gop": ("libx264", {"bf": "3", "x264-params": "open-gop=1:b-adapt=0"}),
    "hevc": ("libx265", {"x265-params": "log-level=error:bframes=3:pools=1:keyint=10:open-gop=1"}),
}
Pictures = dict[int, bytes]


def pictures(path: Path) -> Pictures:
    """Milliseconds -> decoded bytes."""
    with av.open(str(path)) as container:
        return {round(1000 * float(frame.time)): frame.to_ndarray().tobytes() for frame in container.decode(video=0)}


def taken(path: Path) -> list[Packet]:
    with open_source(str(path), clock=lambda: WALL_S) as source:
        return list(source)


def log_of(folder: Path, packets: Iterable[Packet]) -> PacketLog:
    with PacketLogWriter(folder) as writer:
        for packet in packets:
            writer.put(packet)
    return PacketLog(folder)


def moved(packets: Iterable[Packet], seconds: float, wall_s: float | None = None) -> list[Packet]:
    """The same, later."""
    return [
        replace(
            p, pts_s=p.pts_s + seconds, media_s=p.media_s + seconds, wall_s=p.wall_s + (seconds if wall_s is None else wall_s)
        )
        for p in packets
    ]


def ms(wall_s: float) -> int:
    return round(1000 * (wall_s - WALL_S))


@pytest.fixture(scope="module", params=ENCODERS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    codec, options = ENCODERS[request.param]
    path = tmp_path_factory.mktemp("source") / f"{request.param}.mp4"
    return write_clip(path, codec=codec, fps=FPS, num_frames=NUM_FRAMES, g=str(GOP), **options)


@pytest.mark.parametrize("with_dts", [True, False])
def test_a_clips_pictures_are_those_of_the_source_at_their_times(source: Path, tmp_path: Path, with_dts: bool) -> None:
    """RTSP tells no decoding times; they are found again."""
    packets = [packet if with_dts else replace(packet, dts=None) for packet in taken(source)]
    log, truth = log_of(tmp_path / "log", packets), pictures(source)
    for start, end in ((0.0, 5.9), (1.0, 2.0), (2.55, 3.25), (4.99, 99.0), (-5.0, 0.35)):
        clip = cut_clip(log, WALL_S + start, WALL_S + end, tmp_path / "clip.mp4")
        found = pictures(clip.path)
        first, last = ms(clip.start_s), ms(clip.end_s)
        assert {first + at: data for at, data in found.items()} == {
            at: data for at, data in truth.items() if first <= at <= last
        }, (start, end)
        assert first <= max(0, 1000 * start) < first + 1000 * GOP / FPS
        assert 1000 * end - 100 < last <= 1000 * end + 400 or last == 5900
        assert clip.num_frames == len(found) == round((last - first) / 100) + 1
        assert (clip.width, clip.height, clip.gaps, clip.cut_short) == (160, 96, (), None)
        assert clip.duration_s == pytest.approx((last - first) / 1000 + 0.1)


def test_a_clip_is_a_file_that_others_play(source: Path, tmp_path: Path) -> None:
    clip = cut_clip(log_of(tmp_path / "log", taken(source)), WALL_S + 1.0, WALL_S + 3.0, tmp_path / "clip.mp4")
    data = clip.path.read_bytes()
    assert clip.num_bytes == len(data)
    assert data.index(b"moov") < data.index(b"mdat")  # plays while it loads
    assert not list(tmp_path.glob("*.part"))
    with av.open(str(clip.path)) as container:
        (track,) = container.streams
        units = [unit for unit in container.demux(track) if unit.size]
        assert float(track.duration * track.time_base) == pytest.approx(clip.duration_s, abs=0.02)
        assert track.codec_context.codec_tag in ("avc1", "hvc1")
        assert track.start_time == 0
    assert units[0].is_keyframe
    assert all(b.dts > a.dts for a, b in pairwise(units))
    assert all(unit.pts >= unit.dts for unit in units)


def test_an_rtsp_camera_with_b_frames_gives_clips(tmp_path: Path, rtsp_server: Callable[..., int]) -> None:
    codec, options = ENCODERS["bframes"]
    path = write_clip(tmp_path / "source.mp4", codec=codec, fps=FPS, num_frames=30, g=str(GOP), **options)
    with open_source(f"rtsp://127.0.0.1:{rtsp_server(path)}/cam", timeout_s=30.0) as camera:
        packets = list(camera)
    clip = cut_clip(log_of(tmp_path / "log", packets), packets[0].wall_s, packets[-1].wall_s + 1, tmp_path / "clip.mp4")
    assert pictures(clip.path) == pictures(path)


# What is not one smooth stretch


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "plain.mp4", fps=FPS, num_frames=NUM_FRAMES, g=str(GOP), bf="2")


def test_a_gap_stays_a_gap_and_what_cannot_be_decoded_after_it_is_left_out(plain: Path, tmp_path: Path) -> None:
    packets, truth = taken(plain), pictures(plain)
    late = moved(packets[23:], 7.0)
    log = log_of(tmp_path / "log", [*packets[:20], replace(late[0], discontinuity=True), *late[1:]])
    clip = cut_clip(log, WALL_S, WALL_S + 99, tmp_path / "clip.mp4")
    found = pictures(clip.path)
    expected = {at: truth[at] for at in sorted(packet_ms(packets[:20]))} | {
        at + 7000: truth[at] for at in range(3000, 6000, 100)
    }
    assert found == expected
    (gap,) = clip.gaps
    assert (ms(gap[0]), ms(gap[1])) == (max(packet_ms(packets[:20])), 10_000)


def packet_ms(packets: Iterable[Packet]) -> list[int]:
    return [round(1000 * packet.pts_s) for packet in packets]


def test_a_clip_that_begins_in_a_gap_begins_after_it(plain: Path, tmp_path: Path) -> None:
    packets = taken(plain)
    late = moved(packets[30:], 60.0)
    log = log_of(tmp_path / "log", [*packets[:30], replace(late[0], discontinuity=True), *late[1:]])
    clip = cut_clip(log, WALL_S + 40, WALL_S + 65, tmp_path / "clip.mp4")
    assert (ms(clip.start_s), clip.gaps) == (63_000, ())
    assert pictures(clip.path)[0] == pictures(plain)[3000]


def test_a_clip_over_two_recordings_keeps_the_wall_time_between_them(plain: Path, tmp_path: Path) -> None:
    """The second one's media time begins at zero again."""
    packets, truth = taken(plain), pictures(plain)
    log_of(tmp_path / "log", packets)
    log = log_of(tmp_path / "log", moved(packets, 0.0, wall_s=20.0))
    clip = cut_clip(log, WALL_S, WALL_S + 99, tmp_path / "clip.mp4")
    assert pictures(clip.path) == truth | {at + 20_000: data for at, data in truth.items()}
    assert [(ms(a), ms(b)) for a, b in clip.gaps] == [(5_900, 20_000)]


def test_a_change_of_the_picture_size_ends_the_clip_and_says_so(plain: Path, tmp_path: Path) -> None:
    large = write_clip(tmp_path / "large.mp4", width=320, height=192, num_frames=20, draw=scene(320, 192))
    after = moved(taken(large), 6.0)
    log = log_of(tmp_path / "log", [*taken(plain), replace(after[0], discontinuity=True), *after[1:]])
    clip = cut_clip(log, WALL_S + 3, WALL_S + 8, tmp_path / "clip.mp4")
    assert ms(clip.end_s) == 5900
    assert clip.cut_short is not None
    assert "from 160x96 to 320x192" in clip.cut_short
    rest = cut_clip(log, WALL_S + 6, WALL_S + 8, tmp_path / "rest.mp4")
    assert (rest.width, rest.num_frames, rest.cut_short) == (320, 20, None)


def test_damage_in_a_log_costs_no_more_than_its_group_of_pictures(plain: Path, tmp_path: Path) -> None:
    packets, truth = taken(plain), pictures(plain)
    log = log_of(tmp_path / "log", packets)
    (path,) = log.folder.glob("*.ov2log")
    data = bytearray(path.read_bytes())
    data[data.index(packets[33].data[-40:])] ^= 1
    path.write_bytes(bytes(data))
    clip = cut_clip(PacketLog(log.folder), WALL_S, WALL_S + 9, tmp_path / "clip.mp4")
    found = pictures(clip.path)
    assert all(truth[at] == data for at, data in found.items())
    assert set(range(0, 3000, 100)) | set(range(4000, 6000, 100)) <= set(found)


# What is refused


def test_a_clip_that_cannot_be_is_refused_by_name(plain: Path, tmp_path: Path) -> None:
    log, out = log_of(tmp_path / "log", taken(plain)), tmp_path / "clip.mp4"
    for start, end, path, most, says in (
        (5.0, 5.0, out, 1 << 20, "expected an end after the start"),
        (-9.0, -8.0, out, 1 << 20, r"expected pictures between .*the log covers"),
        (0.0, 5.0, out, 1000, r"at most 1000 bytes \(max_bytes\)"),
        (0.0, 5.0, tmp_path / "no" / "folder.mp4", 1 << 20, "cannot be written"),
    ):
        with pytest.raises(PacketLogError, match=says):
            cut_clip(log, WALL_S + start, WALL_S + end, path, max_bytes=most)
    with pytest.raises(PacketLogError, match=r"expected H\.264 or H\.265, got vp9"):
        cut_clip(log_of(tmp_path / "vp9", [replace(packet, codec="vp9") for packet in taken(plain)]), WALL_S, WALL_S + 1, out)
    with pytest.raises(PacketLogError, match=r"parameter sets|cannot be written"):
        cut_clip(log_of(tmp_path / "noise", no_pictures(20)), WALL_S, WALL_S + 1, out)
    assert not list(tmp_path.glob("*.mp4*.part"))
    assert not out.exists()


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=60))
def test_decoding_times_rise_and_are_never_late(shown: list[int]) -> None:
    moved_, decoded = decode_ticks(shown)
    assert all(b > a for a, b in pairwise(decoded))
    assert all(at >= ticks for at, ticks in zip(moved_, decoded, strict=True))
    if len(set(shown)) == len(shown):
        assert moved_ == shown


# The command


def test_the_clip_command_takes_times_from_the_end_and_tells_the_truth(plain: Path, tmp_path: Path) -> None:
    log, out = log_of(tmp_path / "log", taken(plain)), tmp_path / "clip.mp4"
    command = ["clip", str(log.folder), "--start", "-3.5", "--end", "-1", str(out)]
    done = ov2(*command, "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert (ms(told["start_s"]), told["path"]) == (2000, str(out))
    assert len(pictures(out)) == told["num_frames"]
    done = ov2(*command)
    assert done.returncode == 0
    assert "2023-11-14T22:13:22.000+00:00" in done.stdout
