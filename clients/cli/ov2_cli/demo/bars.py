"""Bars of the demo's screen: what the camera spent, and under it the tokens of the groups that this was cut into.

In: the demo's `State`. Out: lines of text, of the same half seconds in the same columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from ov2_cli.demo.state import State

BARS = "▁▂▃▄▅▆▇█"
CUT = "╎"
OPEN = "·"
"""In place of tokens while a group is not closed."""
BIN_S = 0.5
"""Half seconds, as the service tells them."""
SAME_S = 1e-6
COST_STYLE, CUT_STYLE, ACTIVE_STYLE, STILL_STYLE = "cyan", "yellow", "magenta", "bright_black"


def cost_bars(state: State, width: int = 96) -> Text:
    """Bars of the cost per bin, with a mark where a group was cut."""
    columns = _columns(state, width)
    if not columns:
        return Text("waiting for the first packets", style="dim")
    highest = max(cost for _, cost, _ in columns)
    text = Text()
    for _, cost, is_cut in columns:
        _append(text, _bar(cost, highest), COST_STYLE, is_cut=is_cut)
    return text


def token_bars(state: State, width: int = 96) -> Text:
    """Bars of tokens per second: those of a group over the whole of its span. A full bar is the most that is in view, at least the
    token rate."""
    columns = _columns(state, width)
    groups = [_group_at(state.groups, begin_s + BIN_S / 2) for begin_s, _, _ in columns]
    highest = max([state.token_rate or 0.0, *(tokens_per_s([group]) for group in groups if group is not None)])
    text = Text()
    for (_, _, is_cut), group in zip(columns, groups, strict=True):
        if group is None:
            _append(text, OPEN, "dim", is_cut=is_cut)
        else:
            style = ACTIVE_STYLE if group["active"] else STILL_STYLE
            _append(text, _bar(tokens_per_s([group]), highest), style, is_cut=is_cut)
    return text


def tokens_told(state: State) -> Text:
    """Mean rates beside the one that was asked for, in the colours of the bars."""
    text = Text("tokens per second")
    for name, is_active, style in (("active", True, ACTIVE_STYLE), ("still", False, STILL_STYLE)):
        groups = [group for group in state.groups if group["active"] == is_active]
        if groups:
            text.append(f"   {name} {tokens_per_s(groups):.1f} over {_span_s(groups):.0f} s", style=style)
    if state.token_rate is not None:
        text.append(f"   token_rate {state.token_rate:g}")
    return text


def tokens_per_s(groups: Sequence[dict[str, Any]]) -> float:
    """Mean tokens per second of media time; 0 of groups that cover none."""
    span_s = _span_s(groups)
    return sum(group["llm_tokens"] for group in groups) / span_s if span_s else 0.0


def _span_s(groups: Sequence[dict[str, Any]]) -> float:
    return float(sum(group["end_s"] - group["start_s"] for group in groups))


def _columns(state: State, width: int) -> list[tuple[float, float, bool]]:
    """(beginning, cost, whether a group was cut there) of the newest bins that fit, oldest first. A cut takes a column of its own."""
    cuts = {int((group["end_s"] + SAME_S) / BIN_S) for group in state.groups}
    columns = []
    for begin_s, cost in reversed(state.bins):
        is_cut = int((begin_s + SAME_S) / BIN_S) in cuts
        width -= 1 + is_cut
        if width < 0:
            break
        columns.append((begin_s, cost, is_cut))
    return columns[::-1]


def _group_at(groups: Sequence[dict[str, Any]], media_s: float) -> dict[str, Any] | None:
    return next((group for group in reversed(groups) if group["start_s"] <= media_s < group["end_s"]), None)


def _append(text: Text, bar: str, style: str, *, is_cut: bool) -> None:
    if is_cut:
        text.append(CUT, style=CUT_STYLE)
    text.append(bar, style=style)


def _bar(value: float, highest: float) -> str:
    return BARS[min(len(BARS) - 1, int(value / highest * len(BARS)))] if highest else BARS[0]
