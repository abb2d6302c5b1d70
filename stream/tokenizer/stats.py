"""Counts of one tokenizer. In: what it made. Out: numbers for status pages and benchmarks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class TokenizerStats:
    """Counts since the stream began; `media_s` is covered by groups, `quota` the cost that closes the open group."""

    num_groups: int = 0
    num_frames: int = 0
    num_tokens: int = 0
    media_s: float = 0.0
    quota: float = 0.0
    closed_by: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def tokens_per_s(self) -> float:
        """Mean LLM tokens per second of media time."""
        return self.num_tokens / self.media_s if self.media_s else 0.0
