"""What the work queues of the scheduler share.

In: model, settings. Out: the streams and the pool that all work is on, and small questions about them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from torch import Tensor

from ov2.engine.barrier import Barrier
from ov2.engine.figures import EngineStats, Tally, percentiles_ms
from ov2.engine.prefill import ChunkedPrefill
from ov2.engine.score_request import ScoreRequest
from ov2.engine.settings import EngineSettings
from ov2.engine.stream_state import AnswerRequest, StreamState
from ov2.kv_sequence import KVSequence
from ov2.model import OV2Model
from ov2.pages import PagePool
from ov2.text import TextTokenizer


class Work(Protocol):
    """Something with tokens to write."""

    @property
    def prefill(self) -> ChunkedPrefill | None: ...


T = TypeVar("T", bound=Work)


class WorkQueue(Protocol[T]):
    """One kind of work; `kind` says which.

    `ready` is the work with tokens to write, in the order to write it; when tokens of a work are written, `written` is called (with the
    logits of the last token, once all are), when it raises, `failed`."""

    @property
    def kind(self) -> str: ...

    def ready(self) -> list[T]: ...

    def written(self, work: T, logits_W: Tensor | None) -> None: ...

    def failed(self, work: T, error: Exception) -> None: ...


@dataclass(slots=True)
class EngineState:
    """Everything that more than one queue looks at; `running` are questions that have their turn."""

    model: OV2Model
    text: TextTokenizer
    settings: EngineSettings
    pool: PagePool
    barrier: Barrier
    is_pool_shared: bool = False
    streams: dict[str, StreamState] = field(default_factory=dict)
    running: list[AnswerRequest] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    turn: int = 0

    def in_turn(self) -> list[StreamState]:
        """All streams; another one comes first in every step."""
        streams = list(self.streams.values())
        first = self.turn % max(1, len(streams))
        return [*streams[first:], *streams[:first]]

    def asked_first(self) -> list[StreamState]:
        """The same, and before the others those whose groups a question waits for."""
        asked = {id(question.stream) for question in self.running if question.prefill is None}
        return sorted(self.in_turn(), key=lambda stream: id(stream) not in asked)

    def contexts(self, requests: Iterable[ScoreRequest]) -> list[KVSequence]:
        """All that hold pages, each once; `requests` that wait."""
        of_streams = (context for stream in self.streams.values() for context in stream.contexts)
        of_questions = (context for question in self.running for context in question.contexts)
        of_statements = (context for request in requests for context in request.contexts)
        return list({id(context): context for context in (*of_streams, *of_questions, *of_statements)}.values())

    def drop_renewals(self, error: Exception | None = None) -> bool:
        """Give up renewals that nobody waits for: memory is short. With an `error`, they do not begin again until somebody waits for them.
        False when there was none."""
        dropped = [stream for stream in self.streams.values() if stream.renewal is not None and not stream.wants_renewal]
        for stream in dropped:
            stream.give_up_renewal(error)
        return bool(dropped)

    def stats(self) -> EngineStats:
        """Figures as of now."""
        streams, tally, counts = list(self.streams.values()), self.tally, self.tally.counts
        return EngineStats(
            streams=len(streams),
            pages_used=self.pool.num_used,
            num_pages=self.pool.num_pages,
            waiting_groups=sum(len(stream.lost) + len(stream.waiting) + (stream.arrival is not None) for stream in streams),
            waiting_questions=sum(len(stream.questions) for stream in streams),
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
