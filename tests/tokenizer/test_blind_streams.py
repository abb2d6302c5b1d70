"""Streams whose slice data tells nothing are cut by bytes and shown by what their pictures tell, with the default settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from clips import write_clip
from doctor_clips import CLIPS, lively
from walker_film import film

from ov2.canvas import CanvasGroup
from stream.sources import open_source
from stream.tokenizer.settings import settings_from
from stream.tokenizer.tokenizer import Tokenizer
from stream.units import Packet

SETTINGS = settings_from({"max_pixels": 28 * 28 * 24, "token_rate": 40.0})
BLIND = ("h265", "interlaced", "high_10", "intra")
SECONDS = 12
"""Of each clip: what moves, and how much of it, changes every four seconds."""
OPTIONS: dict[str, dict[str, str]] = {
    "h265": {"x265-params": "log-level=none:bframes=0:pools=1"},
    "interlaced": {"x264-params": "interlaced=1"},
    "high_10": {},
    "intra": {"g": "1"},
}


def packets_of(path: Path) -> list[Packet]:
    with open_source(str(path)) as source:
        return list(source)


def clip(path: Path, name: str) -> Path:
    codec = "libx265" if name == "h265" else "libx264"
    pixels = "yuv420p10le" if name == "high_10" else "yuv420p"
    return write_clip(
        path,
        width=320,
        height=192,
        num_frames=10 * SECONDS,
        draw=lively(),
        codec=codec,
        pixels=pixels,
        **{"g": "40"} | OPTIONS[name],
    )


def tokenized(tokenizer: Tokenizer, packets: Sequence[Packet]) -> list[CanvasGroup]:
    return [group for packet in packets for group in tokenizer.push(packet)] + tokenizer.flush()


@pytest.mark.parametrize("name", BLIND)
def test_what_moves_is_shown_and_the_reason_is_told(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = Tokenizer(SETTINGS, name="front")
    groups = tokenized(tokenizer, packets_of(clip(tmp_path / f"{name}.mp4", name)))
    busy = [group for group in groups if group.start_s >= 4.0 and group.closed_by in ("quota", "max_span")]
    assert busy
    assert any(group.num_canvases > 1 for group in busy)
    assert max(group.end_s - group.start_s for group in groups) <= 6.5, "no still group of half a minute"
    assert tokenizer.plan is not None
    assert "slice data of this stream cannot be read" in tokenizer.plan.limits[0].measured
    assert sum("slice data of this stream cannot be read" in record.message for record in caplog.records) == 1


def test_readable_streams_are_told_nothing_of_the_kind(tmp_path: Path) -> None:
    for name in ("well", "b_frames", "slices", "cavlc", "refresh", "slow"):
        tokenizer = Tokenizer(SETTINGS)
        tokenized(tokenizer, packets_of(CLIPS[name](tmp_path / f"{name}.mp4")))
        assert tokenizer.plan is not None
        assert not [limit for limit in tokenizer.plan.limits if "cannot be read" in limit.measured], name
        assert tokenizer.plan.settings.t_still_s == SETTINGS.t_still_s, name


def test_a_stream_that_can_be_read_again_is_cut_by_activity_again() -> None:
    blind = list(film(seconds=6, gop=1))
    readable = film(seconds=16)
    later_s = blind[-1].pts_s + 1 / 30
    ticks = round(later_s / readable[0].time_base)
    packets = blind + [
        replace(each, pts=each.pts + ticks, pts_s=each.pts_s + later_s, media_s=each.media_s + later_s) for each in readable
    ]
    tokenizer = Tokenizer(SETTINGS)
    groups = tokenized(tokenizer, packets)
    assert tokenizer.plan is not None
    assert tokenizer.plan.settings.t_still_s == SETTINGS.t_still_s
    assert any(group.closed_by == "onset" for group in groups)
    assert groups == sorted(groups, key=lambda group: group.start_s)
    spans = [(group.start_s, group.end_s) for group in groups]
    assert all(low[1] == pytest.approx(high[0], abs=0.05) for low, high in pairwise(spans)), "nothing is lost between"
