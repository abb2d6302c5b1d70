"""Scoring: many yes or no questions about one moment, in one pass over its window.

In: judgements. Out: margins. They give way to answers and groups; those that come too late are shed, counted, and told so.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial

from torch import Tensor

from ov2.engine.prefill import Chunk, ChunkedPrefill
from ov2.engine.score_request import ScoredStatement, ScoreRequest
from ov2.engine.state import EngineState, Work
from ov2.engine.yes_no import YesNoScorer
from ov2.errors import CapacityError

LATE = "statements: expected to begin in time, the device was busy; judge fewer, or wait longer"


class Scoring:
    """A desk (`state.Desk`)."""

    kind = "statement"

    def __init__(self, state: EngineState, verdict: YesNoScorer) -> None:
        self.waiting: deque[ScoreRequest] = deque()
        self._state, self._verdict = state, verdict

    def drop_late(self) -> None:
        for judgement in list(self.waiting):
            if judgement.future.cancelled():
                self.end(judgement)
            elif judgement.is_late:
                self._state.tally.shed["statements"] += len(judgement.tails)
                self.end(judgement, CapacityError(LATE))

    def peeks(self) -> list[ScoreRequest]:
        """Judgements whose peek has to be encoded."""
        return [one for one in self.waiting if one.peek is not None and one.encoded is None]

    def owners(self) -> list[Work]:
        """Scoring whose groups are in the window, and whose peek is written."""
        owners: list[Work] = []
        for judgement in list(self.waiting):
            if judgement.line.num_settled < judgement.after or (judgement.peek is not None and judgement.encoded is None):
                continue
            self._state.barrier.guard(self.kind, partial(self._take_up, judgement, owners), partial(self.end, judgement))
        return owners

    def _take_up(self, judgement: ScoreRequest, owners: list[Work]) -> None:
        """Add what of a judgement has tokens to write."""
        trunk = judgement.trunk or self._begin(judgement)
        if trunk.passage.left:
            owners.append(trunk)
            return
        if not judgement.statements:
            image_pad, context = self._state.text.image_pad, trunk.passage.context
            for tail in judgement.tails:
                judgement.statements.append(
                    ScoredStatement(judgement, ChunkedPrefill(context.fork(), [Chunk(list(tail))], image_pad))
                )
        owners += [one for one in judgement.statements if one.margin is None]

    def _begin(self, judgement: ScoreRequest) -> ScoredStatement:
        """Fork the window once for all statements, so that they see the same."""
        line, peek = judgement.line, judgement.encoded
        tokens = line.window.tokens(peek) if peek is not None else []
        line.window.require_room(len(tokens) + max(map(len, judgement.tails)))
        context = line.window.context.fork()
        vision_VD = peek.vision_tokens if peek is not None else None
        passage = ChunkedPrefill(context, [Chunk(tokens, vision_VD, peek)], self._state.text.image_pad)
        judgement.trunk = ScoredStatement(judgement, passage, is_trunk=True)
        return judgement.trunk

    def written(self, owner: Work, logits_W: Tensor | None) -> None:
        assert isinstance(owner, ScoredStatement), "expected a statement"
        if logits_W is None or owner.is_trunk:
            return
        judgement, owner.margin = owner.judgement, self._verdict.margin(logits_W)
        owner.passage.close()
        if all(one.margin is not None for one in judgement.statements):
            self._state.tally.counts["judged"] += len(judgement.statements)
            self.end(judgement)

    def failed(self, owner: Work, error: Exception) -> None:
        assert isinstance(owner, ScoredStatement), "expected a statement"
        self.end(owner.judgement, error)

    def end(self, judgement: ScoreRequest, error: Exception | None = None) -> None:
        """Once: when one of its statements fails, nobody needs the others."""
        if judgement.has_ended:
            return
        judgement.has_ended = True
        with suppress(ValueError):
            self.waiting.remove(judgement)
        for one in [*judgement.statements, *([judgement.trunk] if judgement.trunk is not None else [])]:
            one.passage.close()
        if not judgement.future.set_running_or_notify_cancel():
            return
        if error is not None:
            judgement.future.set_exception(error)
        else:
            judgement.future.set_result([one.margin for one in judgement.statements if one.margin is not None])
