"""Pictures of one slice are read in one call, and tell what `MacroblockParser` tells of them, whatever comes."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip
from mutations import access_units, mutated

from stream.codec.codec import BlockGrids
from stream.codec.h264.slice_data import MacroblockFrame, MacroblockParser
from stream.codec.h264.slice_data.plain import PlainGrids, PlainParser

ONE_SLICE = ("cabac_main_b3", "cavlc_baseline", "high_8x8_cabac", "high_8x8_cavlc")
SEVERAL = ("cbr_lowdelay", "slices4_cabac")


def assert_same(plain: BlockGrids | None, whole: BlockGrids | None) -> None:
    if plain is None or whole is None:
        assert plain is whole
        return
    assert plain.is_whole == whole.is_whole
    if not whole.is_whole:
        return
    assert (plain.picture_type, plain.mean_qp, plain.refused) == (whole.picture_type, whole.mean_qp, whole.refused)
    for ours, theirs in zip(arrays(plain), arrays(whole), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def arrays(grids: BlockGrids) -> tuple[np.ndarray, ...]:
    assert grids.mean_vectors is not None
    return grids.bits, grids.qp, grids.levels, grids.intra, grids.mean_vectors


@pytest.mark.parametrize("name", [*ONE_SLICE, *SEVERAL])
def test_grids_are_those_of_the_parser_of_whole_accounts(golden: Path, name: str) -> None:
    plain, whole, num_plain = PlainParser(with_motion=True), MacroblockParser(with_motion=True), 0
    units = access_units(golden / "macroblock" / f"{name}.mp4")
    for unit in units:
        grids = plain.push(unit)
        assert_same(grids, whole.push(unit))
        num_plain += isinstance(grids, PlainGrids)
    assert num_plain > 0.8 * len(units) if name in ONE_SLICE else num_plain == 0


@pytest.mark.parametrize("name", ["cabac_main_b3", "cavlc_baseline", "slices4_cabac"])
def test_damaged_units_tell_the_same(golden: Path, name: str) -> None:
    units = access_units(golden / "macroblock" / f"{name}.mp4")
    plain, whole = PlainParser(with_motion=True), MacroblockParser(with_motion=True)
    for number, unit in enumerate(islice(mutated(units, np.random.default_rng(1)), 600)):
        for each in (units[0], unit) if number % 20 == 0 else (unit,):
            assert_same(plain.push(each), whole.push(each))


def test_two_parameter_sets_in_turn_are_told_apart(tmp_path: Path) -> None:
    streams = [
        access_units(
            write_clip(tmp_path / f"{number}.mp4", num_frames=8, bf="0", coder=coder, **{"x264-params": f"sps-id={number}"})
        )
        for number, coder in ((2, "cavlc"), (5, "cabac"))
    ]
    plain, whole, kinds = PlainParser(with_motion=True), MacroblockParser(with_motion=True), []
    for pair in zip(*streams, strict=True):
        for unit in (*pair, pair[1]):
            grids = plain.push(unit)
            assert_same(grids, whole.push(unit))
            kinds.append(type(grids))
    assert kinds[3:] == [MacroblockFrame, MacroblockFrame, PlainGrids] * 7, "one set is expected, that of the picture before"
