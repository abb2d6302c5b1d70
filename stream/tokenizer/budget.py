"""What a group costs the model: every LLM token, timestamps too.

In: `CanvasGroup`. Out: token counts, and the line that `ov2 tokenize --json` prints.
"""

from __future__ import annotations

import hashlib
from typing import Any

from ov2.canvas import CanvasGroup
from stream.tokenizer.settings import TokenizerSettings

TIMESTAMP_SHARE = 0.2
"""Timestamps' share of a group's blocks, a guess for the first group."""


def num_llm_tokens(group: CanvasGroup) -> int:
    """One token per block, plus the timestamp around every run."""
    from ov2.prompt import num_run_tokens

    return group.num_blocks + sum(num_run_tokens(seconds) for seconds, _ in group.runs)


def first_group_tokens(blocks_per_canvas: int, settings: TokenizerSettings) -> float:
    """Tokens of a full group, before one has been seen."""
    assert settings.canvases_per_group is not None, "expected a planned number"
    return settings.canvases_per_group * blocks_per_canvas * (1 + TIMESTAMP_SHARE)


def group_line(group: CanvasGroup, index: int) -> dict[str, Any]:
    """One group as `ov2 tokenize --json` prints it; `sha256` is over the bytes of canvases and positions, C order."""
    digest = hashlib.sha256(group.canvases.tobytes())
    digest.update(group.positions.tobytes())
    return {
        "index": index,
        "start_s": group.start_s,
        "end_s": group.end_s,
        "closed_by": group.closed_by,
        "active": group.is_active,
        "cost": group.cost,
        "canvases": group.num_canvases,
        "patches": len(group.positions),
        "llm_tokens": num_llm_tokens(group),
        "sha256": digest.hexdigest(),
    }
