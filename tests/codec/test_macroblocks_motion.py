"""Motion of macroblocks: told as means, with only two rows of a picture kept while it is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from macroblock_cases import CABAC, CAVLC
from mutations import access_units

from stream.codec.h264.slice_data import MacroblockFrame, MacroblockParser


def frames_of(path: Path, parser: MacroblockParser) -> list[MacroblockFrame]:
    return [frame for frame in map(parser.push, access_units(path)) if frame is not None]


@pytest.mark.parametrize("name", [*CABAC, *CAVLC])
def test_the_mean_vector_is_that_of_the_sixteen_blocks_and_two_rows_at_a_time_tell_what_whole_pictures_do(
    golden: Path, name: str
) -> None:
    """Vectors are predicted from neighbours, so one that is fetched from the wrong row spreads over the picture."""
    path = golden / "macroblock" / f"{name}.mp4"
    brief, full = frames_of(path, MacroblockParser(with_motion=True)), frames_of(path, MacroblockParser(with_vectors=True))
    assert any(frame.mean_vectors is not None and frame.mean_vectors.any() for frame in brief)
    for few, all_ in zip(brief, full, strict=True):
        assert few.vectors is None
        assert few.mean_vectors is not None
        assert all_.vectors is not None
        np.testing.assert_array_equal(few.mean_vectors, all_.vectors.mean((2, 3), dtype=np.float64))
        for grid in ("bits", "qp", "levels", "kind", "mean_vectors"):
            np.testing.assert_array_equal(getattr(few, grid), getattr(all_, grid), err_msg=grid)
        assert few.slices == all_.slices


def test_what_the_picture_before_left_behind_is_not_told_again(golden: Path) -> None:
    """Grids are not cleared between pictures. Of a picture whose lower half is lost nothing may be told there."""
    units = access_units(golden / "macroblock" / "slices4_cabac.mp4")
    parser = MacroblockParser(with_vectors=True)
    whole = [frame for frame in map(parser.push, units[:3]) if frame is not None][-1]
    first = units[3][: units[3].index(b"\x00\x00\x00\x01", 4)]
    holed = parser.push(first)
    assert holed is not None
    assert holed.damaged
    assert holed.mean_vectors is not None
    assert holed.vectors is not None
    assert holed.references is not None
    end = holed.slices[0].num_mbs
    for grid in (holed.bits, holed.levels, holed.qp, holed.kind):
        assert grid.ravel()[:end].any()
        assert not grid.ravel()[end:].any()
    assert whole.bits.ravel()[end:].any()
    assert not holed.mean_vectors.reshape(-1, 2)[end:].any()
    assert not holed.vectors.reshape(-1, 32)[end:].any()
    assert (holed.references.reshape(-1, 4)[end:] == -1).all()
