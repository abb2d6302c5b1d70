"""What `ov2 bench selection` compares: policies that differ in how blocks are chosen and in nothing else, and the presets as they are.

In: nothing. Out: tokenizer settings by the name of their row.

Policies differ in the evidence that blocks compete by, decoded with its weights or coded, and in how blocks are chosen from it. All else is one
for all of them (`SAME`): the preset `activity`, whose groups follow packets and not what is shown, with canvases of the published size and
every frame open to be shown. How many canvases a group earns is left out of the comparison: where any block at all is active it earns all it
may, so that everybody fills the same ones. Each runs with four canvases per group at 200 tokens per second, where there is room for most of
what moves, and with `one P-canvas` (two per group) at 100, where blocks compete; groups are about equally long.

Presets keep their canvases as earned and their sizes as planned, and spend what they spend; `activity` also runs with the other evidence, and
each of these once more at the token rate that costs as much as `published` does on the same film.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Given = Mapping[str, Any]
"""Tokenizer settings as given."""
BITS_ALONE = 1e6
"""Weight of bits beside which motion and residual only break ties."""
ALL_EARNED = 1e-3
"""`still_share` by which the first active block of a group earns every canvas. With 0, frames without one would be shown, too."""
SAME: Given = {"preset": "activity", "max_pixels": 150_000, "source_frames": 0, "still_share": ALL_EARNED}
EVIDENCE: dict[str, Given] = {
    "motion": {"evidence": "decoded", "weight_motion": 1.0, "weight_residual": 0.0},
    "residual": {"evidence": "decoded", "weight_motion": 0.0, "weight_residual": 1.0},
    "motion+residual": {"evidence": "decoded", "weight_motion": 1.0, "weight_residual": 1.0},
    "bits": {"evidence": "decoded", "weight_bits": BITS_ALONE},
    "all": {"evidence": "decoded", "weight_bits": 1.0},
    "coded": {"evidence": "coded"},
}
CHOICES = {"stratified": "stratified", "topk": "readiness"}
"""Name here -> the tokenizer's `policy`."""
ROOM: dict[str, Given] = {
    "": {"canvases_per_group": 4, "token_rate": 200.0},
    ", one P-canvas": {"canvases_per_group": 2, "token_rate": 100.0},
}
FIRST = "motion+residual, stratified"
UNIFORM = "uniform frames"
PUBLISHED = "preset published"
PRESETS: dict[str, Given] = {
    PUBLISHED: {"preset": "published"},
    "preset activity": {"preset": "activity"},
    "preset activity, decoded": {"preset": "activity", "evidence": "decoded"},
}
AS_DEAR = ", as dear as published"


def policies() -> dict[str, Given]:
    """Every policy by name."""
    return {
        f"{evidence}, {choice}{room}": {**SAME, **EVIDENCE[evidence], **ROOM[room], "policy": CHOICES[choice]}
        for room in ROOM
        for choice in CHOICES
        for evidence in EVIDENCE
    }
