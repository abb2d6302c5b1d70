"""Access units, parameter sets and numbers without end: what is kept of them has a bound."""

from __future__ import annotations

import pytest
from parameter_set_bits import set_of
from webrtc_bits import PPS, SPS, START

from stream.codec.h264.access_unit import MAX_SET_BYTES, MAX_UNITS, Canonicaliser
from stream.codec.h264.annexb import BitReader, has_recovery_point, join_annexb, split_annexb
from stream.errors import TooLargeError


def test_parameter_sets_with_a_hundred_thousand_numbers_are_not_kept() -> None:
    canonical = Canonicaliser()
    first = canonical.push(SPS + PPS + START + b"\x65\x88\x84\x00\x10")
    for number in range(0, 100_000, 1000):
        canonical.push(
            join_annexb(set_of(8, n) for n in range(number, number + 1000)) + START + bytes([0x41, 0x9A, 0x02, 0x03])
        )
    key = canonical.push(START + b"\x65\x88\x84\x00\x10")
    assert first is not None
    assert key is not None
    assert len(split_annexb(key.data)) <= 32 + 256 + 2 + 1
    assert len(canonical._sets) <= 32 + 256 + 2


def test_a_parameter_set_longer_than_any_container_holds_is_left_out() -> None:
    unit = Canonicaliser().push(SPS + START + b"\x68" + b"\x55" * MAX_SET_BYTES + START + b"\x65\x88\x84\x00\x10")
    assert unit is not None
    assert len(unit.data) < 1000


def test_units_without_a_picture_are_held_up_to_a_mebibyte() -> None:
    canonical = Canonicaliser(b"")
    for _ in range(20):
        assert canonical.push(SPS + PPS + START + b"\x06\x05" + b"\x55" * 900_000) is None
    unit = canonical.push(START + b"\x65\x88\x84\x00\x10")
    assert unit is not None
    assert len(unit.data) < 1_100_000


def test_as_many_slices_as_macroblocks_pass_and_more_units_than_any_picture_has_do_not() -> None:
    whole = Canonicaliser().push(SPS + PPS + (START + b"\x65\x88\x84\x00\x10") * 8160)
    assert whole is not None
    assert len(split_annexb(whole.data)) == 8162
    with pytest.raises(TooLargeError, match=f"at most {MAX_UNITS} units") as caught:
        Canonicaliser().push(SPS + PPS + (START + b"\x65\x88\x84\x00\x10") * (MAX_UNITS + 1))
    assert caught.value.reason == "many_units"


def test_a_recovery_point_is_looked_for_among_so_many_messages() -> None:
    """Sixteen million empty messages fit into one access unit."""
    recovery, empty = b"\x06\x01\x84", b"\x05\x00"
    assert has_recovery_point(b"\x06" + empty * 60 + recovery + b"\x80")
    assert not has_recovery_point(b"\x06" + empty * 1000 + recovery + b"\x80")
    assert not has_recovery_point(b"\x06" + b"\xff" * 100_000 + recovery + b"\x80")


def test_a_number_of_endless_zeros_is_damage() -> None:
    with pytest.raises(EOFError, match="leading zeros"):
        BitReader(bytes(1000) + b"\xff" * 1000).ue()
    assert BitReader(b"\x00\x00\x00\x01\x00\x00\x00\x02").ue() == 2**31
