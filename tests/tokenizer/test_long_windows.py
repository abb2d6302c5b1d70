"""A camera that is busy for a tenth of the time: how far its window reaches, and that the window works there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

import pytest
from engine_fixtures import model, text
from walker_film import WALK_S, film

from ov2.canvas import CanvasGroup
from ov2.model import OV2Model
from ov2.session import Session
from ov2.session_settings import WINDOW_TOKENS, SessionSettings
from ov2.text import TextTokenizer
from stream.tokenizer.budget import num_llm_tokens
from stream.tokenizer.settings import settings_from
from stream.tokenizer.tokenizer import Tokenizer
from stream.units import Packet

__all__ = ["model", "text"]

CYCLE_S, CYCLES = 30, 5
FPS = 10
"""Of three seconds in thirty something crosses."""


def _film() -> Iterator[Packet]:
    once = film(seconds=CYCLE_S, fps=FPS, gop=4 * FPS)
    for cycle in range(CYCLES):
        later_s = float(cycle * CYCLE_S)
        ticks = round(later_s / once[0].time_base)
        for each in once:
            yield replace(each, pts=each.pts + ticks, pts_s=each.pts_s + later_s, media_s=each.media_s + later_s)


@cache
def groups_by(preset: str) -> tuple[CanvasGroup, ...]:
    tokenizer = Tokenizer(settings_from({"preset": preset}))
    return tuple([group for packet in _film() for group in tokenizer.push(packet)] + tokenizer.flush())


def reach_s(groups: Sequence[CanvasGroup]) -> float:
    """Seconds that the default window holds of a camera that goes on like this."""
    return WINDOW_TOKENS * (groups[-1].end_s - groups[0].start_s) / sum(num_llm_tokens(group) for group in groups)


def test_a_window_reaches_much_further_than_one_by_the_clock() -> None:
    """In so small a picture all canvases are whole pictures; of 640x360 see docs/activity.md."""
    assert (WALK_S[1] - WALK_S[0]) / CYCLE_S == 0.1
    assert reach_s(groups_by("activity")) >= 2.5 * reach_s(groups_by("published"))
    shown = {round(group.start_s) // CYCLE_S for group in groups_by("activity") if group.num_canvases > 1}
    assert shown == set(range(CYCLES)), "and every crossing is in it"


def test_a_long_window_is_renewed_and_answers_as_a_new_one_does(model: OV2Model, text: TextTokenizer) -> None:
    settings = SessionSettings(window_tokens=2000, branch_tokens=400, max_positions=3000, page_tokens=16)
    session = Session(model, settings, text)
    period_s = float(CYCLE_S * CYCLES)
    for round_ in range(4):
        for number, group in enumerate(groups_by("activity")):
            later_s = round_ * period_s
            session.append(
                replace(
                    group,
                    group_id=round_ * 1000 + number,
                    start_s=group.start_s + later_s,
                    end_s=group.end_s + later_s,
                    runs=tuple((seconds + later_s, count) for seconds, count in group.runs),
                )
            )
    assert session.num_renewals >= 1
    assert session.window is not None
    assert session.window[1] == pytest.approx(4 * period_s, abs=0.2)
    assert session.window[1] - session.window[0] > 100.0
    session.renew()
    answer = session.ask("What crossed?", max_tokens=6)
    pieces = list(answer)
    again = Session(model, settings, text)
    for group in session.groups:
        again.append_encoded(group)
    assert list(again.ask("What crossed?", max_tokens=6)) == pieces
    assert answer.window == session.window
