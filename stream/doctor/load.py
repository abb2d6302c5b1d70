"""What watching this stream costs: groups, tokens, processor, memory, and what a model needs for it.

In: an `Observation` and its `Examination`. Out: `Load`. Costs are measured on this machine; what the model needs is reckoned from the
sizes of the released 8B layout.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from ov2.config import OV2Config
from ov2.session_settings import WINDOW_TOKENS
from stream.doctor.examine import Examination
from stream.doctor.observe import Observation

PATCHES_PER_BLOCK = 4
_HALF_BYTES = 2
"""Of a number in bfloat16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """- `cores`: processor seconds per second of stream, reading and tokenizing; `read_cores`: reading alone; `decode_cores`: plain
      decoding of the same packets. `ratio`: tokenizing to plain decoding. `num_cores`: of this machine.
    - `memory_mib`: what tokenizing added to the process, None where the system does not tell.
    - `seen_groups`, `seen_tokens_per_s`: as the tokenizer made them of what was seen; the quota starts with a guess, so that a short watch is
      off. `groups_per_min`, `group_s`, `tokens_per_min`: expected of a longer one, where groups last until they are worth `token_rate`, as
      far as `t_min_s` and `t_max_s` let them. `canvases_per_group`: mean.
    - `window_s`: seconds that the default window of `window_tokens` holds at that rate; `window_mib`: its keys and values in 16 bits;
      `prefill_per_s`, `patches_per_s`: what the model has to take, language tokens and image patches per second of stream."""

    cores: float
    read_cores: float
    decode_cores: float
    ratio: float | None
    num_cores: int
    memory_mib: float | None
    seen_groups: int
    seen_tokens_per_s: float
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


def load_of(watch: Observation, seen: Examination) -> Load:
    span_s = watch.span_s
    stats = seen.stats
    per_s = 1 / span_s if span_s else 0.0
    text = OV2Config().text
    token_bytes = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * _HALF_BYTES
    tokens_per_group = stats.num_tokens / stats.num_groups if stats.num_groups else 0.0
    s = seen.settings
    group_s = min(max(tokens_per_group / s.token_rate, s.t_min_s), s.t_max_s)
    tokens_per_s = tokens_per_group / group_s
    return Load(
        cores=(watch.read_cpu_s + seen.tokenize_cpu_s) * per_s,
        read_cores=watch.read_cpu_s * per_s,
        decode_cores=seen.decode_cpu_s * per_s,
        ratio=seen.tokenize_cpu_s / seen.decode_cpu_s if seen.decode_cpu_s else None,
        num_cores=num_cores(),
        memory_mib=seen.grown_bytes / (1 << 20) if seen.grown_bytes is not None else None,
        seen_groups=stats.num_groups,
        seen_tokens_per_s=stats.tokens_per_s,
        groups_per_min=60 / group_s if stats.num_groups else 0.0,
        group_s=group_s if stats.num_groups else None,
        canvases_per_group=sum(seen.canvases) / len(seen.canvases) if seen.canvases else None,
        tokens_per_min=60 * tokens_per_s,
        token_rate=s.token_rate,
        window_tokens=WINDOW_TOKENS,
        window_s=WINDOW_TOKENS / tokens_per_s if tokens_per_s else None,
        window_mib=WINDOW_TOKENS * token_bytes / (1 << 20),
        prefill_per_s=tokens_per_s,
        patches_per_s=PATCHES_PER_BLOCK * seen.num_blocks / stats.num_groups / group_s if stats.num_groups else 0.0,
    )


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
