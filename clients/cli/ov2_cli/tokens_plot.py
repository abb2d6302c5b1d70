"""Tokens over time under the cost: where a stream's tokens went, group by group.

In: groups without their pictures. Out: a figure of two panels over the same seconds, and its PNG.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MISSING = "tokens.png needs matplotlib, which is not installed; pip install 'ov2-live[train]'"
SIZE, DPI = (12, 4.6), 80
COST, ACTIVE, STILL = "tab:green", "tab:blue", "tab:orange"
CLOSINGS = {"quota": ".", "max_span": "x", "still": "v", "discontinuity": "s", "forced": "D"}
"""Marks where groups were closed. What ends by `onset` has a line; the `end` of a stream needs none."""
MOMENT_S = 1.0
"""The step of a shorter group, what was left when a stream ended, may leave the panel at the top, lest all others be flat."""
HEADROOM = 1.2
SAME_S = 1e-6
"""Ends and beginnings that lie closer together are one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTokens:
    """What a group cost the stream, and what it costs the model: media seconds, LLM tokens. `token_rate`: what was asked for then, None where
    a fixed quota closed groups."""

    start_s: float
    end_s: float
    closed_by: str
    is_active: bool
    cost: float
    tokens: int
    token_rate: float | None

    @property
    def span_s(self) -> float:
        return self.end_s - self.start_s


def save_tokens(groups: Sequence[GroupTokens], path: Path) -> None:
    """Write the picture, if any group covers a time."""
    if any(group.span_s > 0 for group in groups):
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_tokens(groups).savefig(path)


def draw_tokens(groups: Sequence[GroupTokens]) -> Figure:
    """Cost per second of each group; under it its tokens per second, by whether something was active."""
    from matplotlib.figure import Figure

    shown, joints_s = _in_a_row([group for group in groups if group.span_s > 0])
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    cost, tokens = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.5))
    _steps(cost, shown, [group.cost / group.span_s for group in shown], color=COST, fill=True, alpha=0.8)
    cost.set_ylabel("cost per s")
    cost.set_ylim(bottom=0)
    cost.set_title(_told(shown), fontsize=10, loc="left")
    _draw_tokens(tokens, shown)
    onsets_s = sorted({onset_s for group in shown if (onset_s := _onset_s(group)) is not None})
    for axes in (cost, tokens):
        over_all = {"ymin": 0, "ymax": 1, "transform": axes.get_xaxis_transform()}
        axes.vlines(joints_s, color="k", lw=1, **over_all)
        axes.vlines(onsets_s, color="0.4", lw=0.8, ls="--", label="onset" if onsets_s else None, **over_all)
        axes.set_xlim(shown[0].start_s, shown[-1].end_s)
    tokens.set_xlabel("seconds")
    figure.legend(*tokens.get_legend_handles_labels(), loc="outside lower center", ncols=10, frameon=False, fontsize=8)
    return figure


def _draw_tokens(axes: Any, groups: Sequence[GroupTokens]) -> None:
    for is_active, label, colour in ((True, "active", ACTIVE), (False, "still", STILL)):
        heights = [group.tokens / group.span_s if group.is_active == is_active else math.nan for group in groups]
        _steps(axes, groups, heights, color=colour, fill=True, alpha=0.8, label=label)
        _steps(axes, groups, heights, color=colour, baseline=None, lw=1.2)  # a still group would be too low to be seen
    rates = [group.token_rate if group.token_rate is not None else math.nan for group in groups]
    asked = {rate for rate in rates if not math.isnan(rate)}
    label = f"token_rate {max(asked):g}" if len(asked) == 1 else "token_rate"
    _steps(axes, groups, rates, color="k", baseline=None, lw=0.8, ls=":", label=label)
    axes.set_ylabel("tokens/s")
    lasting = [group for group in groups if group.span_s >= MOMENT_S] or groups
    axes.set_ylim(0, HEADROOM * max([*asked, *(group.tokens / group.span_s for group in lasting)]))
    for name, mark in CLOSINGS.items():
        ends_s = [group.end_s for group in groups if group.closed_by == name]
        if ends_s:
            style = {"color": "0.35", "ms": 4, "ls": "", "transform": axes.get_xaxis_transform()}
            axes.plot(ends_s, [0.95] * len(ends_s), mark, label=f"closed by {name}", **style)


def _steps(axes: Any, groups: Sequence[GroupTokens], heights: Sequence[float], **style: Any) -> None:
    """A step per group; none where the height is not a number, nor where the stream was broken."""
    values, edges = [], [groups[0].start_s]
    for group, height in zip(groups, heights, strict=True):
        if group.start_s > edges[-1] + SAME_S:
            values.append(math.nan)
            edges.append(group.start_s)
        values.append(height)
        edges.append(group.end_s)
    if not all(map(math.isnan, values)):
        axes.stairs(values, edges, **style)


def _in_a_row(groups: Sequence[GroupTokens]) -> tuple[list[GroupTokens], list[float]]:
    """Groups of several recordings one after the other, and where they meet: the media time of each begins anew."""
    shown: list[GroupTokens] = []
    joints_s: list[float] = []
    offset_s = 0.0
    for group in groups:
        if shown and group.start_s + offset_s < shown[-1].end_s - SAME_S:
            offset_s = shown[-1].end_s - group.start_s
            joints_s.append(shown[-1].end_s)
        shown.append(replace(group, start_s=group.start_s + offset_s, end_s=group.end_s + offset_s))
    return shown, joints_s


def _onset_s(group: GroupTokens) -> float | None:
    """When something began, as the still group before it or the first active one tells."""
    if group.closed_by != "onset":
        return None
    return group.start_s if group.is_active else group.end_s


def _told(groups: Sequence[GroupTokens]) -> str:
    """Mean rates in words."""
    parts = [f"{len(groups)} groups, {_mean(groups)}"]
    for label, is_active in (("active", True), ("still", False)):
        some = [group for group in groups if group.is_active == is_active]
        if some:
            parts.append(f"{label} {_mean(some)} over {sum(group.span_s for group in some):.0f} s")
    return "; ".join(parts)


def _mean(groups: Sequence[GroupTokens]) -> str:
    return f"{sum(group.tokens for group in groups) / sum(group.span_s for group in groups):.1f} tokens/s"
