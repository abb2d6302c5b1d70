"""Canvases that are needed next go through the vision tower, together.

In: the queues of questions, groups and statements. Out: their vision tokens; one whose canvases cannot be encoded fails alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from ov2.canvas import CanvasGroup
from ov2.encode import encode
from ov2.engine.barrier import is_out_of_memory
from ov2.engine.budget import StepBudget, no_memory
from ov2.engine.groups import Groups
from ov2.engine.questions import Questions
from ov2.engine.score_request import ScoreRequest
from ov2.engine.scoring import Scoring
from ov2.engine.state import EngineState
from ov2.engine.stream_state import AnswerRequest
from ov2.engine.work import PendingGroup, Recalled

WithCanvases = AnswerRequest | Recalled | PendingGroup | ScoreRequest
"""What may bring canvases."""


class CanvasEncoder:
    """`step` once in every step of the scheduler. False when nothing is to be encoded."""

    def __init__(
        self, state: EngineState, budget: StepBudget, questions: Questions, groups: Groups, statements: Scoring
    ) -> None:
        self._state, self._budget = state, budget
        self._questions, self._groups, self._statements = questions, groups, statements

    def step(self) -> bool:
        """Canvases that are needed next through the vision tower, together: peeks first, then groups, up to a step's tokens."""
        batch: list[WithCanvases] = []
        num_blocks = 0
        wanted: list[WithCanvases] = [*self._questions.peeks(), *self._groups.to_encode(), *self._statements.peeks()]
        for one in wanted:
            num_blocks += canvases_of(one).num_blocks
            if batch and num_blocks > self._budget.tokens:
                break
            batch.append(one)
        if not batch:
            return False
        self._encode_together(batch)
        return True

    def _encode_together(self, batch: Sequence[WithCanvases]) -> None:
        """When it raises, one by one: only those fail that raise by themselves."""
        try:
            for one, group in zip(batch, encode(self._state.model, [canvases_of(one) for one in batch]), strict=True):
                one.encoded = group
            return
        except Exception as error:  # noqa: BLE001  whatever it was, it belongs to one of them
            failure = error
        if is_out_of_memory(failure):
            if self._budget.shrink(shortage := no_memory(failure)):
                self._leave_out(batch[0], shortage)
        elif len(batch) == 1:
            self._leave_out(batch[0], self._state.barrier.contain(failure, "group"))
        else:
            self._state.barrier.require_usable(failure)
            for one in batch:
                self._encode_together([one])

    def _leave_out(self, one: WithCanvases, error: Exception) -> None:
        """What cannot be encoded even alone."""
        if isinstance(one, AnswerRequest):
            self._questions.end(one, "failed", error)
        elif isinstance(one, Recalled):
            self._questions.give_up(one, error)
        elif isinstance(one, ScoreRequest):
            self._statements.end(one, error)
        else:
            for stream in [stream for stream in self._state.streams.values() if stream.arrival is one]:
                self._groups.leave_out(stream, one, error)


def canvases_of(one: WithCanvases) -> CanvasGroup:
    group = one.group if isinstance(one, PendingGroup | Recalled) else one.peek
    assert isinstance(group, CanvasGroup), f"expected canvases, got {type(group).__name__}"
    return group
