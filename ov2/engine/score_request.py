"""Statements that are to be scored, and what becomes of each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from ov2.canvas import CanvasGroup
from ov2.engine.prefill import ChunkedPrefill
from ov2.engine.stream_state import StreamState
from ov2.kv_sequence import KVSequence
from ov2.segment import EncodedGroup


@dataclass(slots=True, eq=False, kw_only=True)
class ScoreRequest:
    """Statements about one moment of a stream, and their margins as they come. `within_s`: how long they may wait to begin. `trunk`: the
    still-open group, which all of them see, on a branch."""

    stream: StreamState
    tails: Sequence[Sequence[int]]
    future: Future[list[float]]
    peek: CanvasGroup | None = None
    encoded: EncodedGroup | None = None
    trunk: ScoredStatement | None = None
    after: int = 0
    within_s: float | None = None
    came_s: float = field(default_factory=time.perf_counter)
    statements: list[ScoredStatement] = field(default_factory=list)
    has_ended: bool = False

    @property
    def contexts(self) -> list[KVSequence]:
        """Those whose pages it holds."""
        trunk = [self.trunk] if self.trunk is not None else []
        return [statement.prefill.context for statement in (*trunk, *self.statements)]

    @property
    def is_late(self) -> bool:
        return self.within_s is not None and not self.statements and time.perf_counter() > self.came_s + self.within_s


@dataclass(slots=True, eq=False)
class ScoredStatement:
    """One of them, on a branch of its own; or what all of them see."""

    request: ScoreRequest
    prefill: ChunkedPrefill
    is_trunk: bool = False
    margin: float | None = None
