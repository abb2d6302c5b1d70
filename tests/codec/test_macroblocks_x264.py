"""Whatever x264 makes is read to the last bit of every slice, or refused by its name."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import write_clip
from macroblock_cases import assert_balanced, parsed

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
