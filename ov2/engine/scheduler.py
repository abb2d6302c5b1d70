"""What one step of the device does: work of all streams, under one budget of tokens.

In: streams with what waits for them. Out: one pass of the encoder at most, and one of the language model over the parts that fit. Five
queues hold the work, in this order: questions (answers that are being written, then prompts), renewals that something waits for, groups,
statements, renewals in the background. What does not fit waits; when it cannot, it is shed in the order of docs/engine.md, and counted.
When a pass raises, its parts run one by one, so that only the one that raised fails. Nothing here waits for anybody, so it can be driven
step by step.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import torch

from ov2.canvas import CanvasGroup
from ov2.encode import encode
from ov2.engine.admission import admit
from ov2.engine.barrier import Barrier, is_out_of_memory
from ov2.engine.budget import StepBudget, no_memory
from ov2.engine.canvas_encoder import CanvasEncoder
from ov2.engine.figures import EngineStats
from ov2.engine.graphs import DecodeGraphs
from ov2.engine.groups import Groups
from ov2.engine.parts import Part, Parts
from ov2.engine.questions import Questions
from ov2.engine.renewals import Renewals
from ov2.engine.score_request import ScoreRequest
from ov2.engine.scoring import Scoring
from ov2.engine.settings import EngineSettings
from ov2.engine.state import EngineState, WorkQueue
from ov2.engine.stream_state import AnswerRequest, StreamState
from ov2.engine.watchers import Watchers
from ov2.engine.work import PendingGroup
from ov2.engine.yes_no import YesNoScorer
from ov2.errors import ClosedError
from ov2.forward import forward
from ov2.model import OV2Model
from ov2.pages import PagePool
from ov2.segment import EncodedGroup
from ov2.session_settings import SessionSettings
from ov2.text import TextTokenizer

log = logging.getLogger(__name__)


class Scheduler:
    """Streams by name, and the work on them. Belongs to one thread.

    `pool`: one whose pages others hold, too; nothing is then reserved in it, and none taken back from who is not known here. `poison`
    is for tests, as in `PagePool`."""

    def __init__(
        self,
        model: OV2Model,
        text: TextTokenizer,
        settings: EngineSettings,
        *,
        pool: PagePool | None = None,
        poison: bool = False,
    ) -> None:
        is_shared = pool is not None
        pool = pool or PagePool(
            model.config.text,
            num_pages=settings.pages(model),
            page_tokens=settings.session.page_tokens,
            dtype=settings.pool_dtype(model),
            device=model.device,
            poison=poison,
        )
        self.verdict = YesNoScorer(text, model.stream_settings.get("judge", {}))
        self._state = EngineState(model, text, settings, pool, Barrier(model.device), is_pool_shared=is_shared)
        self._questions, self._groups = Questions(self._state), Groups(self._state)
        self._statements = Scoring(self._state, self.verdict)
        self._wanted, self._renewals = Renewals(self._state, wanted=True), Renewals(self._state, wanted=False)
        queues: tuple[WorkQueue[Any], ...] = (self._questions, self._wanted, self._groups, self._statements, self._renewals)
        self._parts = Parts(self._state, queues, self._renewals)
        self._watchers = Watchers()
        self._graphs = DecodeGraphs(model, pool) if model.device.type == "cuda" and settings.cuda_graphs else None
        self._budget = StepBudget(self._state)
        self._encoder = CanvasEncoder(self._state, self._budget, self._questions, self._groups, self._statements)

    @property
    def pool(self) -> PagePool:
        return self._state.pool

    # What is asked of it.

    def open(self, name: str, settings: SessionSettings | None = None, max_waiting_groups: int | None = None) -> StreamState:
        """A stream with an empty window. Raises `CapacityError` when the pages are spoken for, `SessionError` for a name in use or
        settings that do not fit."""
        return admit(self._state, name, settings, max_waiting_groups)

    def append(self, stream: StreamState, arrival: PendingGroup) -> None:
        """A group waits for its turn in its stream."""
        if stream.closed:
            arrival.future.set_exception(_closed(stream))
            return
        self._groups.append(stream, arrival)

    def ask(self, question: AnswerRequest) -> None:
        """A question waits for its turn, and for the groups before it."""
        if question.stream.closed:
            self._questions.end(question, "failed", _closed(question.stream))
            return
        question.after = question.stream.num_taken
        question.stream.questions.append(question)

    def judge(self, request: ScoreRequest) -> None:
        """Statements wait for their turn, and for the groups before them."""
        if request.stream.closed:
            self._statements.end(request, _closed(request.stream))
            return
        request.after = request.stream.num_taken
        self._statements.waiting.append(request)

    def drop_cancelled(self) -> None:
        """End questions that were cancelled, as every step does."""
        self._questions.drop_cancelled()

    def encode(self, group: CanvasGroup) -> EncodedGroup:
        """Vision tokens of one group, now."""
        try:
            return encode(self._state.model, [group])[0]
        except Exception as error:
            raise self._state.barrier.contain(error, "group") from error

    def notify_when_settled(self, stream: StreamState, future: Future[None]) -> None:
        """Set the future when the groups taken so far are appended or left out."""
        self._watchers.when_settled(stream, future)

    def renew(self, stream: StreamState, future: Future[None]) -> None:
        """Write a window anew, before anything else; set the future when it is in place."""
        stream.drop_renewal()
        stream.want_renewal()
        self._watchers.when_renewed(stream, future)

    def count_shed(self, reason: str) -> None:
        """Count what a caller put off or left out because the device is behind."""
        self._state.tally.shed[reason] += 1

    def close(self, stream: StreamState, error: Exception | None = None) -> None:
        """End a stream: answers are cut short, groups forgotten, pages free. `error`: why, if not because it was asked for."""
        state = self._state
        state.streams.pop(stream.name, None)
        for question in [*stream.questions, *(one for one in state.running if one.stream is stream)]:
            self._questions.end(question, "failed" if error is not None else "cancelled", error)
        stream.questions.clear()
        for request in [one for one in self._statements.waiting if one.stream is stream]:
            self._statements.end(request, error or _closed(stream))
        for arrival in stream.arrivals:
            arrival.future.cancel()
        stream.close()
        self._watchers.notify()

    def begin_again(self, error: Exception) -> None:
        """After the device has become unusable: all pages are free, questions and statements fail with `error`, and what stood in the windows
        is written anew, of vision tokens that are there. May be called again when it raises: no group is lost."""
        self._state.tally.counts["restarts"] += 1
        self._lose_pages(error)
        for question in [*self._state.running, *(one for stream in self._state.streams.values() for one in stream.questions)]:
            self._questions.end(question, "failed", error)
        for request in list(self._statements.waiting):
            self._statements.end(request, error)
        for stream in self._state.streams.values():
            stream.questions.clear()
            stream.begin_again()

    def lose(self, error: Exception) -> None:
        """Everything stops, on a device that is unusable."""
        self._lose_pages(error)
        self.end(error)

    def end(self, error: Exception) -> None:
        """Everything stops."""
        for stream in list(self._state.streams.values()):
            self.close(stream, error)
        if self._graphs is not None:
            self._graphs.close()

    # A step.

    @property
    def has_work(self) -> bool:
        """Whether a step may get on."""
        return bool(self._state.running or self._statements.waiting or self._watchers) or any(
            stream.has_work for stream in self._state.streams.values()
        )

    def step(self) -> bool:
        """False when nothing could be done. What it raises leaves the device unusable: `begin_again`."""
        began = time.perf_counter()
        state = self._state
        state.turn += 1
        self.drop_cancelled()
        self._statements.drop_late()
        self._questions.take_up()
        self._groups.take_up()
        encoded = self._encoder.step()
        parts = self._parts.choose(self._budget.tokens)
        if parts:
            self._run(parts)
        self._renewals.finish()
        self._watchers.notify()
        if state.barrier.is_suspect and not state.is_pool_shared:
            self._audit()
        state.tally.counts["steps"] += 1
        state.tally.busy_s += time.perf_counter() - began
        return bool(parts) or encoded

    def stats(self) -> EngineStats:
        return self._state.stats()

    def _run(self, parts: Sequence[Part]) -> None:
        """One pass over all parts. When memory does not suffice, nothing is lost: the next steps are smaller. When it raises, the parts run
        one by one."""
        try:
            logits = self._logits(parts)
        except Exception as error:  # noqa: BLE001  whatever it was, it belongs to one of them
            failure = error
        else:
            self._written(parts, logits)
            return
        for part in parts:
            part.prefill.context.cancel(part.scheduled)
        queue, work, _, _ = parts[-1]
        if is_out_of_memory(failure):
            if self._budget.shrink(shortage := no_memory(failure)):
                queue.failed(work, shortage)
        elif len(parts) == 1:
            queue.failed(work, self._state.barrier.contain(failure, queue.kind))
        else:
            self._state.barrier.require_usable(failure)
            for part in parts:
                self._run_alone(part)

    def _written(self, parts: Sequence[Part], logits: Sequence[torch.Tensor | None]) -> None:
        """The pages hold them now."""
        self._budget.grow()
        for part in parts:
            part.prefill.commit(part.scheduled)
        for (queue, work, prefill, _), logits_W in zip(parts, logits, strict=True):
            if not prefill.is_closed:  # another part of the same request may have failed
                self._state.barrier.guard(queue.kind, partial(queue.written, work, logits_W), partial(queue.failed, work))

    def _run_alone(self, part: Part) -> None:
        """The same tokens once more, unless what they belong to has failed meanwhile."""
        queue, work, prefill, scheduled = part
        if prefill.is_closed:
            return

        def again() -> None:
            self._run([part._replace(scheduled=prefill.next(scheduled.num_tokens))])

        self._state.barrier.guard(queue.kind, again, partial(queue.failed, work))

    @torch.inference_mode()
    def _logits(self, parts: Sequence[Part]) -> list[torch.Tensor | None]:
        """Logits of the last token of every question and statement that is then written."""
        model = self._state.model
        scheduled = [part.scheduled for part in parts]
        graphs = self._graphs
        if graphs is not None and graphs.takes(scheduled):
            hidden = graphs.run(scheduled)
        else:
            hidden = forward(model, self._state.pool, scheduled)
        last = [index for index, part in enumerate(parts) if part.is_last and part.queue in (self._questions, self._statements)]
        logits: list[torch.Tensor | None] = [None] * len(parts)
        if last:
            for index, logits_W in zip(last, model.head(torch.stack([hidden[index][-1] for index in last])), strict=True):
                logits[index] = logits_W
        return logits

    def _audit(self) -> None:
        """Something raised that nobody expects: take back pages that nobody holds any more. Raises `PoolError` when somebody's are gone."""
        contexts = self._state.contexts(self._statements.waiting)
        held = Counter(page for context in contexts for segment in context.segments for page in segment.pages)
        held.update(self._graphs.pages if self._graphs is not None else ())
        num_lost = self._state.pool.reconcile(held)
        self._state.barrier.is_suspect = False
        if num_lost:
            log.warning("engine: took back %d pages that nobody held after something raised", num_lost)

    def _lose_pages(self, error: Exception) -> None:
        """Nobody holds any page, and groups of the windows are put back."""
        for stream in self._state.streams.values():
            self._groups.put_back(stream, error)
        for context in self._state.contexts(self._statements.waiting):
            context.abandon()
        if self._graphs is not None:
            self._graphs.forget()
        self._state.pool.reset()
        self._state.barrier.is_suspect = False


def _closed(stream: StreamState) -> ClosedError:
    return ClosedError(f"stream {stream.name!r}: closed")
