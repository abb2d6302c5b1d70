"""NAL units: found in either form, put together in one, and read just enough."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from clips import copy_packets, write_clip
from hypothesis import given
from hypothesis import strategies as st

from stream.codec.h264.access_unit import Canonicaliser, is_random_access
from stream.codec.h264.annexb import (
    START_CODE,
    BitReader,
    NalType,
    has_recovery_point,
    is_intra_slice,
    join_annexb,
    nal_type,
    parameter_sets,
    split_annexb,
    split_avcc,
    unescape,
)
from stream.codec.h264.parameter_sets import picture_size
from stream.sources import open_source

nals = st.lists(
    st.binary(min_size=1, max_size=60).map(lambda data: data.replace(b"\x00\x00", b"\x00\x05") + b"\x80"),
    min_size=1,
    max_size=8,
)
"""Units as encoders write them: no start code inside, no zero byte at the end."""
codes = st.lists(st.integers(0, 5000), min_size=1, max_size=20)


@given(nals)
def test_units_survive_joining_and_splitting(units: list[bytes]) -> None:
    assert split_annexb(join_annexb(units)) == units


@given(nals, st.integers(1, 4), st.booleans())
def test_short_codes_and_trailing_zeros_change_nothing(units: list[bytes], num_zeros: int, short: bool) -> None:
    code = START_CODE[1:] if short else START_CODE
    assert split_annexb(b"".join(code + unit + bytes(num_zeros) for unit in units)) == units


@given(nals)
def test_length_prefixes_give_the_same_units(units: list[bytes]) -> None:
    packet = b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)
    assert split_avcc(packet, 4) == units


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_no_bytes_make_the_canonicaliser_raise(data: bytes, extradata: bytes) -> None:
    canonical = Canonicaliser(extradata)
    canonical.push(data)
    canonical.push(START_CODE + data)
    canonical.set_extradata(b"\x01" + extradata)
    canonical.push(data)


@given(codes)
def test_exp_golomb_codes_are_read_back(values: list[int]) -> None:
    bits = "".join("0" * ((value + 1).bit_length() - 1) + bin(value + 1)[2:] for value in values)
    reader = BitReader(int(bits + "1", 2).to_bytes((len(bits) + 8) // 8, "big"))
    skip = -(len(bits) + 1) % 8
    reader.u(skip)
    assert [reader.ue() for _ in values] == values


@pytest.mark.parametrize("slice_type", range(10))
@pytest.mark.parametrize("first_mb", [0, 1, 700])
def test_intra_slices_are_told_from_the_others(slice_type: int, first_mb: int) -> None:
    bits = "".join("0" * ((v + 1).bit_length() - 1) + bin(v + 1)[2:] for v in (first_mb, slice_type)) + "1"
    bits += "0" * (-len(bits) % 8)
    nal = bytes([0x41]) + int(bits, 2).to_bytes(len(bits) // 8, "big") + b"\x80"
    assert is_intra_slice(nal) == (slice_type % 5 in (2, 4))


def test_a_recovery_point_is_found_behind_another_message() -> None:
    assert has_recovery_point(bytes([6, 5, 2, 1, 1, 6, 1, 0x84, 0x80]))
    assert not has_recovery_point(bytes([6, 5, 2, 6, 6, 0x80]))


def test_emulation_prevention_is_taken_out() -> None:
    assert unescape(b"\x01\x00\x00\x03\x01\x00\x00\x03\x00") == b"\x01\x00\x00\x01\x00\x00\x00"


@pytest.mark.parametrize(("width", "height"), [(642, 358), (160, 96), (1920, 1080), (16, 18)])
def test_the_parameter_set_tells_the_displayed_size(tmp_path: Path, width: int, height: int) -> None:
    path = write_clip(tmp_path / "clip.mp4", width=width, height=height, num_frames=1)
    with av.open(str(path)) as container:
        sets = parameter_sets(container.streams.video[0].codec_context.extradata or b"")
    assert [nal_type(nal) for nal in sets] == [NalType.SPS, NalType.PPS]
    assert picture_size(sets[0]) == (width, height)


def test_every_container_gives_the_same_packets(tmp_path: Path) -> None:
    """The picture bytes, sizes, keys and times of one encode do not depend on the box they came in."""
    mp4 = write_clip(tmp_path / "clip.mp4", bf="2")
    expected = list(open_source(str(mp4)))
    for suffix in ("mkv", "ts", "flv"):
        other = tmp_path / f"clip.{suffix}"
        with av.open(str(mp4)) as source, av.open(str(other), "w") as out:
            copy_packets(source, out)
        found = list(open_source(str(other)))
        for a, b in zip(expected, found, strict=True):
            assert (a.data, a.size_bytes, a.is_key) == (b.data, b.size_bytes, b.is_key), suffix
            assert (a.pts_s, a.media_s, a.width, a.height) == (b.pts_s, b.media_s, b.width, b.height), suffix


def test_keyframes_carry_their_parameter_sets_and_others_do_not(golden: Path) -> None:
    for packet in open_source(str(golden / "macroblock" / "cabac_main_b3.mp4")):
        kinds = [nal_type(nal) for nal in split_annexb(packet.data)]
        assert (kinds[:2] == [NalType.SPS, NalType.PPS]) == packet.is_key == is_random_access(packet.data)
        assert kinds.count(NalType.SPS) == packet.is_key


def test_a_resent_parameter_set_and_filler_change_nothing(golden: Path) -> None:
    path = golden / "macroblock" / "cabac_main_b3.mp4"
    plain = list(open_source(str(path)))[:12]
    sets = [nal for nal in split_annexb(plain[0].data) if nal_type(nal) in (NalType.SPS, NalType.PPS)]
    canonical = Canonicaliser()
    for packet in plain:
        noisy = join_annexb([b"\x09\xf0", *sets, *split_annexb(packet.data), b"\x0c\xff\xff\x80"])
        unit = canonical.push(noisy)
        assert unit is not None
        assert (unit.data, unit.size_bytes, unit.is_key) == (packet.data, packet.size_bytes, packet.is_key)


def test_units_without_a_slice_go_in_front_of_the_next_picture(golden: Path) -> None:
    first = next(iter(open_source(str(golden / "macroblock" / "cabac_main_b3.mp4"))))
    units = split_annexb(first.data)
    canonical = Canonicaliser()
    assert [canonical.push(START_CODE + unit) for unit in units[:-1]] == [None] * (len(units) - 1)
    whole = canonical.push(START_CODE + units[-1])
    assert whole is not None
    assert whole.data == first.data
