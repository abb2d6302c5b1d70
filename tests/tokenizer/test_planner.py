"""Sizes follow from the rate, and what a user set stays."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ov2.canvas import BLOCK_PX
from stream.tokenizer.pack import canvas_size
from stream.tokenizer.planner import LEAST_BLOCKS, SPAN_S, plan
from stream.tokenizer.settings import recorded_settings, settings_from

SIZES = st.sampled_from([(640, 360), (640, 480), (1280, 720), (1920, 1080), (2560, 1920), (720, 1280)])


@given(st.floats(1, 2000), SIZES)
def test_nothing_stays_open_and_canvases_are_large_enough(rate: float, size: tuple[int, int]) -> None:
    planned = plan(settings_from({"preset": "activity", "token_rate": rate}), size)
    s = planned.settings
    assert None not in (s.max_pixels, s.canvases_per_group, s.source_frames)
    assert s.max_pixels is not None
    width, height = canvas_size(*size, s.max_pixels)
    assert width * height // BLOCK_PX**2 >= LEAST_BLOCKS
    assert s.t_max_s >= 2 * planned.span_s or s.t_max_s == 6.0
    assert planned.span_s == pytest.approx(planned.tokens / rate)


@pytest.mark.parametrize("rate", [100.0, 150.0, 200.0, 300.0])
@pytest.mark.parametrize("size", [(640, 360), (1920, 1080)])
def test_a_mean_active_group_lasts_about_three_seconds(rate: float, size: tuple[int, int]) -> None:
    planned = plan(settings_from({"preset": "activity", "token_rate": rate}), size)
    assert planned.span_s == pytest.approx(SPAN_S, rel=0.2)
    assert planned.limits == ()


def test_a_rate_that_cannot_pay_for_three_seconds_is_told_and_gets_longer_groups() -> None:
    planned = plan(settings_from({"preset": "activity", "token_rate": 20.0}), (640, 360))
    assert planned.span_s > SPAN_S
    assert planned.settings.t_max_s == pytest.approx(2 * planned.span_s)
    (told,) = planned.limits
    assert "token_rate 20" in told.measured
    assert "set token_rate" in told.remedy


@pytest.mark.parametrize(
    ("by_hand", "what"),
    [({"t_max_s": 2.0, "token_rate": 30.0}, "above token_rate 30"), ({"max_pixels": 3000}, "below token_rate 100")],
)
def test_sizes_set_by_hand_that_cannot_keep_the_rate_are_told(by_hand: dict[str, float], what: str) -> None:
    planned = plan(settings_from(by_hand), (640, 360))
    assert [what in told.measured for told in planned.limits] == [True]
    assert {key: getattr(planned.settings, key) for key in by_hand} == by_hand


@given(st.integers(20_000, 200_000), st.integers(1, 6), st.integers(0, 8))
def test_what_is_set_by_hand_stays(max_pixels: int, canvases: int, frames: int) -> None:
    given_ = {"max_pixels": max_pixels, "canvases_per_group": canvases, "source_frames": frames}
    s = plan(settings_from({"preset": "activity", **given_}), (1280, 720)).settings
    assert (s.max_pixels, s.canvases_per_group, s.source_frames) == (max_pixels, canvases, frames)


def test_published_settings_are_as_they_were() -> None:
    settings = settings_from({"preset": "published"})
    assert plan(settings, (640, 360)).settings == settings
    assert (settings.t_max_s, settings.max_pixels, settings.canvases_per_group, settings.source_frames) == (6.0, 150_000, 4, 0)


def test_a_recording_without_a_preset_was_published_and_one_that_is_given_replaces_what_it_says() -> None:
    old = {"token_rate": 60.0, "cost": "log"}
    assert recorded_settings(old) == settings_from({"preset": "published", **old})
    assert recorded_settings(asdict(settings_from({}))) == settings_from({})
    replaced = recorded_settings(
        asdict(settings_from({"preset": "published", **old})), {"preset": "activity", "t_still_s": 20.0}
    )
    assert replaced == settings_from({"token_rate": 60.0, "t_still_s": 20.0})
