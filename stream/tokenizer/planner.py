"""Sizes of canvases from the token rate: so that a mean active group lasts about three seconds, and the quota has room both ways.

In: settings, and the picture's size. Out: the same settings with every size that was left open. What a user set stays.

A group of n canvases with B blocks each, whose n - 1 P-canvases show f frames each, costs n B tokens and a timestamp for every frame. The
timestamps are dear where canvases are small: then fewer, better chosen frames are shown. Canvases do not go under `LEAST_BLOCKS`; where the
rate cannot pay for that every `SPAN_S`, groups get longer, and `t_max_s` with them where it was left open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ov2.canvas import BLOCK_PX
from stream.tokenizer.pack import canvas_size
from stream.tokenizer.settings import TokenizerSettings

SPAN_S = 3.0
"""In the middle between `t_min_s` and `t_max_s`."""
LEAST_BLOCKS, GOOD_BLOCKS, MOST_BLOCKS = 60, 100, 190
"""Of a canvas: the least that is planned, the least at which another canvas is worth more than larger ones, and what 150,000 pixels hold."""
FRAMES = 8
"""Of each P-canvas, at most: at the same tokens fewer show less of what moves, and more no more (docs/selection.md)."""
MANY, FEWEST = (4, 3), 2
"""Canvases, where each of them would be a good one; and where not."""
FEW_FRAMES = 3
"""Of a P-canvas where the rate is low."""
LONGEST_S, LONGEST_SPANS = 6.0, 2.0
"""`t_max_s` where it was left open: so long, and at least so many mean spans."""
FAR = 1.25
"""A mean span so many times `SPAN_S` is told."""
TYPICAL_S = 1000.0
"""A timestamp of typical length."""

NEVER = 1e18
"""Cost that no group reaches."""


@dataclass(frozen=True, slots=True)
class PlanLimit:
    """Something asked for that cannot be kept. `measured`: what is so instead, and why; `remedy`: what to set."""

    measured: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.measured}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class CanvasPlan:
    """`settings` without anything open but the quota; `tokens` of a full group and of its anchor alone, timestamps counted; `span_s` that the
    token rate pays for; `limits`: what cannot be kept."""

    settings: TokenizerSettings
    tokens: int
    anchor_tokens: int
    span_s: float
    limits: tuple[PlanLimit, ...]


def plan(settings: TokenizerSettings, picture_wh: tuple[int, int]) -> CanvasPlan:
    wanted = SPAN_S * settings.token_rate
    num_canvases, num_frames, blocks = _shape(settings, wanted)
    max_pixels = settings.max_pixels if settings.max_pixels is not None else _pixels(picture_wh, blocks)
    width, height = canvas_size(*picture_wh, max_pixels)
    blocks = width * height // BLOCK_PX**2
    shown = num_frames or round(settings.analysis_fps * SPAN_S)
    tokens = num_canvases * blocks + _run_tokens() * (1 + (num_canvases - 1) * shown)
    span_s = tokens / settings.token_rate
    t_max_s = max(LONGEST_S, LONGEST_SPANS * span_s) if settings.t_max_s is None else settings.t_max_s
    planned = replace(
        settings, max_pixels=max_pixels, canvases_per_group=num_canvases, source_frames=num_frames, t_max_s=t_max_s
    )
    if settings.input == "ippp":
        planned = _of_one_span(planned, span_s)
    is_planned = settings.input == "codec" and settings.t_still_s is not None and settings.quota is None
    limits = tuple(_limits(settings, planned, tokens, span_s)) if is_planned else ()
    return CanvasPlan(planned, tokens, blocks + _run_tokens(), span_s, limits)


def _of_one_span(settings: TokenizerSettings, span_s: float) -> TokenizerSettings:
    """Groups that nothing but the clock closes, all canvases of which are filled."""
    span_s = max(1, round(span_s / settings.bin_s)) * settings.bin_s
    return replace(settings, t_min_s=span_s, t_max_s=span_s, t_still_s=None, still_share=0.0, quota=NEVER)


def _limits(asked: TokenizerSettings, planned: TokenizerSettings, tokens: int, span_s: float) -> Iterator[PlanLimit]:
    rate, t_max_s = planned.token_rate, planned.t_max_s
    assert t_max_s is not None, "expected a planned span"
    size = f"groups of {tokens} tokens ({planned.canvases_per_group} canvases of at most {planned.max_pixels:,} pixels)"
    if span_s > t_max_s:
        yield PlanLimit(
            f"{size} every {t_max_s:g} s (t_max_s) are {tokens / t_max_s:.0f} tokens/s, above token_rate {rate:g}",
            f"set t_max_s above {span_s:.1f}, or token_rate {tokens / t_max_s:.0f}, or fewer or smaller canvases",
        )
    elif span_s < planned.t_min_s and (
        asked.max_pixels or asked.canvases_per_group
    ):  # a small picture is no mistake of anybody's
        yield PlanLimit(
            f"{size} every {planned.t_min_s:g} s (t_min_s) are {tokens / planned.t_min_s:.0f} tokens/s, below token_rate {rate:g}",
            f"set t_min_s below {span_s:.1f}, or token_rate {tokens / planned.t_min_s:.0f}, or more or larger canvases",
        )
    elif span_s > FAR * SPAN_S:
        yield PlanLimit(
            f"token_rate {rate:g} pays for {size} every {span_s:.1f} s of activity",
            f"for one every {SPAN_S:g} s set token_rate {tokens / SPAN_S:.0f}, or fewer or smaller canvases",
        )


def _shape(settings: TokenizerSettings, wanted: float) -> tuple[int, int, int]:
    """Canvases, frames of each P-canvas, and blocks of a canvas: what is open in the settings, for `wanted` tokens."""
    for planned, frames, least in (*((num, FRAMES, GOOD_BLOCKS) for num in MANY), (FEWEST, FRAMES, LEAST_BLOCKS)):
        num, frames = settings.canvases_per_group or planned, _frames(settings, frames)
        if (blocks := _blocks(wanted, num, frames)) >= least:
            return num, frames, min(blocks, MOST_BLOCKS)
    num, frames = settings.canvases_per_group or FEWEST, _frames(settings, FEW_FRAMES)
    return num, frames, max(LEAST_BLOCKS, min(MOST_BLOCKS, _blocks(wanted, num, frames)))


def _blocks(wanted: float, num_canvases: int, num_frames: int) -> int:
    """Of a canvas, where the group is to have `wanted` tokens."""
    return int((wanted - _run_tokens() * (1 + (num_canvases - 1) * num_frames)) / num_canvases)


def _frames(settings: TokenizerSettings, planned: int) -> int:
    return planned if settings.source_frames is None else settings.source_frames


def _pixels(picture_wh: tuple[int, int], blocks: int) -> int:
    """Pixels of the smallest canvas of that picture's shape that has so many blocks, or those of the picture."""
    low, high = BLOCK_PX**2, max(BLOCK_PX**2, picture_wh[0] * picture_wh[1])
    while low < high:
        middle = (low + high) // 2
        width, height = canvas_size(*picture_wh, middle)
        if width * height >= blocks * BLOCK_PX**2:
            high = middle
        else:
            low = middle + 1
    return low


def _run_tokens() -> int:
    from ov2.prompt import num_run_tokens

    return num_run_tokens(TYPICAL_S)
