"""The whole tokenizer by activity: where canvases and tokens go, and the same groups whatever happens around them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from walker_film import WALK_S, film

from ov2.canvas import CanvasGroup
from stream.tokenizer.budget import num_llm_tokens
from stream.tokenizer.settings import TokenizerSettings, settings_from
from stream.tokenizer.tokenizer import Tokenizer
from stream.units import Packet

SETTINGS = settings_from({"preset": "activity", "t_still_s": 4.0, "max_pixels": 60_000})


def groups_of(packets: Sequence[Packet], settings: TokenizerSettings = SETTINGS) -> list[CanvasGroup]:
    tokenizer = Tokenizer(settings)
    return [group for packet in packets for group in tokenizer.push(packet)] + tokenizer.flush()


def assert_same(groups: Sequence[CanvasGroup], others: Sequence[CanvasGroup]) -> None:
    assert [(g.runs, g.start_s, g.end_s, g.closed_by, g.cost) for g in groups] == [
        (g.runs, g.start_s, g.end_s, g.closed_by, g.cost) for g in others
    ]
    for group, other in zip(groups, others, strict=True):
        np.testing.assert_array_equal(group.canvases, other.canvases)
        np.testing.assert_array_equal(group.positions, other.positions)


@pytest.mark.parametrize("bframes", [0, 3])
def test_stillness_is_one_canvas_and_what_crosses_is_shown_soon(bframes: int) -> None:
    groups = groups_of(film(bframes, seconds=16))
    still = [group for group in groups if group.end_s <= WALK_S[0] - 0.5 or group.start_s > WALK_S[1] + 1.0]
    assert [group.num_canvases for group in still] == [1] * len(still)
    assert len(still) <= 4, [(group.start_s, group.end_s) for group in still]
    onset = next(group for group in groups if group.num_canvases > 1)
    assert abs(onset.start_s - WALK_S[0]) <= 1.0
    assert onset.end_s - onset.start_s <= 2.0
    assert [group.start_s for group in groups[1:]] == [group.end_s for group in groups[:-1]]


def test_blocks_are_those_that_move() -> None:
    group = next(group for group in groups_of(film()) if group.num_canvases > 1)
    per_canvas = group.num_blocks // group.num_canvases
    blocks = group.positions[::4][per_canvas:]
    pixels = np.concatenate([canvas.reshape(-1, 3) for canvas in group.canvases[1:]])
    red = (pixels[:, 0].astype(int) - pixels[:, 1] > 60).mean()
    whole = (group.canvases[0][..., 0].astype(int) - group.canvases[0][..., 1] > 60).mean()
    assert len(blocks)
    assert red > 2 * whole, "P-canvases show what crosses"


def test_the_same_packets_give_the_same_groups_however_often_one_peeks_and_with_few_pictures_held() -> None:
    packets, chance = film(), random.Random(3)
    tokenizer = Tokenizer(SETTINGS)
    groups = []
    for packet in packets:
        groups += tokenizer.push(packet)
        if chance.random() < 0.2:
            tokenizer.peek()
    expected = groups_of(packets)
    assert_same(groups + tokenizer.flush(), expected)
    assert_same(groups_of(packets, replace(SETTINGS, held_frames=8)), expected)


def test_of_what_is_decoded_only_pictures_that_are_shown_are_held() -> None:
    tokenizer = Tokenizer(
        replace(SETTINGS, held_frames=10_000)
    )  # none goes down to canvas size, so all that were held are counted
    groups = [group for packet in film(seconds=16) for group in tokenizer.push(packet)] + tokenizer.flush()
    assert tokenizer._on_demand is not None
    (decoder,) = tokenizer._on_demand._decoders.values()
    num_shown = sum(len(group.runs) for group in groups)
    assert num_shown < decoder.num_decoded
    assert len(decoder._full_size) <= num_shown


def test_a_peek_shows_the_newest_picture_of_a_still_scene_and_the_last_moments_of_a_lively_one() -> None:
    for seconds in (3.0, 6.0):
        tokenizer = Tokenizer(SETTINGS)
        for packet in film():
            if packet.media_s >= seconds:
                break
            tokenizer.push(packet)
        peek = tokenizer.peek()
        assert peek is not None
        assert seconds - max(at for at, _ in peek.runs) <= 0.6
        assert peek.end_s == pytest.approx(seconds, abs=0.1)


def test_groups_begin_with_a_keyframe_where_nothing_was_active() -> None:
    packets = film(seconds=20, gop=60)
    keys = {packet.pts_s for packet in packets if packet.is_key}
    still = [group for group in groups_of(packets) if group.num_canvases == 1]
    assert len(still) >= 3
    assert all(any(abs(group.runs[0][0] - at) < 0.001 for at in keys) for group in still if group.end_s - group.start_s >= 3.0)


def test_a_still_spell_holds_few_pictures_however_often_a_keyframe_comes() -> None:
    tokenizer, most = Tokenizer(replace(SETTINGS, t_still_s=60.0)), 0
    for packet in film(seconds=40, fps=10, gop=5):
        tokenizer.push(packet)
        if packet.pts_s > WALK_S[1] + 5 and tokenizer._stream is not None:
            held = {held.frame_id for bin_ in tokenizer._stream.frames.bins for held in bin_.held()}
            most = max(most, len(held))
    assert 0 < most < 24, "of the newest bins, and one keyframe of the 56 that came"


def test_all_tokens_of_a_still_spell_are_one_canvas() -> None:
    groups = groups_of(film())
    still = [group for group in groups if group.end_s <= WALK_S[0]]
    assert sum(num_llm_tokens(group) for group in still) <= 2 * 80
