"""Pictures that are decoded once somebody asks: the same frames and pixels as with everything decoded, and few of them."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from doctor_clips import CLIPS
from mutations import mutated
from repository import GOLDEN
from walker_film import film

from stream.codec.codecs import starts_decoding
from stream.codec.decode import DecodedFrame, Decoder
from stream.codec.frame import CodedFrame, Frame
from stream.codec.h264.annexb import NalType, join_annexb
from stream.codec.on_demand import OnDemandDecoder
from stream.codec.picture_decoder import GREY
from stream.codec.slice_reader import SliceReader
from stream.sources import open_source
from stream.units import Packet

FILMS = GOLDEN / "macroblock"
IN_ORDER = ("cavlc_baseline", "cbr_lowdelay")
REORDERED = "cabac_main_b3"


def on_demand(catch_up_s: float = 1e9) -> OnDemandDecoder:
    return OnDemandDecoder(Decoder(), SliceReader(), catch_up_s=catch_up_s)


def frames_of(decoder: Decoder | OnDemandDecoder, packets: Sequence[Packet]) -> list[Frame]:
    frames: list[Frame] = [frame for packet in packets for frame in decoder.push(packet)]
    return [*frames, *decoder.flush()]


def packets_of(path: Path) -> list[Packet]:
    with open_source(str(path)) as source:
        return list(source)


def rgb(frame: Frame) -> np.ndarray:
    return frame.hold()(64, 48)


@pytest.mark.parametrize("packets", [film(), film(gop=10), *(packets_of(FILMS / f"{name}.mp4") for name in IN_ORDER)])
def test_frames_and_their_pixels_are_those_of_a_decoder_that_decodes_them_all(packets: Sequence[Packet]) -> None:
    decoder = on_demand()
    frames, expected = frames_of(decoder, packets), frames_of(Decoder(), packets)
    assert [(each.frame_id, each.media_s, each.packet.pts) for each in frames] == [
        (each.frame_id, each.media_s, each.packet.pts) for each in expected
    ]
    assert sum(isinstance(each, CodedFrame) for each in frames) > len(frames) / 2
    order = random.Random(2).sample(range(len(frames)), len(frames))
    for index in order:
        np.testing.assert_array_equal(rgb(frames[index]), rgb(expected[index]))
    assert decoder.num_decoded == len(frames), "none twice"


def test_only_what_is_asked_for_and_what_it_refers_to_is_decoded() -> None:
    decoder, packets = on_demand(), film(gop=30)
    frames = frames_of(decoder, packets)
    assert decoder.num_decoded == 0
    for index in (60, 95, 93):
        rgb(frames[index])
    assert decoder.num_decoded == 1 + 6, "a keyframe, and a keyframe and five behind it"


def test_what_nobody_holds_any_more_is_dropped_when_the_next_keyframe_comes() -> None:
    decoder, held = on_demand(), None
    for number, packet in enumerate(film(gop=10)):
        frame = decoder.push(packet)[0]
        held = frame if number == 13 else held
    del frame
    decoder._trim()
    assert sum(each.num_waiting for each in decoder._older) == 4, "a keyframe and the three behind it"
    assert held is not None
    rgb(held)
    assert decoder.num_decoded == 4


def test_no_more_wait_than_decode_in_the_time_that_a_question_waits() -> None:
    bounded, unbounded = on_demand(0.004), on_demand()
    most = {bounded: 0.0, unbounded: 0.0}
    for packet in film():
        for decoder in most:
            decoder.push(packet)
            most[decoder] = max(
                most[decoder], decoder._older_debt_s + sum(each.debt_s() for each in [decoder._newest] if each is not None)
            )
    assert most[bounded] <= 0.004 < most[unbounded]
    assert bounded.num_decoded > unbounded.num_decoded == 0


def test_few_decoded_pictures_stay_at_full_size() -> None:
    decoder = on_demand()
    decoder.keep(3, (56, 56))
    frames = frames_of(decoder, film(gop=30, seconds=2))
    rgb(frames[25])
    full = [frame.frame_id for frame in frames if frame.hold().is_full_size]
    assert full == [23, 24, 25]
    tile, expected = (np.zeros((1, 28, 28, 3), np.uint8) for _ in range(2))
    frames[3].hold().paint((56, 56), np.array([[1, 0]]), tile, 0)
    frames_of(Decoder(), film(gop=30, seconds=2))[3].hold().paint((56, 56), np.array([[1, 0]]), expected, 0)
    np.testing.assert_array_equal(tile, expected)


def test_pictures_go_when_their_frames_go() -> None:
    frames = frames_of(on_demand(), film(gop=30, seconds=2))
    rgb(frames[59])
    held = [weakref.ref(frame.hold()) for frame in frames]
    assert all(pixels is not None and pixels.is_full_size for ref in held[30:] for pixels in [ref()])
    gc.disable()
    try:
        frames.clear()
        assert not [ref for ref in held if ref() is not None], "no cycle holds them"
    finally:
        gc.enable()


def test_a_stream_with_b_pictures_is_decoded_whole() -> None:
    decoder, packets = on_demand(), packets_of(FILMS / f"{REORDERED}.mp4")
    frames = frames_of(decoder, packets)
    assert all(isinstance(frame, DecodedFrame) for frame in frames)
    assert decoder.why_whole == "it has B pictures"
    assert [frame.packet.pts for frame in frames] == sorted(packet.pts for packet in packets)
    assert decoder.num_decoded == decoder.num_frames == len(frames)


@pytest.mark.parametrize(("kind", "reason"), [("interlaced", "interlaced"), ("high_10", "10 bits"), ("h265", "no IDR")])
def test_what_cannot_wait_is_decoded_and_the_reason_told(kind: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    CLIPS[kind](path)
    decoder, packets = on_demand(), packets_of(path)
    frames = frames_of(decoder, packets)
    coded = [frame for frame in frames if isinstance(frame, CodedFrame)]
    assert len(frames) == len(packets)
    assert reason in decoder.why_whole
    assert not coded


def test_a_stream_that_is_joined_between_idr_pictures_is_decoded_until_one_comes(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    CLIPS["refresh"](path)
    packets = packets_of(path)
    begin = next(number for number, packet in enumerate(packets) if number and starts_decoding(packet))
    decoder = on_demand()
    frames = frames_of(decoder, packets[begin:])
    assert frames
    assert not any(isinstance(frame, CodedFrame) for frame in frames)
    assert "no IDR" in decoder.why_whole
    assert any(isinstance(frame, CodedFrame) for frame in frames_of(decoder, packets))
    assert not decoder.why_whole


@pytest.mark.parametrize("kind", ["well", "long", "smart", "refresh", "slices", "cavlc", "cropped", "b_frames"])
def test_pixels_of_every_kind_of_camera_are_those_of_decoding_them_all(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    CLIPS[kind](path)
    packets = packets_of(path)
    frames, expected = frames_of(on_demand(), packets), frames_of(Decoder(), packets)
    assert [(each.frame_id, each.media_s, each.width, each.height) for each in frames] == [
        (each.frame_id, each.media_s, each.width, each.height) for each in expected
    ]
    for frame, other in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(rgb(frame), rgb(other))


def test_a_picture_behind_many_units_is_one() -> None:
    packets = list(film(gop=30, seconds=2))
    packets[5] = replace(packets[5], data=join_annexb([bytes([NalType.SEI, 5, 1, 0, 128])] * 40) + packets[5].data)
    frames = frames_of(on_demand(), packets)
    assert len(frames) == len(packets)
    np.testing.assert_array_equal(rgb(frames[5]), rgb(frames_of(Decoder(), packets)[5]))


def test_a_damaged_picture_is_replaced_by_the_one_before_and_a_first_one_by_grey() -> None:
    packets = list(film(gop=30, seconds=2))
    packets[7] = replace(packets[7], data=packets[7].data[:20])
    packets[30] = replace(packets[30], data=packets[30].data[:-400])
    decoder = on_demand()
    frames = frames_of(decoder, packets)
    assert len(frames) == len(packets)
    np.testing.assert_array_equal(rgb(frames[7]), rgb(frames[6]))
    assert set(np.unique(rgb(frames[30]))) == {GREY}
    assert decoder.skipped["damaged_frame"] + decoder.skipped["damaged_packet"] >= 2


@pytest.mark.parametrize("seed", range(4))
def test_pixels_of_damaged_streams_do_not_depend_on_when_they_are_decoded(seed: int) -> None:
    rng = np.random.default_rng(seed)
    packets = list(film(gop=30, seconds=5))
    bad = mutated([packet.data for packet in packets], rng)
    for index in rng.integers(0, len(packets), 20):
        packets[index] = replace(packets[index], data=next(bad))
    pictures = []
    for catch_up_s in (0.0, 0.003, 1e9):
        frames = frames_of(on_demand(catch_up_s), packets)
        asked = range(0, len(frames), 7) if catch_up_s else range(len(frames))
        shown = {index: rgb(frames[index]) for index in asked}
        pictures.append(([frame.frame_id for frame in frames], shown))
    for (ids, shown), (other_ids, others) in pairwise(pictures):
        assert ids == other_ids
        for index in others:
            np.testing.assert_array_equal(shown[index], others[index])
