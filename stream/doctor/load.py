"""What watching this stream costs: groups, tokens, processor, memory, and what a model needs for it.

In: an `Observation` and its `Examination`. Out: `Load`. Costs are measured on this machine; what the model needs is reckoned from the
sizes of the released 8B layout, and how long a window lasts from the planned sizes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from ov2.config import OV2Config
from ov2.session_settings import WINDOW_TOKENS
from stream.doctor.examine import Examination
from stream.doctor.observe import Observation
from stream.tokenizer.planner import PlanLimit

PATCHES_PER_BLOCK = 4
SHARES = (0, 10, 50, 100)
"""Percent of the time in which something is active, that windows are foretold for."""
_HALF_BYTES = 2
"""Of a number in bfloat16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Of a long watch. `window_s`: seconds that the default window holds; None where no tokens come.
    `decoded_share`: of the pictures, where what happens begins with a keyframe: else those since the keyframe are decoded, too."""

    tokens_per_s: float
    groups_per_min: float
    window_s: float | None
    decoded_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """- `cores`: processor seconds per second of stream, reading and tokenizing; `read_cores`: reading alone; `decode_cores`: plain
      decoding of the same packets. `ratio`: tokenizing to plain decoding. `num_cores`: of this machine.
    - `memory_mib`: what tokenizing added to the process, None where the system does not tell.
    - `seen_groups`, `seen_tokens_per_s`: as the tokenizer made them of what was seen; the quota starts with a guess, so that a short watch is
      off. `active_share`: part of the time in which something was active. `groups_per_min`, `group_s`, `tokens_per_min`: expected of a longer
      watch that is as active. `canvases_per_group`: mean.
    - `window_s`: seconds that the default window of `window_tokens` holds at that rate; `window_mib`: its keys and values in 16 bits;
      `prefill_per_s`, `patches_per_s`: what the model has to take, language tokens and image patches per second of stream.
    - `decoded_share`: pictures that were decoded; `why_decoded`: why it was all, where it could have been fewer.
    - `by_activity`: the same expected of other shares of active time, in percent. `limits`: what of the settings cannot be kept."""

    cores: float
    read_cores: float
    decode_cores: float
    ratio: float | None
    num_cores: int
    memory_mib: float | None
    seen_groups: int
    seen_tokens_per_s: float
    active_share: float
    groups_per_min: float
    group_s: float | None
    canvases_per_group: float | None
    tokens_per_min: float
    token_rate: float
    window_tokens: int
    window_s: float | None
    window_mib: float
    prefill_per_s: float
    patches_per_s: float
    decoded_share: float
    why_decoded: str
    by_activity: dict[str, Expected]
    limits: tuple[PlanLimit, ...]


def load_of(watch: Observation, seen: Examination) -> Load:
    span_s = watch.span_s
    stats = seen.stats
    per_s = 1 / span_s if span_s else 0.0
    text = OV2Config().text
    token_bytes = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * _HALF_BYTES
    expected = expected_of(seen, active_share := seen.active_s / stats.media_s if stats.media_s else 0.0)
    group_s = 60 / expected.groups_per_min if expected.groups_per_min else 0.0
    return Load(
        cores=(watch.read_cpu_s + seen.tokenize_cpu_s) * per_s,
        read_cores=watch.read_cpu_s * per_s,
        decode_cores=seen.decode_cpu_s * per_s,
        ratio=seen.tokenize_cpu_s / seen.decode_cpu_s if seen.decode_cpu_s else None,
        num_cores=num_cores(),
        memory_mib=seen.grown_bytes / (1 << 20) if seen.grown_bytes is not None else None,
        seen_groups=stats.num_groups,
        seen_tokens_per_s=stats.tokens_per_s,
        active_share=active_share,
        groups_per_min=expected.groups_per_min,
        group_s=group_s or None,
        canvases_per_group=sum(seen.canvases) / len(seen.canvases) if seen.canvases else None,
        tokens_per_min=60 * expected.tokens_per_s,
        token_rate=seen.plan.settings.token_rate,
        window_tokens=WINDOW_TOKENS,
        window_s=expected.window_s,
        window_mib=WINDOW_TOKENS * token_bytes / (1 << 20),
        prefill_per_s=expected.tokens_per_s,
        patches_per_s=PATCHES_PER_BLOCK * seen.num_blocks / stats.num_groups / group_s if group_s else 0.0,
        decoded_share=seen.decoded_share,
        why_decoded=seen.why_decoded,
        by_activity={str(percent): expected_of(seen, percent / 100) for percent in SHARES},
        limits=seen.plan.limits,
    )


def expected_of(seen: Examination, active_share: float) -> Expected:
    """What groups cost where so much of the time is active: each second of activity is worth `token_rate`, as far as `t_min_s` and `t_max_s`
    allow, and stillness an anchor every `t_still_s`. Groups that do not follow activity (`t_still_s` null) take all time alike."""
    stats, s = seen.stats, seen.plan.settings
    if not stats.num_groups:
        return Expected(tokens_per_s=0.0, groups_per_min=0.0, window_s=None, decoded_share=0.0)
    assert s.t_max_s is not None, "expected a planned span"
    tokens = seen.plan.tokens if s.t_still_s is not None else stats.num_tokens / stats.num_groups
    span_s = min(max(tokens / s.token_rate, s.t_min_s), s.t_max_s)
    groups_per_s, tokens_per_s = 1 / span_s, tokens / span_s
    if s.t_still_s is not None:
        still = 1 - active_share
        groups_per_s = active_share * groups_per_s + still / s.t_still_s
        tokens_per_s = active_share * tokens_per_s + still * seen.plan.anchor_tokens / s.t_still_s
    return Expected(
        tokens_per_s=tokens_per_s,
        groups_per_min=60 * groups_per_s,
        window_s=WINDOW_TOKENS / tokens_per_s,
        decoded_share=_decoded_share(seen, active_share),
    )


def _decoded_share(seen: Examination, active_share: float) -> float:
    """Pictures of active time, and one in `t_still_s` of the others; all, where none can wait."""
    s, num_frames = seen.plan.settings, seen.stats.num_frames
    if s.evidence != "coded" or s.t_still_s is None or seen.why_decoded or not num_frames:
        return 1.0
    shown_still = min(1.0, seen.stats.media_s / num_frames / s.t_still_s)
    return active_share + (1 - active_share) * shown_still


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
