"""Questions: whose turn it is, when their branch begins, and the words of their answers.

In: questions of all streams. Out: pieces of text, told to each question's listener; the branch's pages go back however it ends.
"""

from __future__ import annotations

import time
from contextlib import suppress

from torch import Tensor

from ov2.engine.passage import Passage, Piece
from ov2.engine.state import Owner, State
from ov2.engine.work import Ended, Question, Started
from ov2.errors import OV2Error
from ov2.segment import Segment
from ov2.wording import Wording


class Questions:
    """A desk (`state.Desk`)."""

    def __init__(self, state: State) -> None:
        self._state = state

    def take_up(self) -> None:
        """Give turns: the cameras one after another, to as many as may run."""
        state = self._state
        lines, most = state.in_turn(), state.settings.max_answers
        while len(state.running) < most and any(line.questions for line in lines):
            for line in lines:
                if line.questions and len(state.running) < most:
                    question = line.questions.popleft()
                    question.queue_s = time.perf_counter() - question.asked_s
                    state.running.append(question)

    def drop_cancelled(self) -> None:
        for question in [one for one in self._state.running if one.cancelled]:
            self.end(question, "cancelled")
        for line in self._state.lines.values():
            for question in [one for one in line.questions if one.cancelled]:
                line.questions.remove(question)
                self.end(question, "cancelled")

    def peeks(self) -> list[Question]:
        """Questions whose peek has to be encoded."""
        return [one for one in self._state.running if one.peek is not None and one.encoded is None]

    def owners(self) -> list[Owner]:
        """Answers that are being written, then prompts to read."""
        for question in [one for one in self._state.running if one.passage is None]:
            self._begin(question)
        begun = [one for one in self._state.running if one.passage is not None]
        writing = [one for one in begun if one.first_token_s is not None]
        return [*writing, *(one for one in begun if one.first_token_s is None)]

    def written(self, owner: Owner, logits_W: Tensor | None) -> None:
        """Choose the next token once all are written."""
        assert isinstance(owner, Question), "expected a question"
        if logits_W is None or owner.wording is None or owner.passage is None:
            return
        piece = owner.wording.push(logits_W)
        if owner.first_token_s is None:
            owner.first_token_s = time.perf_counter() - owner.asked_s
            self._state.tally.first_token_s.append(owner.first_token_s)
        if piece:
            owner.tell(piece)
        if owner.wording.finish_reason is not None:
            self.end(owner, owner.wording.finish_reason)
        else:
            owner.passage.add(owner.wording.token)

    def failed(self, owner: Owner, error: Exception) -> None:
        assert isinstance(owner, Question), "expected a question"
        self.end(owner, "failed", error)

    def end(self, question: Question, reason: str, error: Exception | None = None) -> None:
        """An answer is over, however it ended."""
        state = self._state
        with suppress(ValueError):
            state.running.remove(question)
        if question.passage is not None:
            question.passage.close()
        num_tokens = question.wording.num_tokens if question.wording is not None else 0
        state.tally.counts["answers"] += reason in ("stop", "length")
        state.tally.counts["tokens"] += num_tokens
        question.tell(Ended(finish_reason=reason, num_tokens=num_tokens, first_token_s=question.first_token_s, error=error))

    def _begin(self, question: Question) -> None:
        """Fork a branch, once its groups and its peek are there, and a renewal that it needs is done."""
        line, peek, since_s = question.line, question.encoded, question.since_s
        if line.num_settled < question.after or (question.peek is not None and peek is None):
            return
        window = line.window
        prompt = [*(window.tokens(peek) if peek is not None else ()), *question.tail]
        needed = len(prompt) + question.sampling.max_tokens
        try:
            window.require_room(needed)
        except OV2Error as error:
            self.end(question, "failed", error)
            return
        if question.renewals is None and window.branch_limit_near(needed, peek):
            question.renewals, line.wants_renewal = window.num_renewals, True
        if question.renewals == window.num_renewals:
            return

        def keep(segment: Segment) -> bool:
            return since_s is None or segment.group is None or segment.group.end_s > since_s

        state, context = self._state, window.context.fork(keep)
        vision_VD = peek.vision_tokens if peek is not None else None
        question.passage = Passage(context, [Piece(prompt, vision_VD)], state.text.image_pad)
        question.wording = Wording(state.model.config, state.text, question.sampling)
        question.tell(
            Started(
                window=window.span_with(peek, since_s),
                group_ids=tuple(segment.group.group_id for segment in context.segments if segment.group is not None),
                zero_s=window.zero_s,
                num_tokens=window.num_tokens,
                prompt_tokens=len(prompt),
                queue_s=question.queue_s,
                catch_up_s=time.perf_counter() - question.asked_s - question.queue_s,
            )
        )
