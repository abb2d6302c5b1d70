"""What differs by codec is asked of one object."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import write_clip

from stream.codec.codecs import CODECS, RTP_NAMES, codec_of, starts_decoding
from stream.sources import open_source


def test_a_codec_that_is_not_listed_is_decoded_and_no_more() -> None:
    codec = codec_of("mpeg4")
    assert (codec.label, codec.decoder, codec.has_bits, codec.has_vectors, codec.raw_format) == ("mpeg4",) * 2 + (
        False,
        False,
        "",
    )
    assert codec.headers(b"\x01").complete(b"\x02", is_key=True) == b"\x02"
    assert not codec.is_random_access(b"\x02")


def test_names_of_rtp_payloads_and_labels_are_those_of_the_standards() -> None:
    assert {"H264", "H265", "JPEG", "VP8", "VP9", "AV1"} == RTP_NAMES
    assert [codec.label for codec in CODECS.values()] == ["H.264", "H.265", "AV1", "VP9", "VP8", "MJPEG"]


@pytest.mark.parametrize("name", [name for name, codec in CODECS.items() if codec.has_bits])
def test_a_codec_that_says_so_has_a_parser_of_its_slice_data(name: str) -> None:
    assert codec_of(name).new_parser().push(b"\x00\x00\x00\x01") is None


def test_decoding_can_start_at_a_picture_of_intra_slices_that_is_no_keyframe(tmp_path: Path) -> None:
    options = {"x264-params": "intra-refresh=1:bframes=0"}
    with open_source(str(write_clip(tmp_path / "refresh.mp4", num_frames=30, **options))) as packets:
        recorded = list(packets)
    assert starts_decoding(recorded[0])
    assert [packet for packet in recorded[1:] if starts_decoding(packet) and not packet.is_key]
    assert not all(starts_decoding(packet) for packet in recorded)


def test_an_h265_stream_tells_its_profile_size_and_depth(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", codec="libx265", num_frames=3, **{"x265-params": "log-level=none:pools=1"})
    with open_source(str(clip)) as packets:
        recorded = list(packets)
    claims = codec_of("hevc").claims(packet.data for packet in recorded)
    assert (claims.profile, claims.chroma, claims.bit_depth, claims.coded_px) == ("Main", "4:2:0", 8, (160, 96))
    assert [codec_of("hevc").num_slices(packet.data) for packet in recorded] == [1, 1, 1]
