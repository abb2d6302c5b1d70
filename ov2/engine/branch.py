"""A branch as a question is asked on it: what it sees, and its prompt."""

from __future__ import annotations

from dataclasses import dataclass

from ov2.kv_sequence import KVSequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """`context`: what is seen; `prompt`: tokens of peek and question. `span_s`, `group_ids`, `zero_s` as in `AnswerStarted`;
    `num_older_tokens` that are written for this question. Close it: its pages go back."""

    context: KVSequence
    prompt: list[int]
    span_s: tuple[float, float] | None
    group_ids: tuple[int, ...]
    zero_s: float
    num_older_tokens: int = 0

    def close(self) -> None:
        """Closing twice is fine."""
        self.context.close()
