"""Streams as cameras send them, odd and broken ones too, from the file to the canvases: nothing raises, time never turns back, groups
go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from clips import write_clip
from mutations import mutated
from published import published
from surgery import (
    TS_PACKET_BYTES,
    Packet,
    remux,
    with_data,
    with_order_type_1,
    without_parameter_sets,
    write_plain,
)

from ov2.canvas import CanvasGroup
from stream import units
from stream.codec.decode import Decoder
from stream.codec.h264.annexb import nal_type, split_annexb
from stream.codec.h264.parameter_sets import read_sps
from stream.sources import open_source
from stream.tokenizer.budget import group_line
from stream.tokenizer.tokenizer import Tokenizer
from stream.units import MEDIA_CLOCK_HZ

FPS = 10
SETTINGS = published(max_pixels=24_000, token_rate=60.0, t_max_s=3.0, weight_bits=0.3)
HOUR = 3600 * MEDIA_CLOCK_HZ
STEP = MEDIA_CLOCK_HZ // FPS


class Result(NamedTuple):
    """What became of a file."""

    packets: list[units.Packet]
    groups: list[CanvasGroup]
    tokenizer: Tokenizer
    decoder: Decoder

    @property
    def lines(self) -> list[object]:
        """Times, sizes and checksums of the groups."""
        return [group_line(group, index) for index, group in enumerate(self.groups)]

    @property
    def num_shown(self) -> int:
        return self.tokenizer.stats.num_frames

    @property
    def marks(self) -> list[int]:
        return [index for index, packet in enumerate(self.packets) if packet.discontinuity]


def take(path: Path) -> Result:
    """The whole way; everything that has to hold of any stream is checked."""
    with open_source(str(path)) as source:
        packets = list(source)
    decoder = Decoder("corpus", with_macroblocks=True)
    tokenizer = Tokenizer(SETTINGS, decoder=decoder)
    groups = [group for packet in packets for group in tokenizer.push(packet)] + tokenizer.flush()
    assert all(a.media_s <= b.media_s for a, b in pairwise(packets))
    assert all(packet.pts_s <= packet.media_s for packet in packets)
    assert all(group.start_s < group.end_s for group in groups)
    assert all(a.end_s <= b.start_s + 1e-6 for a, b in pairwise(groups))
    assert all(seconds == sorted(seconds) for seconds in ([run[0] for run in group.runs[1:]] for group in groups))
    return Result(packets, groups, tokenizer, decoder)


def order_types(result: Result) -> set[int]:
    sets = [read_sps(nal) for packet in result.packets for nal in split_annexb(packet.data) if nal_type(nal) == 7]
    return {sps.pic_order_cnt_type for sps in sets if sps is not None}


def assert_whole(result: Result, num_frames: int) -> None:
    """Every picture was shown, every macroblock was read, and the groups leave nothing out."""
    assert (len(result.packets), result.num_shown) == (num_frames, num_frames)
    assert not result.tokenizer.stats.dropped
    assert not result.decoder.unread
    assert (result.groups[0].start_s, result.groups[-1].end_s) == (0.0, pytest.approx(num_frames / FPS))
    assert all(a.end_s == b.start_s for a, b in pairwise(result.groups))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture(scope="module")
def baseline(folder: Path) -> Path:
    return write_clip(folder / "baseline.ts", fps=FPS, num_frames=60, profile="baseline", bf="0")


@pytest.fixture(scope="module")
def b_frames(folder: Path) -> Path:
    return write_clip(folder / "b_frames.ts", fps=FPS, num_frames=60, bf="3", b_strategy="0")


# Picture order, and where decoding may start


def test_all_three_kinds_of_picture_order_are_read(folder: Path, baseline: Path, b_frames: Path) -> None:
    """Type 1 is type 2 with its parameter sets rewritten: the same pictures, so the same canvases."""
    counted = take(remux([baseline], folder / "order_1.ts", lambda number, packet: with_order_type_1(packet)))
    plain, reordered = take(baseline), take(b_frames)
    assert [order_types(result) for result in (reordered, counted, plain)] == [{0}, {1}, {2}]
    assert counted.lines == plain.lines
    for result in (reordered, counted, plain):
        assert_whole(result, 60)


@pytest.mark.parametrize("order", ["0", "2"])
def test_a_minute_without_a_keyframe_is_grouped_like_any_other(folder: Path, order: str) -> None:
    rare = {"g": "9999", "x264-params": "keyint=infinite:scenecut=0"}
    result = take(write_clip(folder / f"rare_{order}.ts", fps=FPS, num_frames=610, bf=order, **rare))
    assert [packet.is_key for packet in result.packets] == [True] + 609 * [False]
    assert_whole(result, 610)
    assert len(result.groups) >= 20


def test_decoding_starts_at_a_refresh_where_no_keyframe_comes(folder: Path) -> None:
    """Intra refresh: a recovery point every five seconds. We come in the middle."""
    refresh = {"g": "50", "x264-params": "intra-refresh=1"}
    result = take(middle_of(write_clip(folder / "refresh.ts", fps=FPS, num_frames=300, bf="0", **refresh)))
    assert 50 <= result.tokenizer.stats.dropped["no_keyframe"] + result.num_shown <= 160
    assert result.tokenizer.stats.dropped["no_keyframe"] <= 50
    assert result.groups[-1].end_s - result.groups[0].start_s >= 8.0


def test_who_comes_in_the_middle_and_finds_no_keyframe_waits_for_one(folder: Path) -> None:
    rare = {"g": "200", "x264-params": "keyint=200:min-keyint=200:scenecut=0"}
    result = take(middle_of(write_clip(folder / "middle.ts", fps=FPS, num_frames=230, bf="2", **rare)))
    assert 50 < result.tokenizer.stats.dropped["no_keyframe"] < 150
    assert result.num_shown == 30
    assert result.groups[-1].end_s - result.groups[0].start_s == pytest.approx(3.0)


def middle_of(clip: Path) -> Path:
    data = clip.read_bytes()
    late = clip.with_stem(clip.stem + "_late")
    late.write_bytes(data[len(data) // TS_PACKET_BYTES // 2 * TS_PACKET_BYTES :])
    return late


# Parameter sets


def test_a_new_size_in_band_closes_the_group_and_goes_on(folder: Path, baseline: Path) -> None:
    larger = write_clip(folder / "larger.ts", fps=FPS, width=320, height=192, num_frames=60, bf="0")
    result = take(remux([baseline, larger, baseline], folder / "sizes.ts", lambda number, packet: packet))
    assert [packet.width for packet in result.packets] == [160] * 60 + [320] * 60 + [160] * 60
    assert result.marks == [60, 120]
    assert [group.closed_by for group in result.groups].count("discontinuity") == 2
    assert result.num_shown == 180


def test_other_parameters_in_band_at_the_same_size_interrupt_nothing(folder: Path, b_frames: Path) -> None:
    """CABAC, then CAVLC with another quantiser, then CABAC again, under the same numbers of the sets."""
    other = write_clip(folder / "cavlc.ts", fps=FPS, num_frames=60, bf="0", coder="0", qp="30")
    result = take(remux([b_frames, other, b_frames], folder / "entropy.ts", lambda number, packet: packet))
    assert not result.marks
    assert_whole(result, 180)


def test_parameter_sets_may_come_once(folder: Path, baseline: Path) -> None:
    once = write_plain(
        baseline, folder / "once.h264", lambda number, data: data if not number else without_parameter_sets(data)
    )
    always = write_plain(baseline, folder / "always.h264", lambda number, data: data)
    assert once.stat().st_size < always.stat().st_size
    assert take(once).lines == take(always).lines


def test_parameter_sets_may_be_in_the_header_alone(folder: Path, baseline: Path) -> None:
    def strip(number: int, packet: Packet) -> Packet:
        return with_data(packet, without_parameter_sets(bytes(packet)))

    header = remux([baseline], folder / "header.mkv", strip)
    assert take(header).lines == take(baseline).lines


# Damage


@pytest.mark.parametrize("seed", range(4))
def test_damaged_units_are_counted_and_groups_go_on(folder: Path, b_frames: Path, seed: int) -> None:
    """One picture in eight: flipped bits, cut-off ends, junk, units in another order, changed headers and parameter sets."""
    rng = np.random.default_rng(seed)
    with open_source(str(b_frames)) as source:
        damage = mutated([packet.data for packet in source], rng)

    def break_some(number: int, packet: Packet) -> Packet | None:
        if number % 8 != 5:
            return packet
        return with_data(packet, next(damage))

    result = take(remux([b_frames] * 4, folder / f"damaged_{seed}.mkv", break_some))
    assert len(result.packets) >= 200
    assert result.num_shown >= 60
    assert result.groups[-1].end_s >= 23.0


@pytest.mark.parametrize("suffix", ["ts", "mkv", "mp4"])
@pytest.mark.parametrize("seed", range(2))
def test_damaged_files_give_what_they_hold(folder: Path, suffix: str, seed: int) -> None:
    """Bytes are changed all over the pictures, whole stretches are lost."""
    clip = write_clip(folder / f"whole.{suffix}", fps=FPS, num_frames=120, bf="2")
    data, rng = bytearray(clip.read_bytes()), np.random.default_rng(seed)
    first = len(data) // 8  # behind what is needed to open it
    for at in rng.integers(first, len(data) - len(data) // 16, 40):
        data[at] ^= int(rng.integers(1, 256))
    for at in rng.integers(first, len(data) - len(data) // 8, 3):
        at -= at % TS_PACKET_BYTES
        del data[at : at + 3 * TS_PACKET_BYTES]
    broken = folder / f"broken_{seed}.{suffix}"
    broken.write_bytes(data)
    result = take(broken)
    assert result.num_shown >= 5
    assert result.groups


def test_pieces_of_a_packet_are_counted_whatever_is_left_of_them(b_frames: Path) -> None:
    """Also nothing at all, which FFmpeg would take for the end of the stream."""
    with open_source(str(b_frames)) as source:
        packets = list(source)
    for left in range(6):
        tokenizer = Tokenizer(SETTINGS)
        groups: list[CanvasGroup] = []
        for number, packet in enumerate(packets):
            data = packet.data[:left] if number % 10 == 5 else packet.data
            groups += tokenizer.push(replace(packet, data=data))
        groups += tokenizer.flush()
        assert tokenizer.stats.dropped["empty_packet"] == (6 if left <= 4 else 0)
        assert tokenizer.stats.num_frames >= 20
        assert groups[-1].end_s == pytest.approx(6.0)


# Times


def shifted(by: Callable[[int], int], number: int, packet: Packet) -> Packet:
    """The packet `by` that many ticks later, for its number."""
    packet.pts, packet.dts = packet.pts + by(number), packet.dts + by(number)
    return packet


@pytest.mark.parametrize("name", ["baseline", "b_frames"])
def test_a_transport_stream_whose_clock_wraps_gives_the_same_groups(
    folder: Path, name: str, request: pytest.FixtureRequest
) -> None:
    clip = request.getfixturevalue(name)
    near = remux([clip], folder / f"near_{name}.ts", partial(shifted, lambda number: (1 << 33) - 30 * STEP))
    assert take(near).lines == take(clip).lines


@pytest.mark.parametrize("name", ["baseline", "b_frames"])
@pytest.mark.parametrize("hours", [1, -1])
def test_a_transport_stream_whose_clock_jumps_is_marked_and_goes_on(
    folder: Path, name: str, hours: int, request: pytest.FixtureRequest
) -> None:
    """Two recordings, one behind the other. FFmpeg gives up the picture at the seam, where the packet counters do not fit."""
    clip = request.getfixturevalue(name)
    parts = [
        remux([clip], folder / f"{part}_{name}_{hours}.ts", partial(shifted, lambda number, at=at: at))
        for part, at in (("first", 2 * HOUR), ("second", (2 + hours) * HOUR))
    ]
    both = folder / f"jump_{name}_{hours}.ts"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    result = take(both)
    assert result.marks == [59]
    assert result.num_shown == 119
    assert result.groups[-1].end_s == pytest.approx(11.9, abs=0.3)


def test_repeated_and_standing_times_stop_no_group(folder: Path, baseline: Path) -> None:
    """Every second picture repeats the time of the one before; for three seconds all have the same."""

    def change(number: int, packet: Packet) -> Packet:
        shown = number // 2 * 2
        packet.pts = packet.dts + 60 * STEP - (number - (60 if 60 <= number < 90 else shown)) * STEP
        return packet

    result = take(remux([baseline] * 3, folder / "standing.mkv", change))
    times = [packet.pts_s for packet in result.packets]
    assert all(a < b for a, b in pairwise(times))
    assert not result.marks
    assert result.num_shown == 180
    assert result.groups[-1].end_s == pytest.approx(18.0, abs=0.5)
    assert max(group.end_s - group.start_s for group in result.groups) <= SETTINGS.t_max_s + SETTINGS.bin_s


def test_a_stream_without_any_times_goes_on_by_its_frames(folder: Path, baseline: Path) -> None:
    plain = take(write_plain(baseline, folder / "timeless.h264", lambda number, data: data))
    assert [packet.pts_s for packet in plain.packets] == [pytest.approx(number / 25) for number in range(60)]
    assert plain.num_shown == 60
