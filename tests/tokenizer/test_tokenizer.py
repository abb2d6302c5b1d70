"""Packets in, groups of canvases out: the same from the same packets, whatever happens around them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
from published import published

from ov2.canvas import CanvasGroup
from stream.codec.decode import Decoder
from stream.codec.picture import Picture
from stream.errors import SettingsError
from stream.sources import open_source
from stream.tokenizer.budget import group_line, num_llm_tokens
from stream.tokenizer.gop import bin_costs, partition
from stream.tokenizer.settings import TokenizerSettings, settings_from
from stream.tokenizer.tokenizer import Tokenizer
from stream.units import Packet

FPS = 10
SMALL = published(max_pixels=160 * 90, quota=6_000.0)


@cache
def clip(width: int = 160, height: int = 90, seconds: int = 24, bframes: int = 0, walker: bool = True) -> tuple[Packet, ...]:
    """A noisy picture of a wall, encoded as a camera would; with a walker, something striped paces it from 8 to 16 seconds."""
    noise = np.random.default_rng(5)
    wall = 90 + 40 * np.sin(np.arange(width) / 9)[None, :] * np.cos(np.arange(height) / 7)[:, None]
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "clip.mp4")
        with av.open(path, "w") as file:
            stream = file.add_stream("libx264", rate=FPS)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.options = {"bf": str(bframes), "g": "40", "crf": "25", "preset": "veryfast", "threads": "1"}
            for i in range(seconds * FPS):
                picture = np.repeat((wall + noise.normal(0, 2, wall.shape))[..., None], 3, axis=2)
                if walker and 80 <= i < 160:
                    left = (i - 80) * 5 % (width - 60)
                    picture[height // 4 : height - 6, left : left + 50] = [220, 40, 30]
                    picture[height // 4 : height - 6, left + i % 7 : left + 50 : 9] = 240
                frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), "rgb24")
                file.mux(stream.encode(frame))
            file.mux(stream.encode())
        with open_source(path) as packets:
            return tuple(packets)


def groups_of(packets: Sequence[Packet], settings: TokenizerSettings = SMALL) -> list[CanvasGroup]:
    tokenizer = Tokenizer(settings)
    return [group for packet in packets for group in tokenizer.push(packet)] + tokenizer.flush()


def assert_same(groups: Sequence[CanvasGroup], others: Sequence[CanvasGroup]) -> None:
    """Bit for bit, but for the wall clock."""
    assert len(groups) == len(others)
    for group, other in zip(groups, others, strict=True):
        assert (group.runs, group.start_s, group.end_s) == (other.runs, other.start_s, other.end_s)
        assert (group.closed_by, group.cost) == (other.closed_by, other.cost)
        np.testing.assert_array_equal(group.canvases, other.canvases)
        np.testing.assert_array_equal(group.positions, other.positions)


def moved(packets: Sequence[Packet], by_s: float) -> list[Packet]:
    return [replace(p, pts_s=p.pts_s + by_s, media_s=p.media_s + by_s) for p in packets]


@pytest.mark.parametrize("bframes", [0, 3])
def test_groups_are_those_of_the_offline_partition(bframes: int) -> None:
    packets = clip(bframes=bframes)
    settings = replace(SMALL, scene_cut_ratio=0.0)
    costs = bin_costs([p.pts_s for p in packets], [p.size_bytes for p in packets], [p.is_key for p in packets], cost="bytes")
    expected = [(low * 0.5, (high + 1) * 0.5) for low, high in partition(costs, 6_000.0)]
    groups = groups_of(packets, settings)
    assert [(group.start_s, group.end_s) for group in groups] == expected
    assert sum(group.cost for group in groups) == pytest.approx(costs.sum())
    assert [group.group_id for group in groups] == list(range(len(groups)))
    assert groups[-1].closed_by == "end"


def test_the_same_packets_give_the_same_groups_however_often_one_peeks() -> None:
    packets, chance = clip(), random.Random(3)
    tokenizer = Tokenizer(replace(SMALL, quota=None, token_rate=60.0))
    groups = []
    for packet in packets:
        groups += tokenizer.push(packet)
        for _ in range(chance.choice([0, 0, 1, 2])):
            tokenizer.peek()
    assert_same(groups + tokenizer.flush(), groups_of(packets, replace(SMALL, quota=None, token_rate=60.0)))


def test_a_peek_shows_the_open_group_up_to_the_newest_frame_and_repeats() -> None:
    tokenizer = Tokenizer(SMALL)
    assert tokenizer.peek() is None
    for packet in clip()[:135]:
        tokenizer.push(packet)
    first, again = tokenizer.peek(), tokenizer.peek()
    assert first is not None
    assert again is not None
    assert_same([first], [again])
    assert first.closed_by == "open"
    assert first.end_s == pytest.approx(13.5)
    assert 13.5 - max(seconds for seconds, _ in first.runs) <= 0.3, "the last quarter of a second is in sight"


def test_a_still_scene_is_its_anchor_alone_and_a_walker_fills_canvases() -> None:
    groups = groups_of(clip())
    still = [g for g in groups if g.end_s <= 8.0 or g.start_s >= 16.5]
    walked = [g for g in groups if g.start_s < 15.0 and g.end_s > 10.0]
    assert [g.num_canvases for g in still] == [1] * len(still)
    assert len(still) >= 2
    assert max(g.num_canvases for g in walked) == 4


@pytest.mark.parametrize("policy", ["stratified", "readiness"])
def test_no_canvas_is_half_filled_and_the_anchor_is_shown_once(policy: str) -> None:
    for group in groups_of(clip(), replace(SMALL, policy=policy)):
        per_canvas = group.num_blocks // group.num_canvases
        ids = group.positions[::4, 0]
        assert (ids[:per_canvas] == ids[0]).all()
        assert (ids[per_canvas:] > ids[0]).all()
        blocks = [tuple(position) for position in group.positions]
        assert len(set(blocks)) == len(blocks)
        assert (np.diff(ids) >= 0).all()


@pytest.mark.parametrize("bframes", [0, 3])
def test_every_patch_shows_the_pixels_of_its_frame(bframes: int) -> None:
    decoder, pictures, times = Decoder(), {}, {}
    for frame in [f for packet in clip(bframes=bframes) for f in decoder.push(packet)] + decoder.flush():
        pictures[frame.frame_id], times[frame.frame_id] = Picture(frame.picture)(140, 84), frame.media_s
    for group in groups_of(clip(bframes=bframes)):
        n, height, width, _ = group.canvases.shape
        assert (width, height) == (140, 84)
        tiles = group.canvases.reshape(n, 3, 2, 14, 5, 2, 14, 3).transpose(0, 1, 4, 2, 5, 3, 6, 7).reshape(-1, 14, 14, 3)
        for (frame_id, row, col), tile in zip(group.positions, tiles, strict=True):
            np.testing.assert_array_equal(tile, pictures[frame_id][row * 14 : row * 14 + 14, col * 14 : col * 14 + 14])
        assert [seconds for seconds, _ in group.runs] == sorted({times[i] for i in group.positions[:, 0]})


def test_nothing_crosses_a_discontinuity() -> None:
    """What follows is what a fresh tokenizer makes of it; the quota alone remembers, and here it is fixed."""
    before, after = list(clip()[:111]), moved(clip()[40:], 100.0)
    after[0] = replace(after[0], discontinuity=True)
    settings = replace(SMALL, scene_cut_ratio=0.0)
    groups = groups_of(before + after, settings)
    closed = [i for i, group in enumerate(groups) if group.closed_by == "discontinuity"]
    assert len(closed) == 1
    head, tail = groups[: closed[0] + 1], groups[closed[0] + 1 :]
    fresh = groups_of(after, settings)
    assert [(g.start_s, g.end_s, g.cost, g.closed_by) for g in tail] == [
        (g.start_s, g.end_s, g.cost, g.closed_by) for g in fresh
    ]
    for group, other in zip(tail, fresh, strict=True):
        np.testing.assert_array_equal(group.canvases, other.canvases)
    assert head[-1].end_s == pytest.approx(11.1)


def test_a_discontinuity_that_the_source_saw_closes_the_group_though_time_goes_on() -> None:
    packets = [replace(p, discontinuity=p.pts_s == 12.0) for p in clip()]
    groups = groups_of(packets)
    assert [g.end_s for g in groups if g.closed_by == "discontinuity"] == [12.0]
    assert [g.end_s for g in groups[:-1]] == [g.start_s for g in groups[1:]]


def test_candidates_are_the_costliest_frames_of_their_slots() -> None:
    sizes = {p.pts_s: 0 if p.is_key else p.size_bytes for p in clip()}
    slots: dict[int, int] = {}
    for seconds, size in sizes.items():
        slot = int(seconds * SMALL.analysis_fps)
        slots[slot] = max(size, slots.get(slot, 0))
    shown = [seconds for group in groups_of(clip(), replace(SMALL, scene_cut_ratio=0.0)) for seconds, _ in group.runs[1:]]
    assert len(shown) > 15
    assert all(sizes[seconds] == slots[int(seconds * SMALL.analysis_fps)] for seconds in shown)


def test_the_wall_clock_runs_beside_the_media_clock() -> None:
    packets = [replace(p, wall_s=1_700_000_000.0 + p.pts_s) for p in clip()]
    for group in groups_of(packets):
        assert group.wall_s == pytest.approx(1_700_000_000.0 + group.end_s)


def test_a_gap_a_step_back_and_another_size_are_discontinuities() -> None:
    whole = list(clip()[:80])
    for more in (moved(whole, 60.0), moved(whole, 0.0), moved(clip(96, 64, 8), 8.0)):
        groups = groups_of(whole + list(more))
        assert [g.closed_by for g in groups].count("discontinuity") == 1
        ids = [int(i) for g in groups for i in sorted(set(g.positions[:, 0]))]
        assert ids == sorted(ids), "frames are counted on across a discontinuity"


def test_a_camera_of_few_frames_is_not_torn_apart() -> None:
    slow = [replace(p, pts_s=i * 3.0, media_s=i * 3.0) for i, p in enumerate(clip()[:20])]
    assert [g.closed_by for g in groups_of(slow)].count("discontinuity") == 1, "the first step alone looks like a gap"


def test_a_forced_close_starts_a_new_group_with_the_next_frame() -> None:
    tokenizer = Tokenizer(SMALL)
    groups = [group for packet in clip()[:93] for group in tokenizer.push(packet)]
    forced = tokenizer.force()
    assert tokenizer.peek() is None
    assert forced[-1].closed_by == "forced"
    assert forced[-1].end_s == pytest.approx(9.3)
    after = [group for packet in clip()[93:] for group in tokenizer.push(packet)] + tokenizer.flush()
    assert after[0].start_s == pytest.approx(9.3)
    assert [g.group_id for g in groups + forced + after] == list(range(len(groups + forced + after)))


def test_the_clock_closes_groups_of_a_camera_that_fell_silent() -> None:
    tokenizer = Tokenizer(SMALL)
    groups = [group for packet in clip()[:60] for group in tokenizer.push(packet)]
    later = tokenizer.advance(30.0)
    assert later[-1].end_s >= 6.0
    assert not groups or later[0].start_s == groups[-1].end_s
    assert tokenizer.peek() is None


def test_few_pictures_are_held_and_it_does_not_change_a_pixel() -> None:
    settings = replace(SMALL, t_max_s=24.0, quota=1e9)
    assert_same(groups_of(clip(), replace(settings, held_frames=1)), groups_of(clip(), replace(settings, held_frames=10_000)))


def test_a_damaged_packet_is_counted_and_skipped() -> None:
    packets = list(clip())
    packets[50] = replace(packets[50], data=packets[50].data[:5] + b"\xff" * 40)
    tokenizer = Tokenizer(SMALL)
    groups = [group for packet in packets for group in tokenizer.push(packet)] + tokenizer.flush()
    assert groups[-1].end_s == pytest.approx(24.0)
    assert tokenizer.stats.num_frames + sum(tokenizer.stats.dropped.values()) == len(packets)
    assert sum(tokenizer.stats.dropped.values()) >= 1


def test_packets_before_the_first_keyframe_belong_to_no_group() -> None:
    tokenizer = Tokenizer(SMALL)
    groups = [group for packet in clip()[5:] for group in tokenizer.push(packet)] + tokenizer.flush()
    assert groups[0].start_s == pytest.approx(4.0)
    assert tokenizer.stats.dropped["no_keyframe"] == 35


def test_no_decodable_frame_yields_nothing() -> None:
    tokenizer = Tokenizer(SMALL)
    assert [group for packet in clip()[1:39] for group in tokenizer.push(packet)] == []
    assert tokenizer.peek() is None
    assert tokenizer.flush() == []


def test_the_complexity_cost_reads_the_quantiser() -> None:
    plain, complexity = groups_of(clip()), groups_of(clip(), replace(SMALL, cost="complexity"))
    assert sum(g.cost for g in plain) != pytest.approx(sum(g.cost for g in complexity), rel=0.01)


def test_all_tokens_are_counted_timestamps_too() -> None:
    group = max(groups_of(clip()), key=lambda g: g.num_canvases)
    digits = [len(str(int(seconds))) for seconds, _ in group.runs]
    assert num_llm_tokens(group) == group.num_blocks + sum(8 + d for d in digits)
    tokenizer = Tokenizer(SMALL)
    groups = [g for packet in clip() for g in tokenizer.push(packet)] + tokenizer.flush()
    assert tokenizer.stats.num_tokens == sum(map(num_llm_tokens, groups))
    assert tokenizer.stats.tokens_per_s == pytest.approx(tokenizer.stats.num_tokens / 24.0)


def test_a_line_tells_a_group_and_its_digest() -> None:
    groups = groups_of(clip())
    lines = [group_line(group, i) for i, group in enumerate(groups)]
    keys = ["index", "start_s", "end_s", "closed_by", "active", "cost", "canvases", "patches", "llm_tokens", "sha256"]
    assert all(list(line) == keys for line in lines)
    assert len({line["sha256"] for line in lines}) == len(lines)
    assert lines == [group_line(group, i) for i, group in enumerate(groups_of(clip()))]


def test_an_unknown_setting_is_refused_with_the_nearest_known_one() -> None:
    assert settings_from({"t_max_s": 20, "quota": None}) == TokenizerSettings(t_max_s=20)
    with pytest.raises(SettingsError, match=r"tokenizer\.preset: expected one of activity, published, got 'publishd'"):
        settings_from({"preset": "publishd"})
    with pytest.raises(SettingsError, match="did you mean token_rate"):
        settings_from({"tokens_rate": 100})
    for bad in (
        {"cost": "size"},
        {"bin_s": 0},
        {"max_pixels": 1.5e5 + 0.5},
        {"t_max_s": 1.0},
        {"smooth": True},
        {"token_rate": "x"},
    ):
        with pytest.raises(SettingsError, match=next(iter(bad))):
            settings_from(bad)
