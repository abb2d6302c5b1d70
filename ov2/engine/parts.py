"""What a step writes: parts of the work of all queues, within a budget of tokens.

In: work queues in their order. Out: parts, each with its pages taken. Nothing is run here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from ov2.engine.prefill import ChunkedPrefill
from ov2.engine.state import EngineState, Work, WorkQueue
from ov2.errors import PagesError
from ov2.forward import ScheduledTokens

WORTH_SHARE = 4
"""A prefill gets at least so small a part of a step's tokens, or waits: every part of a step reads its whole window."""


class Part(NamedTuple):
    """Tokens of one question, group, statement or renewal in a step."""

    queue: WorkQueue[Any]
    work: Work
    prefill: ChunkedPrefill
    scheduled: ScheduledTokens

    @property
    def is_last(self) -> bool:
        """Whether the prefill is complete with these tokens."""
        return self.scheduled.num_tokens == self.prefill.left


class Parts:
    """`choose` once per step."""

    def __init__(self, state: EngineState, queues: Sequence[WorkQueue[Any]], background: WorkQueue[Any]) -> None:
        self._state, self._queues, self._background = state, queues, background
        self._chosen: list[Part] = []
        self._short: list[tuple[WorkQueue[Any], Work, PagesError]] = []

    def choose(self, step_tokens: int) -> list[Part]:
        """What a step writes: from each queue in order, while tokens are left.

        Without pages, work waits while anything else gets on, which gives pages back in the end; background renewals give theirs at
        once. When nothing gets on, the last that asked fails.
        """
        self._chosen, self._short = [], []
        budget, freed = step_tokens, False
        for queue in self._queues:
            in_background = queue is self._background
            if in_background and self._short:
                break
            for work in queue.ready():
                prefill = work.prefill
                assert prefill is not None, "expected a prefill"
                if self._chosen and budget < min(prefill.left, step_tokens // WORTH_SHARE):
                    if in_background:
                        self._state.tally.shed["renewal_waits"] += 1
                    break
                num_short, num_chosen = len(self._short), len(self._chosen)
                self._state.barrier.guard(
                    queue.kind, partial(self._add, queue, work, prefill, budget), partial(queue.failed, work)
                )
                if len(self._short) > num_short and not in_background:
                    freed = self._state.drop_renewals() or freed
                budget -= sum(part.scheduled.num_tokens for part in self._chosen[num_chosen:])
        if self._short and not self._chosen and not freed:
            last, work, shortage = self._short[-1]
            last.failed(work, shortage)
        return self._still_wanted()

    def _add(self, queue: WorkQueue[Any], work: Work, prefill: ChunkedPrefill, budget: int) -> None:
        """Raises what `ChunkedPrefill.next` does; for want of pages only in the background."""
        if prefill.is_closed:
            return  # work that failed just now took this along
        try:
            self._chosen.append(Part(queue, work, prefill, prefill.next(budget)))
        except PagesError as error:
            self._state.tally.shed["out_of_pages"] += 1
            if queue is self._background:
                raise
            self._short.append((queue, work, error))

    def _still_wanted(self) -> list[Part]:
        """Without parts whose work failed after they were chosen."""
        for part in self._chosen:
            if part.prefill.is_closed:
                part.prefill.context.cancel(part.scheduled)
        return [part for part in self._chosen if not part.prefill.is_closed]
