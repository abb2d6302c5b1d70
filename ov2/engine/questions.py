"""Questions: whose turn it is, when their branch begins, and the words of their answers.

In: questions of all streams. Out: pieces of text, told to each question's listener; the branch's pages go back however it ends.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial

from torch import Tensor

from ov2.engine.branch import Branch
from ov2.engine.branches import beside_the_window, instead_of_the_window, older_passage, the_window
from ov2.engine.prefill import Chunk, ChunkedPrefill
from ov2.engine.state import EngineState, Work
from ov2.engine.stream_state import Question
from ov2.engine.work import Ended, Recalled, Started
from ov2.token_stream import TokenStream


class Questions:
    """A desk (`state.Desk`)."""

    kind = "question"

    def __init__(self, state: EngineState) -> None:
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
            self.end(question, "cancelled" if question.error is None else "failed", question.error)
        for line in self._state.lines.values():
            for question in [one for one in line.questions if one.cancelled]:
                line.questions.remove(question)
                self.end(question, "cancelled")

    def peeks(self) -> list[Question | Recalled]:
        """Questions whose peek has to be encoded, and older groups that they bring back."""
        running = self._state.running
        older = [one for question in running for one in question.recalled if one.encoded is None]
        return [*older, *(one for one in running if one.peek is not None and one.encoded is None)]

    def owners(self) -> list[Work]:
        """Answers that are being written, then prompts to read."""
        for question in [one for one in self._state.running if one.passage is None]:
            self._state.barrier.guard(self.kind, partial(self._begin, question), partial(self.failed, question))
        begun = [one for one in self._state.running if one.passage is not None]
        writing = [one for one in begun if one.first_token_s is not None]
        return [*writing, *(one for one in begun if one.first_token_s is None)]

    def written(self, owner: Work, logits_W: Tensor | None) -> None:
        """Choose the next token once all are written; ask once the older groups are."""
        assert isinstance(owner, Question), "expected a question"
        if owner.older is not None:
            self._ask_over(owner)
            return
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

    def failed(self, owner: Work, error: Exception) -> None:
        assert isinstance(owner, Question), "expected a question"
        self.end(owner, "failed", error)

    def give_up(self, recalled: Recalled, error: Exception) -> None:
        """An older group cannot be encoded, so its question fails."""
        for question in [one for one in self._state.running if recalled in one.recalled]:
            self.end(question, "failed", error)

    def end(self, question: Question, reason: str, error: Exception | None = None) -> None:
        """An answer is over, however it ended; once."""
        if question.has_ended:
            return
        question.has_ended, state = True, self._state
        with suppress(ValueError):
            state.running.remove(question)
        for part in (question.passage, question.older):
            if part is not None:
                part.close()
        num_tokens = question.wording.num_tokens if question.wording is not None else 0
        state.tally.counts["answers"] += reason in ("stop", "length")
        state.tally.counts["tokens"] += num_tokens
        question.tell(Ended(finish_reason=reason, num_tokens=num_tokens, first_token_s=question.first_token_s, error=error))

    def _begin(self, question: Question) -> None:
        """Fork a branch, once its groups, its peek and older groups are there, and a renewal that it needs is done."""
        line, peek = question.line, question.encoded
        if line.num_settled < question.after or (question.peek is not None and peek is None):
            return
        older = [one.encoded for one in question.recalled if one.encoded is not None]
        if len(older) < len(question.recalled):
            return
        window, state = line.window, self._state
        zero_s = older[0].start_s if older and not question.beside else None
        prompt = [*(window.tokens(peek, zero_s) if peek is not None else ()), *question.tail]
        needed = len(prompt) + question.sampling.max_tokens
        if older:
            window.require_recall(older, needed, peek, beside=question.beside)
        if not older or question.beside:
            window.require_room(needed)
            if question.renewals is None and window.branch_limit_near(needed, peek):
                question.renewals = line.want_renewal()
            if line.waits_for_renewal(question.renewals):
                return
        if not older:
            self._ask(question, the_window(question, prompt))
            return
        make = beside_the_window if question.beside else instead_of_the_window
        question.older = make(question, prompt, older)
        question.passage = older_passage(question, older, state.text.image_pad)

    def _ask_over(self, question: Question) -> None:
        """The older groups are written, or some of them: then ask over them."""
        passage, branch = question.passage, question.older
        assert passage is not None, "expected a passage"
        assert branch is not None, "expected a branch"
        if passage.left:
            return
        if branch.context is not passage.context:
            branch.context.take_behind_first(passage.context)
            passage.close()
        question.older = None
        self._ask(question, branch)

    def _ask(self, question: Question, branch: Branch) -> None:
        """Read the prompt on a branch that holds all the answer may see."""
        state, peek = self._state, question.encoded
        vision_VD = peek.vision_tokens if peek is not None else None
        question.passage = ChunkedPrefill(branch.context, [Chunk(branch.prompt, vision_VD)], state.text.image_pad)
        question.wording = TokenStream(state.model.config, state.text, question.sampling)
        question.tell(
            Started(
                window=branch.span_s,
                group_ids=branch.group_ids,
                zero_s=branch.zero_s,
                num_tokens=branch.context.num_tokens,
                prompt_tokens=len(branch.prompt) + branch.num_older_tokens,
                queue_s=question.queue_s,
                catch_up_s=time.perf_counter() - question.asked_s - question.queue_s,
                num_recalled=len(question.recalled),
            )
        )
