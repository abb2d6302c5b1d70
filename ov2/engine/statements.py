"""Statements: many yes or no questions about one moment, in one pass over its window.

In: judgements. Out: margins. They give way to answers and groups; those that come too late are shed, counted, and told so.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress

from torch import Tensor

from ov2.engine.passage import Passage
from ov2.engine.state import Owner, State
from ov2.engine.verdict import Verdict
from ov2.engine.work import Judgement, Statement
from ov2.errors import CapacityError, PagesError

LATE = "statements: expected to begin in time, the device was busy; judge fewer, or wait longer"


class Statements:
    """A desk (`state.Desk`)."""

    def __init__(self, state: State, verdict: Verdict) -> None:
        self.waiting: deque[Judgement] = deque()
        self._state, self._verdict = state, verdict

    def drop_late(self) -> None:
        for judgement in list(self.waiting):
            if judgement.future.cancelled():
                self.end(judgement)
            elif judgement.is_late:
                self._state.tally.shed["statements"] += len(judgement.tails)
                self.end(judgement, CapacityError(LATE))

    def owners(self) -> list[Owner]:
        """Statements whose groups are in the window. Those of one judgement see the same window: it is forked for all of them at once."""
        owners: list[Owner] = []
        for judgement in self.waiting:
            line = judgement.line
            if line.num_settled < judgement.after:
                continue
            if not judgement.statements:
                context, image_pad = line.window.context, self._state.text.image_pad
                judgement.statements = [
                    Statement(judgement, Passage(context.fork(), tail, image_pad)) for tail in judgement.tails
                ]
            owners += [one for one in judgement.statements if one.margin is None]
        return owners

    def written(self, owner: Owner, logits_W: Tensor | None) -> None:
        assert isinstance(owner, Statement), "expected a statement"
        if logits_W is None:
            return
        judgement, owner.margin = owner.judgement, self._verdict.margin(logits_W)
        owner.passage.close()
        if all(one.margin is not None for one in judgement.statements):
            self._state.tally.counts["judged"] += len(judgement.statements)
            self.end(judgement)

    def failed(self, owner: Owner, error: Exception) -> None:
        """Without pages they wait while anything else may give its own back."""
        assert isinstance(owner, Statement), "expected a statement"
        judgement = owner.judgement
        others = self._state.running or any(one.margin is not None for one in judgement.statements)
        if not (isinstance(error, PagesError) and others):
            self.end(judgement, error)

    def end(self, judgement: Judgement, error: Exception | None = None) -> None:
        with suppress(ValueError):
            self.waiting.remove(judgement)
        for one in judgement.statements:
            one.passage.close()
        if not judgement.future.set_running_or_notify_cancel():
            return
        if error is not None:
            judgement.future.set_exception(error)
        else:
            judgement.future.set_result([one.margin for one in judgement.statements if one.margin is not None])
