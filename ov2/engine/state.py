"""What the desks of the scheduler share.

In: model, settings. Out: the lines and the pool that all work is on, and small questions about them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from ov2.engine.barrier import Barrier
from ov2.engine.figures import EngineStats, Tally, percentiles_ms
from ov2.engine.prefill import ChunkedPrefill
from ov2.engine.score_request import ScoreRequest
from ov2.engine.settings import EngineSettings
from ov2.engine.stream_state import Question, StreamState
from ov2.kv_sequence import KVSequence
from ov2.model import OV2Model
from ov2.pages import PagePool
from ov2.text import TextTokenizer


class Work(Protocol):
    """Something with tokens to write."""

    @property
    def passage(self) -> ChunkedPrefill | None: ...


class WorkQueue(Protocol):
    """One kind of work; `kind` says which.

    `owners` are those with tokens to write, the first first; what becomes of a writing goes to `written` (with the
    logits of its last token, once all tokens are written) or `failed`."""

    @property
    def kind(self) -> str: ...

    def owners(self) -> list[Work]: ...

    def written(self, owner: Work, logits_W: Tensor | None) -> None: ...

    def failed(self, owner: Work, error: Exception) -> None: ...


@dataclass(slots=True)
class EngineState:
    """Everything that more than one desk looks at; `running` are questions that have their turn."""

    model: OV2Model
    text: TextTokenizer
    settings: EngineSettings
    pool: PagePool
    barrier: Barrier
    is_pool_shared: bool = False
    lines: dict[str, StreamState] = field(default_factory=dict)
    running: list[Question] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    turn: int = 0

    def in_turn(self) -> list[StreamState]:
        """All lines; another one comes first in every step."""
        lines = list(self.lines.values())
        first = self.turn % max(1, len(lines))
        return [*lines[first:], *lines[:first]]

    def asked_first(self) -> list[StreamState]:
        """The same, and before the others those whose groups a question waits for."""
        asked = {id(question.line) for question in self.running if question.passage is None}
        return sorted(self.in_turn(), key=lambda line: id(line) not in asked)

    def contexts(self, judgements: Iterable[ScoreRequest]) -> list[KVSequence]:
        """All that hold pages, each once; `judgements` that wait."""
        of_lines = (context for line in self.lines.values() for context in line.contexts)
        of_questions = (context for question in self.running for context in question.contexts)
        of_statements = (context for judgement in judgements for context in judgement.contexts)
        return list({id(context): context for context in (*of_lines, *of_questions, *of_statements)}.values())

    def drop_renewals(self, error: Exception | None = None) -> bool:
        """Give up renewals that nobody waits for: memory is short. With an `error`, they do not begin again until somebody waits for them.
        False when there was none."""
        dropped = [line for line in self.lines.values() if line.renewal is not None and not line.wants_renewal]
        for line in dropped:
            line.give_up_renewal(error)
        return bool(dropped)

    def stats(self) -> EngineStats:
        """Figures as of now."""
        lines, tally, counts = list(self.lines.values()), self.tally, self.tally.counts
        return EngineStats(
            streams=len(lines),
            pages_used=self.pool.num_used,
            num_pages=self.pool.num_pages,
            waiting_groups=sum(len(line.lost) + len(line.waiting) + (line.arrival is not None) for line in lines),
            waiting_questions=sum(len(line.questions) for line in lines),
            running_answers=len(self.running),
            groups=counts["groups"],
            answers=counts["answers"],
            tokens=counts["tokens"],
            judged=counts["judged"],
            renewals=counts["renewals"],
            steps=counts["steps"],
            restarts=counts["restarts"],
            shed=dict(tally.shed),
            first_token_ms=percentiles_ms(tally.first_token_s),
            append_ms=percentiles_ms(tally.append_s),
            busy_s=tally.busy_s,
        )
