"""A group whose vision tokens are known already: encoded once and kept, or made without a film.

In: what a group tells of its runs, and its tokens. Out: what training needs of a group while the encoder does not learn.

Shape letters: V vision tokens, D width of the language model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownGroup:
    """`runs`, `start_s`, `end_s` as in `ov2.canvas.CanvasGroup`; `vision_VD`: float16, one token per block, in the order of the runs."""

    runs: tuple[tuple[float, int], ...]
    start_s: float
    end_s: float
    vision_VD: np.ndarray

    def __post_init__(self) -> None:
        num = sum(blocks for _, blocks in self.runs)
        assert len(self.vision_VD) == num, f"vision tokens: expected one for each of {num} blocks, got {len(self.vision_VD)}"

    @property
    def num_blocks(self) -> int:
        return len(self.vision_VD)
