"""Parts of a session: what was encoded of a group, and a run of tokens with the pages that keep it.

In: nothing. Out: two frozen types. A segment never changes; a longer one takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedGroup:
    """A group after the vision tower: all that a renewal needs.

    - `vision_tokens` [V, D]: one per block. `runs`: (media seconds, blocks) per source frame; the blocks add up to V.
    - `start_s`, `end_s`: media seconds covered.
    """

    group_id: int
    vision_tokens: Tensor = field(repr=False)
    runs: tuple[tuple[float, int], ...]
    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        blocks = sum(count for _, count in self.runs)
        assert blocks == self.vision_tokens.shape[0], f"runs: expected {self.vision_tokens.shape[0]} blocks, got {blocks}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Tokens at consecutive positions, in pages of their own. `group` is None for the system text and for questions."""

    ids: tuple[int, ...] = field(repr=False)
    first_position: int
    pages: tuple[int, ...]
    group: EncodedGroup | None = None

    @property
    def num_tokens(self) -> int:
        return len(self.ids)
