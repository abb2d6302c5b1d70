"""Inputs beside codec tokens: whole frames at a steady rate, and groups of one fixed span."""

from __future__ import annotations

import gc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from ov2.canvas import CanvasGroup
from stream.codec.picture import Picture
from stream.errors import SettingsError
from stream.sources import open_source
from stream.tokenizer.budget import num_llm_tokens
from stream.tokenizer.candidates import HeldFrame
from stream.tokenizer.inputs import AnyTokenizer, new_tokenizer
from stream.tokenizer.sampled_frames import SampledFrames
from stream.tokenizer.settings import settings_from
from stream.units import Packet
from trainer.world import World, write_file

SECONDS = 24.0
FRAMES = {"input": "frames", "token_rate": 40, "max_pixels": 12_000}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "yard.mp4"
    return write_file(World(11, duration_s=SECONDS), path, width=320, height=180, fps=10)


@pytest.fixture(scope="module")
def packets(film: Path) -> list[Packet]:
    with open_source(str(film)) as source:
        return list(source)


def run(tokenizer: AnyTokenizer, packets: list[Packet]) -> list[CanvasGroup]:
    groups = [group for packet in packets for group in tokenizer.push(packet)]
    return groups + tokenizer.flush()


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.99])
def test_frames_are_shown_whole_as_the_decoder_gives_them(film: Path, packets: list[Packet], phase: float) -> None:
    groups = run(new_tokenizer(settings_from({**FRAMES, "sample_phase": phase})), packets)
    with av.open(str(film)) as container:
        decoded = {round(float(frame.time or 0), 3): frame for frame in container.decode(video=0)}
    assert len(groups) > 3
    for group in groups:
        height, width = group.canvases.shape[1:3]
        assert len(group.runs) == group.num_canvases <= 4
        for canvas, (at_s, blocks) in zip(group.canvases, group.runs, strict=True):
            assert blocks == group.num_blocks // group.num_canvases
            assert np.array_equal(canvas, Picture(decoded[round(at_s, 3)])(width, height))
        assert (group.positions[:, 0].reshape(group.num_canvases, -1).std(1) == 0).all()
        assert (np.diff(group.positions[:: 4 * blocks, 0]) > 0).all()


@pytest.mark.parametrize("rate", [20, 40, 90])
def test_frames_cost_what_the_rate_says_and_cover_the_stream_without_gaps(packets: list[Packet], rate: float) -> None:
    groups = run(new_tokenizer(settings_from({**FRAMES, "token_rate": rate})), packets)
    full = [group for group in groups if group.closed_by == "quota"]
    tokens = sum(map(num_llm_tokens, full))
    assert tokens / (full[-1].end_s - full[0].start_s) == pytest.approx(rate, rel=0.02)
    for one, after in pairwise(groups):
        assert after.start_s == one.end_s
        assert one.start_s <= one.runs[0][0] <= one.runs[-1][0] <= one.end_s


def test_a_still_is_a_group_of_one(packets: list[Packet]) -> None:
    groups = run(new_tokenizer(settings_from({**FRAMES, "canvases_per_group": 1})), packets)
    assert {group.num_canvases for group in groups} == {1}


def test_a_peek_shows_the_newest_frame_and_changes_nothing(packets: list[Packet]) -> None:
    settings = settings_from(FRAMES)
    plain = run(new_tokenizer(settings), packets)
    tokenizer, groups = new_tokenizer(settings), []
    assert tokenizer.peek() is None
    for packet in packets:
        groups += tokenizer.push(packet)
        peek = tokenizer.peek()
        assert peek is not None
        assert peek.closed_by == "open"
        assert peek.num_canvases <= 4
        assert peek.runs[-1][0] == packet.pts_s
    groups += tokenizer.flush()
    assert [(g.runs, g.start_s, g.end_s) for g in groups] == [(g.runs, g.start_s, g.end_s) for g in plain]
    assert all(np.array_equal(one.canvases, other.canvases) for one, other in zip(groups, plain, strict=True))


def test_a_camera_slower_than_the_rate_gives_every_frame_once(packets: list[Packet]) -> None:
    groups = run(new_tokenizer(settings_from({**FRAMES, "token_rate": 5000, "sample_phase": 0.0})), packets)
    times = [at_s for group in groups for at_s, _ in group.runs]
    assert times == [packet.pts_s for packet in packets]


def test_a_break_closes_what_is_open(packets: list[Packet]) -> None:
    half = len(packets) // 2
    key = next(index for index in range(half, len(packets)) if packets[index].is_key)
    later = [replace(packet, discontinuity=index == 0) for index, packet in enumerate(packets[key:])]
    groups = run(new_tokenizer(settings_from({**FRAMES, "canvases_per_group": 7})), packets[:key] + later)
    assert [group.closed_by for group in groups].count("discontinuity") == 1
    assert not any(group.start_s < packets[key].pts_s < group.end_s for group in groups)


def test_a_model_that_is_behind_takes_frames_more_seldom(packets: list[Packet]) -> None:
    tokenizer = new_tokenizer(settings_from(FRAMES))
    groups: list[CanvasGroup] = []
    for packet in packets:
        groups += tokenizer.push(packet)
        tokenizer.widen(3.0)
    assert 2 * tokenizer.stats.num_tokens < sum(map(num_llm_tokens, run(new_tokenizer(settings_from(FRAMES)), packets)))


@pytest.mark.parametrize("rate", [15, 25])
def test_fixed_groups_have_one_span_and_all_their_canvases(packets: list[Packet], rate: float) -> None:
    groups = run(new_tokenizer(settings_from({"input": "ippp", "token_rate": rate, "max_pixels": 12_000})), packets)
    spans = {round(group.end_s - group.start_s, 3) for group in groups[:-1]}
    assert len(spans) == 1
    assert {group.closed_by for group in groups[:-1]} == {"max_span"}
    tokens = [num_llm_tokens(group) for group in groups]
    assert sum(tokens) / groups[-1].end_s == pytest.approx(rate, rel=0.35)


def test_settings_of_an_input_are_checked() -> None:
    with pytest.raises(SettingsError, match=r"tokenizer\.input: expected one of codec, frames, ippp, got 'video'"):
        settings_from({"input": "video"})
    with pytest.raises(SettingsError, match=r"tokenizer\.sample_phase: expected a share of a step"):
        settings_from({"sample_phase": 1.0})
    assert isinstance(new_tokenizer(settings_from(FRAMES)), SampledFrames)


def test_of_many_frames_that_were_decoded_one_stays_at_full_size(tmp_path: Path) -> None:
    """B pictures are decoded whole, so nobody else lets their pictures go."""
    path = tmp_path / "b.mp4"
    write_file(World(12, duration_s=10.0), path, width=320, height=180, fps=10, camera="bframes")
    tokenizer = new_tokenizer(settings_from({**FRAMES, "token_rate": 200, "canvases_per_group": 50}))
    most = 0
    with open_source(str(path)) as source:
        for packet in source:
            tokenizer.push(packet)
            held = [each for each in gc.get_objects() if type(each) is HeldFrame]
            most = max(most, len(held))
            assert sum(each.is_full_size for each in held) <= 1
    assert most > 20
    assert tokenizer.decoded_share == 1.0
