"""Scoring: many yes or no questions about one moment, in one pass over its window.

In: score requests. Out: margins. Scoring gives way to answers and groups; a request that comes too late is shed and counted, and its
future says so.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial

from torch import Tensor

from ov2.engine.prefill import Chunk, ChunkedPrefill
from ov2.engine.score_request import ScoredStatement, ScoreRequest
from ov2.engine.state import EngineState
from ov2.engine.yes_no import YesNoScorer
from ov2.errors import CapacityError

LATE = "statements: expected to begin in time, the device was busy; judge fewer, or wait longer"


class Scoring:
    """A `WorkQueue[ScoredStatement]`."""

    kind = "statement"

    def __init__(self, state: EngineState, verdict: YesNoScorer) -> None:
        self.waiting: deque[ScoreRequest] = deque()
        self._state, self._verdict = state, verdict

    def drop_late(self) -> None:
        for request in list(self.waiting):
            if request.future.cancelled():
                self.end(request)
            elif request.is_late:
                self._state.tally.shed["statements"] += len(request.tails)
                self.end(request, CapacityError(LATE))

    def peeks(self) -> list[ScoreRequest]:
        """Requests whose peek has to be encoded."""
        return [one for one in self.waiting if one.peek is not None and one.encoded is None]

    def ready(self) -> list[ScoredStatement]:
        """Statements whose groups are in the window, and whose peek is encoded; first what all statements of a request see."""
        ready: list[ScoredStatement] = []
        for request in list(self.waiting):
            if request.stream.num_settled < request.after or (request.peek is not None and request.encoded is None):
                continue
            self._state.barrier.guard(self.kind, partial(self._take_up, request, ready), partial(self.end, request))
        return ready

    def _take_up(self, request: ScoreRequest, ready: list[ScoredStatement]) -> None:
        """Add what of a request has tokens to write."""
        trunk = request.trunk or self._begin(request)
        if trunk.prefill.left:
            ready.append(trunk)
            return
        if not request.statements:
            image_pad, context = self._state.text.image_pad, trunk.prefill.context
            for tail in request.tails:
                request.statements.append(
                    ScoredStatement(request, ChunkedPrefill(context.fork(), [Chunk(list(tail))], image_pad))
                )
        ready += [one for one in request.statements if one.margin is None]

    def _begin(self, request: ScoreRequest) -> ScoredStatement:
        """Fork the window once for all statements, so that they see the same."""
        stream, peek = request.stream, request.encoded
        tokens = stream.window.tokens(peek) if peek is not None else []
        stream.window.require_room(len(tokens) + max(map(len, request.tails)))
        context = stream.window.context.fork()
        vision_VD = peek.vision_tokens if peek is not None else None
        prefill = ChunkedPrefill(context, [Chunk(tokens, vision_VD, peek)], self._state.text.image_pad)
        request.trunk = ScoredStatement(request, prefill, is_trunk=True)
        return request.trunk

    def written(self, work: ScoredStatement, logits_W: Tensor | None) -> None:
        if logits_W is None or work.is_trunk:
            return
        request, work.margin = work.request, self._verdict.margin(logits_W)
        work.prefill.close()
        if all(one.margin is not None for one in request.statements):
            self._state.tally.counts["judged"] += len(request.statements)
            self.end(request)

    def failed(self, work: ScoredStatement, error: Exception) -> None:
        self.end(work.request, error)

    def end(self, request: ScoreRequest, error: Exception | None = None) -> None:
        """Once: when one of its statements fails, nobody needs the others."""
        if request.has_ended:
            return
        request.has_ended = True
        with suppress(ValueError):
            self.waiting.remove(request)
        for one in [*request.statements, *([request.trunk] if request.trunk is not None else [])]:
            one.prefill.close()
        if not request.future.set_running_or_notify_cancel():
            return
        if error is not None:
            request.future.set_exception(error)
        else:
            request.future.set_result([one.margin for one in request.statements if one.margin is not None])
