"""Slices that are lost, broken or of another picture: the rest is read, and what was dropped is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip
from mutations import access_units, mutated, push
from published import published

from ov2.canvas import CanvasGroup
from stream.codec.h264.annexb import join_annexb, split_annexb
from stream.codec.h264.slice_data import MacroblockParser
from stream.sources import open_source
from stream.tokenizer.tokenizer import Tokenizer


def test_a_lost_slice_is_told_and_the_rest_is_kept(golden: Path) -> None:
    unit = access_units(golden / "macroblock" / "slices4_cabac.mp4")[0]
    whole, holed = MacroblockParser().push(unit), None
    nals = split_annexb(unit)
    slices = [nal for nal in nals if nal[0] & 31 == 5]
    holed = MacroblockParser().push(join_annexb(nal for nal in nals if nal is not slices[1]))
    assert whole is not None
    assert holed is not None
    assert not whole.damaged
    assert holed.damaged
    lost = whole.slices[1]
    kept = np.ones(whole.bits.size, bool)
    kept[lost.first_mb : lost.first_mb + lost.num_mbs] = False
    np.testing.assert_array_equal(holed.bits.ravel()[kept], whole.bits.ravel()[kept])
    assert not holed.bits.ravel()[~kept].any()


def test_a_slice_whose_arithmetic_code_begins_with_what_cannot_be_gives_nothing(golden: Path) -> None:
    """Nine ones are 511, which is forbidden (H.264 9.3.1.2)."""
    unit = access_units(golden / "macroblock" / "slices4_cabac.mp4")[0]
    whole = MacroblockParser().push(unit)
    assert whole is not None
    nals = [bytearray(nal) for nal in split_annexb(unit)]
    broken = next(nal for nal in nals if nal[0] & 31 == 5)
    first = whole.slices[0].header_bits // 8  # eight bits of the code count as header; the unit has one byte in front
    broken[first : first + 2] = b"\xff\xff"
    frame = MacroblockParser().push(join_annexb(map(bytes, nals)))
    assert frame is not None
    assert frame.damaged
    assert [part.num_mbs for part in frame.slices] == [0, *(part.num_mbs for part in whole.slices[1:])]
    assert not frame.bits.ravel()[: whole.slices[1].first_mb].any()


def test_a_slice_of_another_size_cannot_join_a_picture(tmp_path: Path) -> None:
    """Two sequences under two numbers, slices of both in one access unit."""
    small = access_units(write_clip(tmp_path / "small.mp4", width=64, height=64, num_frames=2, slices="2"))[0]
    large = access_units(
        write_clip(tmp_path / "large.mp4", width=320, height=192, num_frames=2, slices="2", **{"x264-params": "sps-id=3"})
    )[0]
    mixed = MacroblockParser()
    frame = mixed.push(small + large)
    assert frame is not None
    assert frame.damaged
    assert frame.bits.shape == (4, 4)
    assert mixed.skipped["bad_header"] == 2


def test_without_parameter_sets_nothing_is_read_and_it_is_counted(golden: Path) -> None:
    parser = MacroblockParser()
    assert parser.push(access_units(golden / "macroblock" / "cbr_lowdelay.mp4")[1]) is None
    assert parser.push(b"") is None
    assert parser.skipped == {"no_parameter_sets": 2, "no_picture": 2}


@pytest.mark.parametrize("name", ["high_8x8_cavlc", "slices4_cabac"])
def test_mutated_access_units_are_survived(golden: Path, name: str) -> None:
    outcome = push(access_units(golden / "macroblock" / f"{name}.mp4"), 2500, 1)
    assert sum(outcome.values()) == 2500
    assert outcome["damaged"] > 500


def test_the_line_goes_on_through_a_bad_stream_and_says_what_it_dropped(golden: Path) -> None:
    tokenizer, bad = Tokenizer(published(weight_bits=1.0)), 0
    units = access_units(golden / "macroblock" / "cbr_lowdelay.mp4")
    junk = mutated(units, np.random.default_rng(5))
    groups: list[CanvasGroup] = []
    with open_source(str(golden / "macroblock" / "cbr_lowdelay.mp4")) as packets:
        for number, packet in enumerate(packets):
            is_bad = number % 5 == 3
            bad += is_bad
            groups += tokenizer.push(replace(packet, data=next(junk)) if is_bad else packet)
    groups += tokenizer.flush()
    assert len(groups) >= 2
    assert groups[-1].end_s == pytest.approx(len(units) / 25, abs=1.0)
    assert 1 <= tokenizer.stats.dropped.total() <= 150
