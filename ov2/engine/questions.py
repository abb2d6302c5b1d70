"""Questions: whose turn it is, when their branch begins, and the words of their answers.

In: questions of all streams. Out: pieces of text, emitted to each question's listener; the branch's pages go back however it ends.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial

from torch import Tensor

from ov2.engine.branch import Branch
from ov2.engine.branches import beside_the_window, instead_of_the_window, older_prefill, the_window
from ov2.engine.prefill import Chunk, ChunkedPrefill
from ov2.engine.state import EngineState
from ov2.engine.stream_state import AnswerRequest
from ov2.engine.work import AnswerEnded, AnswerStarted, Recalled
from ov2.token_stream import TokenStream


class Questions:
    """A `WorkQueue[AnswerRequest]`."""

    kind = "question"

    def __init__(self, state: EngineState) -> None:
        self._state = state

    def take_up(self) -> None:
        """Give turns: the cameras one after another, to as many as may run."""
        state = self._state
        streams, most = state.in_turn(), state.settings.max_answers
        while len(state.running) < most and any(stream.questions for stream in streams):
            for stream in streams:
                if stream.questions and len(state.running) < most:
                    question = stream.questions.popleft()
                    question.queue_s = time.perf_counter() - question.asked_s
                    state.running.append(question)

    def drop_cancelled(self) -> None:
        for question in [one for one in self._state.running if one.cancelled]:
            self.end(question, "cancelled" if question.error is None else "failed", question.error)
        for stream in self._state.streams.values():
            for question in [one for one in stream.questions if one.cancelled]:
                stream.questions.remove(question)
                self.end(question, "cancelled")

    def peeks(self) -> list[AnswerRequest | Recalled]:
        """Questions whose peek has to be encoded, and older groups that they bring back."""
        running = self._state.running
        older = [one for question in running for one in question.recalled if one.encoded is None]
        return [*older, *(one for one in running if one.peek is not None and one.encoded is None)]

    def ready(self) -> list[AnswerRequest]:
        """Answers that are being written, then prompts to read."""
        for question in [one for one in self._state.running if one.prefill is None]:
            self._state.barrier.guard(self.kind, partial(self._begin, question), partial(self.failed, question))
        begun = [one for one in self._state.running if one.prefill is not None]
        decoding = [one for one in begun if one.first_token_s is not None]
        return [*decoding, *(one for one in begun if one.first_token_s is None)]

    def written(self, work: AnswerRequest, logits_W: Tensor | None) -> None:
        """Choose the next token once all are written; ask once the older groups are."""
        if work.older is not None:
            self._ask_over(work)
            return
        if logits_W is None or work.wording is None or work.prefill is None:
            return
        piece = work.wording.push(logits_W)
        if work.first_token_s is None:
            work.first_token_s = time.perf_counter() - work.asked_s
            self._state.tally.first_token_s.append(work.first_token_s)
        if piece:
            work.emit(piece)
        if work.wording.finish_reason is not None:
            self.end(work, work.wording.finish_reason)
        else:
            work.prefill.add(work.wording.token)

    def failed(self, work: AnswerRequest, error: Exception) -> None:
        self.end(work, "failed", error)

    def give_up(self, recalled: Recalled, error: Exception) -> None:
        """An older group cannot be encoded, so its question fails."""
        for question in [one for one in self._state.running if recalled in one.recalled]:
            self.end(question, "failed", error)

    def end(self, question: AnswerRequest, reason: str, error: Exception | None = None) -> None:
        """An answer is over, however it ended; once."""
        if question.has_ended:
            return
        question.has_ended, state = True, self._state
        with suppress(ValueError):
            state.running.remove(question)
        for part in (question.prefill, question.older):
            if part is not None:
                part.close()
        num_tokens = question.wording.num_tokens if question.wording is not None else 0
        state.tally.counts["answers"] += reason in ("stop", "length")
        state.tally.counts["tokens"] += num_tokens
        question.emit(
            AnswerEnded(finish_reason=reason, num_tokens=num_tokens, first_token_s=question.first_token_s, error=error)
        )

    def _begin(self, question: AnswerRequest) -> None:
        """Fork a branch, once its groups, its peek and older groups are there, and a renewal that it needs is done."""
        stream, peek = question.stream, question.encoded
        if stream.num_settled < question.after or (question.peek is not None and peek is None):
            return
        older = [one.encoded for one in question.recalled if one.encoded is not None]
        if len(older) < len(question.recalled):
            return
        window, state = stream.window, self._state
        zero_s = older[0].start_s if older and not question.beside else None
        prompt = [*(window.tokens(peek, zero_s) if peek is not None else ()), *question.tail]
        needed = len(prompt) + question.sampling.max_tokens
        if older:
            window.require_recall(older, needed, peek, beside=question.beside)
        if not older or question.beside:
            window.require_room(needed)
            if question.renewals is None and window.branch_limit_near(needed, peek):
                question.renewals = stream.want_renewal()
            if stream.waits_for_renewal(question.renewals):
                return
        if not older:
            self._ask(question, the_window(question, prompt))
            return
        make = beside_the_window if question.beside else instead_of_the_window
        question.older = make(question, prompt, older)
        question.prefill = older_prefill(question, older, state.text.image_pad)

    def _ask_over(self, question: AnswerRequest) -> None:
        """The older groups are written, or some of them: then ask over them."""
        prefill, branch = question.prefill, question.older
        assert prefill is not None, "expected a prefill"
        assert branch is not None, "expected a branch"
        if prefill.left:
            return
        if branch.context is not prefill.context:
            branch.context.take_behind_first(prefill.context)
            prefill.close()
        question.older = None
        self._ask(question, branch)

    def _ask(self, question: AnswerRequest, branch: Branch) -> None:
        """Read the prompt on a branch that holds all the answer may see."""
        state, peek = self._state, question.encoded
        vision_VD = peek.vision_tokens if peek is not None else None
        question.prefill = ChunkedPrefill(branch.context, [Chunk(branch.prompt, vision_VD)], state.text.image_pad)
        question.wording = TokenStream(state.model.config, state.text, question.sampling)
        question.emit(
            AnswerStarted(
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
