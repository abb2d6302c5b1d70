"""Cameras that do not speak H.264: decoded, cut into groups by packet size, shown by the plain difference of pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clips import scene, write_clip
from hypothesis import given
from hypothesis import strategies as st
from published import published

from stream.codec.av1 import has_av1_header
from stream.codec.codecs import codec_of
from stream.codec.decode import Decoder
from stream.codec.vp9 import is_vp9_key
from stream.sources import open_source
from stream.tokenizer.costs import ALL_KEYS, FrameCosts
from stream.tokenizer.tokenizer import Tokenizer

NUM_FRAMES, FPS = 60, 10
CODECS = {
    "hevc.mp4": ("libx265", {"x265-params": "log-level=none:pools=1:keyint=20"}),
    "hevc.ts": ("libx265", {"x265-params": "log-level=none:pools=1:keyint=20:bframes=2"}),
    "vp8.mkv": ("libvpx", {"g": "20", "deadline": "realtime"}),
    "vp9.mkv": ("libvpx-vp9", {"g": "20", "deadline": "realtime"}),
    "vp9.mp4": ("libvpx-vp9", {"g": "20", "deadline": "realtime"}),
    "av1.mp4": ("libsvtav1", {"g": "20", "preset": "12"}),
    "av1.mkv": ("libsvtav1", {"g": "20", "preset": "12"}),
    "mjpeg.mkv": ("mjpeg", {"pixels": "yuvj420p"}),
    "mjpeg.avi": ("mjpeg", {"pixels": "yuvj422p"}),
}


@pytest.fixture(autouse=True)
def _quiet_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVT_LOG", "0")


@pytest.mark.parametrize("name", CODECS)
def test_another_codec_gives_groups_and_says_once_what_it_lacks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    codec, options = CODECS[name]
    clip = write_clip(tmp_path / name, codec=codec, num_frames=NUM_FRAMES, fps=FPS, **options)
    tokenizer = Tokenizer(published(t_max_s=2.0, max_pixels=28 * 28 * 24), name="front")
    groups = []
    for _ in range(2):  # a camera that comes back
        with open_source(str(clip)) as packets:
            assert packets.codec == name.partition(".")[0]
            groups += [group for packet in packets for group in tokenizer.push(packet)]
            groups += tokenizer.flush()
    assert tokenizer.stats.num_frames == 2 * NUM_FRAMES
    assert not tokenizer.stats.dropped
    assert sum(group.end_s - group.start_s for group in groups) == pytest.approx(2 * NUM_FRAMES / FPS, abs=0.3)
    assert all(len(group.canvases) > 1 for group in groups if group.end_s - group.start_s > 1)  # the square moves
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert "front: " in told[0]
    assert "tells no motion vectors; evidence is the plain difference of pictures" in told[0]


def test_ten_bit_pictures_are_read(tmp_path: Path) -> None:
    options = {"x265-params": "log-level=none:pools=1"}
    clip = write_clip(tmp_path / "clip.mp4", codec="libx265", pixels="yuv420p10le", num_frames=20, **options)
    tokenizer = Tokenizer(published(max_pixels=28 * 28 * 24))
    with open_source(str(clip)) as packets:
        groups = [group for packet in packets for group in tokenizer.push(packet)] + tokenizer.flush()
    assert tokenizer.stats.num_frames == 20
    assert groups[0].canvases.std() > 10


def test_a_stream_of_keyframes_alone_costs_by_what_changed(tmp_path: Path) -> None:
    """A door opens at 4 s: MJPEG costs there, and nearly nothing before and after."""
    calm, lively = scene(160, 96), np.random.default_rng(1).integers(0, 255, (96, 80, 3), dtype=np.uint8)

    def draw(index: int) -> np.ndarray:
        picture = calm(0)
        if index >= 40:
            picture[:, 80:] = lively
        return picture

    clip = write_clip(tmp_path / "clip.mkv", codec="mjpeg", pixels="yuvj420p", num_frames=80, draw=draw)
    costs = FrameCosts("bytes", 2.0)
    with open_source(str(clip)) as packets:
        spent = [costs.of(packet.size_bytes, is_key=packet.is_key) for packet in packets]
    assert np.argmax(spent) == 40
    assert spent[40] > 5 * sum(spent[:40] + spent[41:])


def test_keyframes_between_other_pictures_still_cost_nothing() -> None:
    costs = FrameCosts("bytes", 2.0)
    sizes = [(5000, True), *[(100, False)] * 9] * 4
    assert [costs.of(size, is_key=key) for size, key in sizes] == [0.0 if key else 100.0 for _, key in sizes]


def test_a_few_keyframes_in_a_row_are_no_stream_of_keyframes() -> None:
    costs = FrameCosts("bytes", 2.0)
    sizes = [1000 + 10 * i for i in range(ALL_KEYS + 3)]
    assert [costs.of(size, is_key=True) for size in sizes] == [0.0] * ALL_KEYS + [10.0] * 3
    as_published = FrameCosts("bytes", 0.0)
    assert [as_published.of(size, is_key=True) for size in sizes] == [0.0] * len(sizes)


def test_av1_whose_pictures_come_without_headers_is_decoded(tmp_path: Path) -> None:
    """A container may keep the sequence header to itself (AV1 in ISOBMFF 2.4); the first unit of a keyframe of this encoder is it."""
    clip = write_clip(tmp_path / "clip.mp4", codec="libsvtav1", num_frames=20, preset="12", g="10")
    with open_source(str(clip)) as packets:
        recorded = list(packets)
    header = recorded[0].data[: 2 + recorded[0].data[1]]
    assert has_av1_header(header)
    headers = codec_of("av1").headers(b"\x81\x00\x0c\x00" + header)
    decoder, frames = Decoder(), []
    for packet in recorded:
        bare = packet.data.removeprefix(header)
        assert not has_av1_header(bare)
        assert headers.complete(packet.data, is_key=packet.is_key) == packet.data
        frames += decoder.push(replace(packet, data=headers.complete(bare, is_key=packet.is_key)))
    assert len(frames + decoder.flush()) == 20


@given(st.binary(max_size=40))
def test_any_bytes_are_looked_at_for_an_av1_header_without_an_error(data: bytes) -> None:
    has_av1_header(data)


def test_keyframes_of_vp9_are_told_from_their_first_byte() -> None:
    """frame_marker 2; profiles 0 to 3; show_existing_frame; frame_type."""
    keys = [0b10_0_0_0_0_1_0, 0b10_1_0_0_0_1_0, 0b10_0_1_0_0_1_0, 0b10_1_1_0_0_0_1]
    others = [0b10_0_0_0_1_1_0, 0b10_0_0_1_0_0_0, 0b10_1_1_0_0_1_0, 0b10_1_1_0_1_0_0, 0b01_0_0_0_0_1_0]
    assert all(is_vp9_key(bytes([first, 0])) for first in keys)
    assert not any(is_vp9_key(bytes([first, 0])) for first in others)


def test_the_newest_parameter_sets_of_h265_go_in_front_of_keyframes_without() -> None:
    def unit(kind: int, mark: int) -> bytes:
        return b"\x00\x00\x00\x01" + bytes([kind << 1, 1, mark])

    described = unit(32, 1) + unit(33, 1) + unit(34, 1)
    changed, picture = unit(32, 2) + unit(33, 2) + unit(34, 2), unit(19, 9)
    headers = codec_of("hevc").headers(described)
    assert headers.complete(picture, is_key=True) == described + picture
    assert headers.complete(unit(1, 9), is_key=False) == unit(1, 9)
    assert headers.complete(changed + picture, is_key=True) == changed + picture
    assert headers.complete(picture, is_key=True) == changed + picture
