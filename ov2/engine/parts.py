"""What a step writes: parts of the work of all desks, within a budget of tokens.

In: desks in their order. Out: parts, each with its pages taken. Nothing is run here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from ov2.engine.prefill import ChunkedPrefill
from ov2.engine.state import EngineState, Work, WorkQueue
from ov2.errors import PagesError
from ov2.forward import ScheduledTokens

WORTH_SHARE = 4
"""A passage gets at least so small a part of a step's tokens, or waits: every part of a step reads its whole window."""


class Part(NamedTuple):
    """Tokens of one owner in a step."""

    desk: WorkQueue
    owner: Work
    passage: ChunkedPrefill
    writing: ScheduledTokens

    @property
    def is_last(self) -> bool:
        """Whether its passage is then written."""
        return self.writing.num_tokens == self.passage.left


class Parts:
    """`choose` once per step."""

    def __init__(self, state: EngineState, desks: Sequence[WorkQueue], background: WorkQueue) -> None:
        self._state, self._desks, self._background = state, desks, background
        self._chosen: list[Part] = []
        self._short: list[tuple[WorkQueue, Work, PagesError]] = []

    def choose(self, step_tokens: int) -> list[Part]:
        """What a step writes: from each desk in order, while tokens are left.

        Without pages an owner waits while anything else gets on, which gives pages back in the end; background renewals give theirs at
        once. When nothing gets on, the last that asked fails.
        """
        self._chosen, self._short = [], []
        budget, freed = step_tokens, False
        for desk in self._desks:
            in_background = desk is self._background
            if in_background and self._short:
                break
            for owner in desk.owners():
                passage = owner.passage
                assert passage is not None, "expected a passage"
                if self._chosen and budget < min(passage.left, step_tokens // WORTH_SHARE):
                    if in_background:
                        self._state.tally.shed["renewal_waits"] += 1
                    break
                num_short, num_chosen = len(self._short), len(self._chosen)
                self._state.barrier.guard(
                    desk.kind, partial(self._add, desk, owner, passage, budget), partial(desk.failed, owner)
                )
                if len(self._short) > num_short and not in_background:
                    freed = self._state.drop_renewals() or freed
                budget -= sum(part.writing.num_tokens for part in self._chosen[num_chosen:])
        if self._short and not self._chosen and not freed:
            last, owner, shortage = self._short[-1]
            last.failed(owner, shortage)
        return self._still_wanted()

    def _add(self, desk: WorkQueue, owner: Work, passage: ChunkedPrefill, budget: int) -> None:
        """Raises what the passage does; for want of pages only where it fails at once."""
        if passage.is_closed:
            return  # what failed just now took it along
        try:
            self._chosen.append(Part(desk, owner, passage, passage.next(budget)))
        except PagesError as error:
            self._state.tally.shed["out_of_pages"] += 1
            if desk is self._background:
                raise
            self._short.append((desk, owner, error))

    def _still_wanted(self) -> list[Part]:
        """Without those whose owner failed after they were chosen."""
        for part in self._chosen:
            if part.passage.is_closed:
                part.passage.context.cancel(part.writing)
        return [part for part in self._chosen if not part.passage.is_closed]
