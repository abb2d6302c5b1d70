"""Bits per macroblock against the published reference, against FFmpeg's side data, and against the streams' own sizes."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip
from mutations import access_units, mutated, push
from ov2_cli.main import app
from typer.testing import CliRunner

from ov2.canvas import CanvasGroup
from stream.codec.annexb import join_annexb, split_annexb
from stream.codec.decode import DecodedFrame, Decoder
from stream.codec.evidence import measure
from stream.codec.macroblocks import MacroblockFrame, MacroblockParser
from stream.codec.macroblocks.grid import INTRA, PCM
from stream.sources import open_source
from stream.tokenizer.settings import TokenizerSettings
from stream.tokenizer.tokenizer import Tokenizer

CAVLC = ("cavlc_baseline", "high_8x8_cavlc")
CABAC = ("cabac_main_b3", "cbr_lowdelay", "high_8x8_cabac", "slices4_cabac")
READ_AHEAD_BITS = 40
"""What the reference, which counts whole bytes of its read pointer, may be ahead or behind."""


def parsed(path: Path, *, with_vectors: bool = False) -> list[MacroblockFrame]:
    """All pictures in display order."""
    parser = MacroblockParser(with_vectors=with_vectors)
    frames = [frame for frame in map(parser.push, access_units(path)) if frame is not None]
    assert not parser.skipped
    return sorted(frames, key=lambda frame: (frame.sequence, frame.order))


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz, which is closed again."""
    with np.load(path) as data:
        return {name: data[name] for name in data.files}


def decoded(path: Path) -> list[DecodedFrame]:
    """The same pictures from FFmpeg."""
    decoder = Decoder()
    with open_source(str(path)) as packets:
        frames = [frame for packet in packets for frame in decoder.push(packet)]
    return frames + decoder.flush()


def assert_balanced(frames: list[MacroblockFrame]) -> None:
    """Every slice was read to its end, and its parts add up to its size."""
    assert frames
    for frame in frames:
        assert not frame.refused
        assert not frame.damaged
        assert sum(part.num_mbs for part in frame.slices) == frame.bits.size
        assert frame.bits.sum() == sum(part.macroblock_bits for part in frame.slices)
        for part in frame.slices:
            inside = part.header_bits + part.macroblock_bits + part.flag_bits + part.trailing_bits
            assert part.unit_bits + inside + part.emulation_bits == part.total_bits
            assert 1 <= part.trailing_bits <= 16
            assert min(part.header_bits, part.emulation_bits + 1) > 0


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


BASE = {"threads": "1", "g": "6", "preset": "medium"}
SETTINGS: dict[str, dict[str, str]] = {
    "baseline": {"profile": "baseline"},
    "main": {"profile": "main"},
    "high": {"profile": "high"},
    "cavlc main": {"profile": "main", "coder": "0", "bf": "2"},
    "cavlc high": {"coder": "0", "x264-params": "8x8dct=1"},
    "no 8x8dct": {"x264-params": "8x8dct=0"},
    "8x8dct only intra": {"x264-params": "partitions=i8x8:8x8dct=1"},
    "all partitions": {"x264-params": "partitions=all:subme=9"},
    "no partitions": {"x264-params": "partitions=none"},
    "cavlc all partitions": {"coder": "0", "x264-params": "partitions=all:subme=9"},
    "one reference": {"refs": "1"},
    "many references": {"refs": "12", "g": "20"},
    "cavlc two references": {"refs": "2", "coder": "0"},
    "cavlc many references": {"refs": "9", "coder": "0"},
    "b frames": {"bf": "3", "b_strategy": "0"},
    "b pyramid": {"bf": "5", "b_strategy": "0", "x264-params": "b-pyramid=normal"},
    "b strict pyramid": {"bf": "4", "x264-params": "b-pyramid=strict:open-gop=1"},
    "cavlc b frames": {"bf": "3", "coder": "0", "b_strategy": "0"},
    "direct spatial": {"bf": "3", "b_strategy": "0", "direct-pred": "1"},
    "direct temporal": {"bf": "3", "b_strategy": "0", "direct-pred": "2"},
    "direct auto, no 8x8 inference": {"bf": "3", "x264-params": "direct=auto:level=20"},
    "weighted": {"weightp": "2", "x264-params": "weightb=1", "bf": "2"},
    "weighted smart, cavlc": {"weightp": "2", "coder": "0", "bf": "2"},
    "slices": {"slices": "5"},
    "slices cavlc": {"slices": "3", "coder": "0"},
    "slices by size": {"x264-params": "slice-max-size=180"},
    "slices by size cavlc": {"coder": "0", "x264-params": "slice-max-size=150"},
    "slices by macroblocks": {"x264-params": "slice-max-mbs=7"},
    "intra refresh": {"x264-params": "intra-refresh=1", "bf": "0"},
    "intra refresh cavlc": {"x264-params": "intra-refresh=1", "bf": "0", "coder": "0"},
    "constrained intra": {"x264-params": "constrained-intra=1"},
    "only intra": {"g": "1"},
    "only intra cavlc": {"g": "1", "coder": "0"},
    "nearly lossless": {"qp": "1"},
    "nearly lossless cavlc": {"qp": "1", "coder": "0"},
    "coarse": {"qp": "51"},
    "low delay": {"tune": "zerolatency"},
    "fast decode": {"tune": "fastdecode"},
    "grain": {"tune": "grain"},
    "ultrafast": {"preset": "ultrafast"},
    "veryslow": {"preset": "veryslow"},
    "constant rate, filler": {"b": "300k", "maxrate": "300k", "bufsize": "100k", "nal-hrd": "cbr"},
    "adaptive quantisers": {"x264-params": "aq-mode=3:aq-strength=2"},
    "no deblocking": {"x264-params": "no-deblock=1"},
    "no delimiters, repeated headers": {"x264-params": "repeat-headers=1:aud=1"},
    "cabac init idc": {"x264-params": "cabac-idc=2"},
    "blu-ray": {"x264-params": "bluray-compat=1", "slices": "4"},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("size", [(160, 96), (106, 74)])
def test_whatever_x264_makes_balances_to_the_bit(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    width, height = size
    clip = write_clip(tmp_path / "clip.mp4", width=width, height=height, num_frames=14, **{**BASE, **SETTINGS[name]})
    frames = parsed(clip, with_vectors=True)
    assert len(frames) == 14
    assert_balanced(frames)


@pytest.mark.parametrize("coder", ["0", "1"])
def test_monochrome_balances_too(tmp_path: Path, coder: str) -> None:
    frames = parsed(write_clip(tmp_path / "clip.mp4", num_frames=8, pixels="gray", coder=coder))
    assert_balanced(frames)


@pytest.mark.parametrize(
    ("reason", "settings", "pixels"),
    [
        ("interlaced", {"x264-params": "tff=1"}, "yuv420p"),
        ("chroma other than 4:2:0", {}, "yuv422p"),
        ("more than eight bits", {}, "yuv420p10le"),
    ],
)
def test_what_is_not_read_is_refused_by_its_name(tmp_path: Path, reason: str, settings: dict[str, str], pixels: str) -> None:
    frames = parsed(write_clip(tmp_path / "clip.mp4", num_frames=6, pixels=pixels, **settings))
    assert {frame.refused for frame in frames} == {reason}
    assert not any(frame.is_whole for frame in frames)


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


def test_evidence_holds_bits_and_levels_of_the_packet_where_asked_for(golden: Path) -> None:
    path = golden / "macroblock" / "high_8x8_cabac.mp4"
    decoder, parser = Decoder(with_macroblocks=True), MacroblockParser()
    with open_source(str(path)) as packets:
        frames = [frame for packet in packets for frame in decoder.push(packet)][:20]
    parser.push(access_units(path)[0])
    for frame in frames:
        evidence, truth = measure(frame, None), parser.push(frame.packet.data)
        assert truth is not None
        assert evidence.bits is not None
        assert evidence.levels is not None
        np.testing.assert_array_equal(evidence.bits, truth.bits[: evidence.bits.shape[0]])
        np.testing.assert_array_equal(evidence.levels, truth.levels[: evidence.levels.shape[0]])
        assert evidence.bits.dtype == evidence.levels.dtype == np.float32
    assert not decoder.unread


def test_pictures_that_cannot_be_read_fall_back_and_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = write_clip(tmp_path / "clip.mp4", num_frames=8, **{"x264-params": "tff=1"})
    decoder = Decoder("front", with_macroblocks=True)
    with open_source(str(clip)) as packets:
        frames = [frame for packet in packets for frame in decoder.push(packet)] + decoder.flush()
    measured = [measure(frame, previous) for previous, frame in pairwise(frames)]
    assert [evidence.bits for evidence in measured] == [None] * 7
    assert decoder.unread == {"interlaced": 7}
    assert [record.message for record in caplog.records if "no bits" in record.message] == [
        "front: no bits per macroblock (interlaced); evidence is motion, residual and size"
    ]
    assert all(evidence.residual.any() for evidence in measured)


def test_the_tokenizer_scores_by_bits_where_they_have_a_weight(golden: Path) -> None:
    def groups(**settings: float) -> list[CanvasGroup]:
        tokenizer = Tokenizer(TokenizerSettings(still_share=0.0, **settings))
        with open_source(str(golden / "macroblock" / "cabac_main_b3.mp4")) as packets:
            return [group for packet in packets for group in tokenizer.push(packet)] + tokenizer.flush()

    plain, by_bits = groups(), groups(weight_bits=1e6)
    assert [group.canvases.shape for group in plain] == [group.canvases.shape for group in by_bits]
    assert any(not np.array_equal(a.positions, b.positions) for a, b in zip(plain, by_bits, strict=True))


@pytest.mark.parametrize("name", ["high_8x8_cavlc", "slices4_cabac"])
def test_mutated_access_units_are_survived(golden: Path, name: str) -> None:
    outcome = push(access_units(golden / "macroblock" / f"{name}.mp4"), 2500, 1)
    assert sum(outcome.values()) == 2500
    assert outcome["damaged"] > 500


def test_the_line_goes_on_through_a_bad_stream_and_says_what_it_dropped(golden: Path) -> None:
    tokenizer, bad = Tokenizer(TokenizerSettings(weight_bits=1.0)), 0
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
