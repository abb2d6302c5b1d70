"""Bits per macroblock against the published reference, against FFmpeg's side data, and in the commands that tell them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from macroblock_cases import CABAC, CAVLC, arrays_of, assert_balanced, decoded, parsed
from mutations import access_units
from ov2_cli.main import app
from typer.testing import CliRunner

from stream.codec.h264.annexb import split_annexb
from stream.codec.h264.slice_data import MacroblockParser
from stream.codec.h264.slice_data.grid import INTRA, PCM

READ_AHEAD_BITS = 40
"""What the reference, which counts whole bytes of its read pointer, may be ahead or behind."""


@pytest.mark.parametrize("name", CAVLC)
def test_cavlc_bits_are_the_reference_ones(golden: Path, name: str) -> None:
    frames, reference = parsed(golden / "macroblock" / f"{name}.mp4"), arrays_of(golden / "macroblock" / f"{name}.npz")
    np.testing.assert_array_equal(np.array([frame.bits for frame in frames]), reference["mb_bits"])
    assert [frame.picture_type for frame in frames] == [str(kind) for kind in reference["pict_types"]]


@pytest.mark.parametrize("name", CABAC)
def test_cabac_totals_follow_the_reference_within_its_read_ahead(golden: Path, name: str) -> None:
    frames, reference = parsed(golden / "macroblock" / f"{name}.mp4"), arrays_of(golden / "macroblock" / f"{name}.npz")
    assert [frame.picture_type for frame in frames] == [str(kind) for kind in reference["pict_types"]]
    for frame, theirs in zip(frames, reference["mb_bits"], strict=True):
        for part in frame.slices:
            inside = slice(part.first_mb, part.first_mb + part.num_mbs)
            ahead = np.cumsum(frame.bits.ravel()[inside]) - np.cumsum(theirs.ravel()[inside])
            assert np.abs(ahead).max() < READ_AHEAD_BITS


@pytest.mark.parametrize("name", CAVLC + CABAC)
def test_every_slice_adds_up_to_its_size(golden: Path, name: str) -> None:
    assert_balanced(parsed(golden / "macroblock" / f"{name}.mp4"))


@pytest.mark.parametrize("name", CAVLC + CABAC)
def test_quantisers_vectors_and_skips_are_those_of_ffmpeg(golden: Path, name: str) -> None:
    path = golden / "macroblock" / f"{name}.mp4"
    frames, truth = parsed(path, with_vectors=True), decoded(path)
    assert len(frames) == len(truth)
    num_vectors = 0
    for ours, theirs in zip(frames, truth, strict=True):
        params = theirs.picture.side_data.get("VIDEO_ENC_PARAMS")
        fields = np.frombuffer(params, np.int32, params.nb_blocks * 5, params.blocks_offset).reshape(-1, 5)
        is_coded = (ours.kind & PCM) == 0
        np.testing.assert_array_equal(ours.qp[is_coded], (params.qp + fields[:, 4].reshape(ours.qp.shape))[is_coded])
        if ours.picture_type != "P":
            continue
        assert ours.vectors is not None
        assert ours.references is not None
        has_vector = np.zeros(ours.bits.shape, bool)
        for vector in theirs.picture.side_data.get("MOTION_VECTORS") or ():
            x, y = vector.dst_x - vector.w // 2, vector.dst_y - vector.h // 2
            row, column = y // 16, x // 16
            has_vector[row, column] = True
            assert tuple(ours.vectors[row, column, y % 16 // 4, x % 16 // 4]) == (vector.motion_x, vector.motion_y)
            num_vectors += 1
        np.testing.assert_array_equal(has_vector, (ours.kind & INTRA) == 0)
        assert not (ours.skipped & ((ours.levels > 0) | ~has_vector)).any()
    assert num_vectors > 1000


def test_the_order_of_pictures_is_that_of_the_decoder(golden: Path) -> None:
    path = golden / "macroblock" / "cabac_main_b3.mp4"
    assert [frame.picture_type for frame in parsed(path)] == [frame.picture_type for frame in decoded(path)]


def test_length_prefixes_and_start_codes_give_the_same(golden: Path, tmp_path: Path) -> None:
    units = access_units(golden / "macroblock" / "slices4_cabac.mp4")[:4]
    sets = [nal for nal in split_annexb(units[0]) if nal[0] & 31 in (7, 8)]
    sps, pps = (next(nal for nal in sets if nal[0] & 31 == kind) for kind in (7, 8))
    record = b"\x01" + sps[1:4] + b"\xff\xe1" + len(sps).to_bytes(2, "big") + sps + b"\x01" + len(pps).to_bytes(2, "big") + pps
    plain, prefixed = MacroblockParser(), MacroblockParser(record)
    for unit in units:
        nals = [nal for nal in split_annexb(unit) if nal[0] & 31 not in (7, 8)]
        a, b = plain.push(unit), prefixed.push(b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals))
        assert a is not None
        assert b is not None
        np.testing.assert_array_equal(a.bits, b.bits)


def test_the_command_writes_grids_in_display_order(golden: Path, tmp_path: Path) -> None:
    path, out = golden / "macroblock" / "high_8x8_cavlc.mp4", tmp_path / "out.npz"
    result = CliRunner().invoke(app, ["macroblocks", str(path), "--npz", str(out), "--png", str(tmp_path / "out.png")])
    assert result.exit_code == 0, result.output
    assert "80 pictures" in result.output
    arrays, reference = arrays_of(out), arrays_of(path.with_suffix(".npz"))
    np.testing.assert_array_equal(arrays["mb_bits"], reference["mb_bits"])
    assert arrays["mb_bits"].dtype == np.int32
    assert arrays["qp"].dtype == np.int8
    assert list(arrays["pict_types"]) == list(reference["pict_types"])
    assert (tmp_path / "out.png").stat().st_size > 1000


def test_the_bench_tells_its_ratio(golden: Path) -> None:
    path = golden / "macroblock" / "cbr_lowdelay.mp4"
    result = CliRunner().invoke(app, ["bench", "macroblocks", str(path), "--repeats", "1", "--json"])
    told = json.loads(result.output.strip().splitlines()[-1])
    assert told["ratio_to_decode"] > 0
    assert told["bits_per_s"] > 0
