"""The slice data of a packet is read once, for boundary alerts and for the tokenizer alike."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import access_units, mutated
from published import published

from ov2.canvas import CanvasGroup
from stream.codec.decode import Decoder
from stream.codec.effort import START_PICTURES
from stream.codec.h264.annexb import slice_type, split_annexb
from stream.codec.h264.codec import H264
from stream.codec.h264.slice_data import MacroblockParser
from stream.codec.slice_reader import EXTRA_S, SAMPLES_PER_S, SliceReader
from stream.sources import open_source
from stream.tokenizer.tokenizer import Tokenizer
from stream.units import Packet

CLIPS = ("cabac_main_b3", "cbr_lowdelay", "high_8x8_cabac")


def packets_of(path: Path) -> list[Packet]:
    with open_source(str(path)) as packets:
        return list(packets)


@pytest.mark.parametrize("name", CLIPS)
def test_what_alerts_have_read_is_not_read_again_for_the_picture(golden: Path, name: str) -> None:
    reader = SliceReader()
    decoder = Decoder(with_macroblocks=True, slices=reader)
    read, frames = {}, []
    for packet in packets_of(golden / "macroblock" / f"{name}.mp4")[:20]:
        read[packet.pts] = reader.of(packet).grids()
        frames += decoder.push(packet)
    frames += decoder.flush()
    assert len(frames) == 20
    for frame in frames:
        assert frame.macroblocks() is not None
        assert frame.macroblocks() is read[frame.packet.pts]


def test_a_picture_that_is_measured_twice_is_read_once(golden: Path) -> None:
    decoder = Decoder(with_macroblocks=True)
    frames = [frame for packet in packets_of(golden / "macroblock" / "cbr_lowdelay.mp4")[:5] for frame in decoder.push(packet)]
    assert all(frame.macroblocks() is frame.macroblocks() is not None for frame in frames)


@pytest.mark.parametrize("name", CLIPS)
def test_groups_are_the_same_with_and_without_alerts_and_quantisers_are_those_of_the_samples(golden: Path, name: str) -> None:
    packets = packets_of(golden / "macroblock" / f"{name}.mp4")
    settings = published(still_share=0.0, weight_bits=1.0)

    def groups(*, alerts: bool) -> tuple[list[CanvasGroup], dict[int, float]]:
        tokenizer, found, qps = Tokenizer(settings), [], {}
        for index, packet in enumerate(packets):
            if alerts and tokenizer.slices(packet).is_sample:
                qps[index] = tokenizer.slices(packet).mean_qp()
            found += tokenizer.push(packet)
            tokenizer.peek()
        return found + tokenizer.flush(), qps

    parser = MacroblockParser()
    alone = [frame.qp.mean() for packet in packets if (frame := parser.push(packet.data)) is not None]
    (plain, _), (watched, qps) = groups(alerts=False), groups(alerts=True)
    assert len(qps) > 2
    assert all(qps[index] == alone[index] for index in qps)
    assert len(plain) == len(watched) > 0
    for a, b in zip(plain, watched, strict=True):
        assert (a.start_s, a.end_s, a.closed_by) == (b.start_s, b.end_s, b.closed_by)
        np.testing.assert_array_equal(a.canvases, b.canvases)
        np.testing.assert_array_equal(a.positions, b.positions)


def test_what_cannot_be_read_has_no_quantiser_and_no_effort(tmp_path: Path, golden: Path) -> None:
    h265 = packets_of(
        write_clip(tmp_path / "clip.mp4", codec="libx265", num_frames=3, **{"x265-params": "log-level=none:pools=1"})
    )
    key, whole = packets_of(golden / "macroblock" / "cbr_lowdelay.mp4")[:2]
    cut = replace(whole, data=whole.data[: len(whole.data) // 2])
    for unread in (*h265, cut, replace(whole, data=b"\x00\x00\x00\x01")):
        reader = SliceReader()
        reader.of(key)
        assert math.isnan(reader.of(unread).mean_qp())
        assert reader.of(unread).effort() is None
    reader = SliceReader()
    reader.of(key)
    assert reader.of(whole).mean_qp() > 0
    assert reader.of(whole).effort() is not None


@pytest.mark.parametrize("name", ["cabac_main_b3", "cbr_lowdelay", "slices4_cabac", "cavlc_baseline"])
def test_the_type_of_a_picture_is_in_its_first_slice_header(golden: Path, name: str) -> None:
    parser = MacroblockParser()
    for packet in packets_of(golden / "macroblock" / f"{name}.mp4"):
        frame = parser.push(packet.data)
        assert frame is not None
        assert H264.picture_type(packet.data) == frame.picture_type


@pytest.fixture(scope="module")
def low_delay(golden: Path) -> list[Packet]:
    return packets_of(golden / "macroblock" / "cbr_lowdelay.mp4")


def paced(packets: list[Packet], sizes: list[int], fps: float) -> list[Packet]:
    """One keyframe, then one P picture again and again, with these sizes told."""
    key, picture = packets[0], packets[1]
    told = [key, *(replace(picture, size_bytes=size) for size in sizes)]
    return [replace(each, pts_s=index / fps, media_s=index / fps) for index, each in enumerate(told)]


@settings(deadline=None)  # the first may compile
@given(
    st.lists(st.one_of(st.integers(1, 10**6), st.just(1000)), min_size=1, max_size=200),
    st.sampled_from((1.0, 5.0, 10.0, 29.97, 60.0)),
)
def test_samples_are_at_most_five_a_second_and_a_few_that_stand_out(
    low_delay: list[Packet], sizes: list[int], fps: float
) -> None:
    packets = paced(low_delay, sizes, fps)
    reader = SliceReader()
    sampled = [each.pts_s for each in packets if reader.of(each).is_sample]
    assert len(sampled) >= 1
    for first in sampled:
        assert sum(first <= t_s < first + 1.0 for t_s in sampled) <= SAMPLES_PER_S + 1 / EXTRA_S + 1


def test_one_picture_that_stands_out_is_a_sample_between_two_others(low_delay: list[Packet]) -> None:
    """A lamp goes on."""
    packets = paced(low_delay, [1000] * 40 + [9000] + [1000] * 40, 30.0)
    reader = SliceReader()
    assert [index for index, each in enumerate(packets) if reader.of(each).is_sample and each.size_bytes == 9000] == [41]


def test_effort_is_the_same_whoever_asks_first(golden: Path) -> None:
    packets = packets_of(golden / "macroblock" / "cbr_lowdelay.mp4") * 2
    packets = [replace(each, pts_s=index / 5, media_s=index / 5) for index, each in enumerate(packets)]

    def efforts(*, grids_first: bool) -> list[np.ndarray]:
        reader, found = SliceReader(), []
        for packet in packets:
            slices = reader.of(packet)
            if grids_first:
                slices.grids()
            if (effort := slices.effort()) is not None:
                found.append(effort.strength)
        return found

    first, second = efforts(grids_first=True), efforts(grids_first=False)
    assert len(first) > START_PICTURES
    assert sum(strength.sum() for strength in first) > 0
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["cabac_main_b3", "slices4_cabac"])
def test_the_type_of_a_picture_is_that_of_its_first_slice_whatever_stands_in_front_and_however_it_is_damaged(
    golden: Path, name: str
) -> None:
    units = access_units(golden / "macroblock" / f"{name}.mp4")
    for unit in islice(mutated(units, np.random.default_rng(11)), 800):
        first = next((nal for nal in split_annexb(unit, 16) if nal[0] & 31 in (1, 2, 5)), b"")
        assert H264.picture_type(unit) == slice_type(first), unit[:80].hex()
