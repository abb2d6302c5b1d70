"""Packets to pictures: the same as FFmpeg's own, in display order, each with its packet; damage is counted, never raised."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from clips import write_clip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.codec.decode import MAX_REORDER, DecodedFrame, Decoder
from stream.sources import open_source
from stream.units import Packet

CLIPS = ["cabac_main_b3", "slices4_cabac", "cbr_lowdelay", "high_8x8_cavlc"]


@lru_cache(maxsize=8)
def _read(path: Path) -> tuple[Packet, ...]:
    with open_source(str(path)) as source:
        return tuple(source)


def packets_of(path: Path) -> list[Packet]:
    return list(_read(path))


def decode(packets: list[Packet]) -> tuple[list[DecodedFrame], Decoder]:
    decoder = Decoder()
    frames = [frame for packet in packets for frame in decoder.push(packet)]
    return frames + decoder.flush(), decoder


def luma(frame: av.VideoFrame) -> np.ndarray:
    return frame.reformat(format="gray").to_ndarray()


@pytest.mark.parametrize("name", CLIPS)
def test_pictures_are_those_of_a_plain_decoder_in_display_order(golden: Path, name: str) -> None:
    path = golden / "macroblock" / f"{name}.mp4"
    frames, decoder = decode(packets_of(path))
    with av.open(str(path)) as container:
        plain = list(container.decode(video=0))
    assert not decoder.skipped
    assert [frame.frame_id for frame in frames] == list(range(len(plain)))
    for ours, theirs in zip(frames, plain, strict=True):
        assert np.array_equal(luma(ours.picture), luma(theirs))
    assert all(a.media_s < b.media_s for a, b in pairwise(frames))


@pytest.mark.parametrize("name", CLIPS)
def test_picture_types_agree_with_the_reference(golden: Path, name: str) -> None:
    frames, _ = decode(packets_of(golden / "macroblock" / f"{name}.mp4"))
    expected = np.load(golden / "macroblock" / f"{name}.npz")["pict_types"]
    assert [frame.picture_type for frame in frames] == [str(kind) for kind in expected]


def test_the_mean_quantiser_is_that_of_the_macroblocks(golden: Path) -> None:
    frames, _ = decode(packets_of(golden / "macroblock" / "cbr_lowdelay.mp4")[:10])
    for frame in frames:
        params = frame.picture.side_data.get("VIDEO_ENC_PARAMS")
        assert frame.mean_qp == pytest.approx(params.qp_map().mean())


def test_a_cropped_picture_has_the_displayed_size(tmp_path: Path) -> None:
    packets = packets_of(write_clip(tmp_path / "odd.mp4", width=642, height=358, num_frames=3))
    frames, _ = decode(packets)
    assert {(p.width, p.height) for p in packets} == {(642, 358)} == {(f.width, f.height) for f in frames}


def test_what_comes_before_the_first_keyframe_is_counted_and_skipped(golden: Path) -> None:
    packets = packets_of(golden / "macroblock" / "cabac_main_b3.mp4")
    second_key = [index for index, packet in enumerate(packets) if packet.is_key][1]
    frames, decoder = decode(packets[5:])
    whole, _ = decode(packets)
    assert decoder.skipped["no_keyframe"] == second_key - 5
    assert np.array_equal(luma(frames[0].picture), luma(whole[second_key].picture))
    assert frames[0].frame_id == 0


def test_every_packet_ends_as_a_frame_or_as_lost(golden: Path) -> None:
    packets = packets_of(golden / "macroblock" / "cabac_main_b3.mp4")
    broken = [replace(p, data=p.data[: len(p.data) // 2]) if i % 7 == 3 else p for i, p in enumerate(packets)]
    frames, decoder = decode(broken)
    ends = [frame.packet.pts for frame in frames] + [packet.pts for packet in decoder.take_lost()]
    assert sorted(ends) == sorted(packet.pts for packet in packets)
    assert decoder.skipped.total() == len(packets) - len(frames) > 0
    assert decoder.take_lost() == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_makes_the_decoder_raise(golden: Path, data: st.DataObject) -> None:
    packets = packets_of(golden / "macroblock" / "cabac_main_b3.mp4")[:25]
    for _ in range(data.draw(st.integers(1, 6))):
        index = data.draw(st.integers(0, len(packets) - 1))
        whole = bytearray(packets[index].data)
        if len(whole) > 4:  # an earlier round may have left less than a start code
            at = data.draw(st.integers(4, len(whole) - 1))
            whole[at] ^= 1 << data.draw(st.integers(0, 7))
        cut = data.draw(st.integers(0, len(whole))) if data.draw(st.booleans()) else len(whole)
        packets[index] = replace(packets[index], data=bytes(whole[:cut]))
    frames, decoder = decode(packets)
    assert len(frames) + len(decoder.take_lost()) == len(packets)
    assert [frame.frame_id for frame in frames] == list(range(len(frames)))


def test_a_packet_without_a_picture_is_given_up_after_a_bounded_number(golden: Path) -> None:
    packets = packets_of(golden / "macroblock" / "cbr_lowdelay.mp4")
    decoder = Decoder()
    decoder.push(packets[0])
    decoder.push(replace(packets[1], data=b"\x00\x00\x00\x01\x06\x05\x01\x01\x80"))
    lost: list[Packet] = []
    for packet in packets[2 : 2 + MAX_REORDER]:
        decoder.push(packet)
        lost += decoder.take_lost()
    assert packets[1].pts in [packet.pts for packet in lost]


def test_a_new_size_in_the_stream_goes_on(tmp_path: Path) -> None:
    small = packets_of(write_clip(tmp_path / "small.mp4", num_frames=6))
    large = packets_of(write_clip(tmp_path / "large.mp4", width=320, height=192, num_frames=6))
    frames, decoder = decode(small + large)
    assert [frame.width for frame in frames] == [160] * 6 + [320] * 6
    assert not decoder.skipped


def test_another_codec_decodes_without_quantisers(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", codec="libx265", num_frames=6, **{"x265-params": "log-level=none:pools=1"})
    frames, _ = decode(packets_of(clip))
    assert len(frames) == 6
    assert all(np.isnan(frame.mean_qp) for frame in frames)


def test_damage_is_logged_once_a_second(golden: Path, caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    decoder = Decoder("front", monotonic=lambda: now_s)
    packets = [p for p in packets_of(golden / "macroblock" / "cbr_lowdelay.mp4") if not p.is_key]
    with caplog.at_level(logging.WARNING, logger="stream.codec.decode"):
        for packet in packets[:40]:
            now_s += 0.04
            decoder.push(packet)
    assert decoder.skipped["no_keyframe"] == 40
    assert len(caplog.records) == 2
    assert "front: skipped 25 no_keyframe" in caplog.text
