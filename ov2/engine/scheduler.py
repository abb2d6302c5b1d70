"""What one step of the device does: work of all streams, under one budget of tokens.

In: streams with what waits for them. Out: one pass of the encoder at most, and one of the language model over the parts that fit. Four
desks have the work, in this order: questions (answers that are being written, then prompts), groups, statements, renewals. What does
not fit waits; when it cannot, it is shed in the order of DESIGN section 8, and counted. Nothing here waits for anybody, so it can be
driven step by step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

import torch

from ov2.canvas import CanvasGroup
from ov2.encode import encode
from ov2.engine.figures import EngineStats
from ov2.engine.graphs import DecodeGraphs
from ov2.engine.groups import Groups
from ov2.engine.line import Line
from ov2.engine.passage import Passage
from ov2.engine.questions import Questions
from ov2.engine.renewals import Renewals
from ov2.engine.settings import LEAST_STEP_TOKENS, EngineSettings
from ov2.engine.state import Desk, Owner, State
from ov2.engine.statements import Statements
from ov2.engine.verdict import Verdict
from ov2.engine.work import Arrival, Judgement, Question, Recalled
from ov2.errors import CapacityError, ClosedError, PagesError, SessionError
from ov2.model import OV2Model
from ov2.pages import PagePool
from ov2.segment import EncodedGroup
from ov2.session import begin_context
from ov2.session_settings import Limits, SessionSettings
from ov2.text import TextTokenizer
from ov2.window import Window
from ov2.writing import Writing, run

WORTH_SHARE = 4
"""A passage gets at least so small a part of a step's tokens, or waits: every part of a step reads its whole window."""
NO_MEMORY = "can't allocate memory"
"""What PyTorch's allocator for CPUs says; on CUDA the error has a type of its own."""


_Encoded = Question | Recalled | Arrival | Judgement
"""What may bring canvases."""


class _Part(NamedTuple):
    """Tokens of one owner in a step."""

    desk: Desk
    owner: Owner
    passage: Passage
    writing: Writing

    @property
    def is_last(self) -> bool:
        """Whether its passage is then written."""
        return self.writing.num_tokens == self.passage.left


class Scheduler:
    """Lines by name, and the work on them. Belongs to one thread. `poison` is for tests, as in `PagePool`."""

    def __init__(self, model: OV2Model, text: TextTokenizer, settings: EngineSettings, *, poison: bool = False) -> None:
        pool = PagePool(
            model.config.text,
            num_pages=settings.pages(model),
            page_tokens=settings.session.page_tokens,
            dtype=settings.pool_dtype(model),
            device=model.device,
            poison=poison,
        )
        self.verdict = Verdict(text, model.stream_settings.get("judge", {}))
        self._state = State(model, text, settings, pool)
        self._questions, self._groups = Questions(self._state), Groups(self._state)
        self._statements = Statements(self._state, self.verdict)
        self._wanted, self._renewals = Renewals(self._state, wanted=True), Renewals(self._state, wanted=False)
        self._desks: tuple[Desk, ...] = (self._questions, self._wanted, self._groups, self._statements, self._renewals)
        self._watched: list[tuple[Callable[[], bool], Future[None]]] = []
        self._graphs = DecodeGraphs(model, pool) if model.device.type == "cuda" and settings.cuda_graphs else None
        self._most_tokens = self._step_tokens = settings.tokens_of_a_step(model.device)

    @property
    def pool(self) -> PagePool:
        return self._state.pool

    # What is asked of it.

    def open(self, name: str, settings: SessionSettings | None = None, max_waiting_groups: int | None = None) -> Line:
        """A stream with an empty window. Raises `CapacityError` when the pages are spoken for, `SessionError` for a name in use or
        settings that do not fit."""
        state = self._state
        if name in state.lines:
            raise SessionError(f"stream {name!r}: expected a name that is not in use; close the other stream first")
        model, pool = state.model, state.pool
        settings = settings or state.settings.session
        limits = settings.resolve(max_positions=model.max_positions, max_timestamp_s=model.max_timestamp_s)
        if limits.page_tokens != pool.page_tokens:
            raise SessionError(
                f"stream {name!r}: expected pages of {pool.page_tokens} tokens as the engine's, got {limits.page_tokens}; "
                f"set page_tokens for the engine"
            )
        spoken_for = sum(reserved_pages(line.limits) for line in state.lines.values())
        if spoken_for + reserved_pages(limits) > pool.num_pages:
            raise CapacityError(
                f"stream {name!r}: at capacity: {len(state.lines)} sessions hold {spoken_for} of {pool.num_pages} pages, one more "
                f"needs {reserved_pages(limits)}; set num_pages or max_streams higher, or window_tokens lower"
            )
        context = begin_context(model, pool, state.text, limits)
        line = Line(name, model, pool, state.text, limits, Window(limits, state.text, context))
        line.max_waiting = max_waiting_groups or state.settings.max_waiting_groups
        state.lines[name] = line
        return line

    def append(self, line: Line, arrival: Arrival) -> None:
        """A group joins its line."""
        self._groups.append(line, arrival)

    def ask(self, question: Question) -> None:
        """A question waits for its turn, and for the groups before it."""
        question.after = question.line.num_taken
        question.line.questions.append(question)

    def judge(self, judgement: Judgement) -> None:
        """Statements wait for their turn, and for the groups before them."""
        judgement.after = judgement.line.num_taken
        self._statements.waiting.append(judgement)

    def encode(self, group: CanvasGroup) -> EncodedGroup:
        """Vision tokens of one group, now."""
        return encode(self._state.model, [group])[0]

    def tell_when_settled(self, line: Line, future: Future[None]) -> None:
        """Set the future when the groups taken so far are appended or left out."""
        num_groups = line.num_taken
        self._watched.append((lambda: line.closed or line.num_settled >= num_groups, future))

    def renew(self, line: Line, future: Future[None]) -> None:
        """Write a window anew, before anything else; set the future when it is in place."""
        line.drop_renewal()
        line.wants_renewal = True
        before = line.window.num_renewals
        self._watched.append((lambda: line.closed or line.window.num_renewals > before, future))

    def count_shed(self, reason: str) -> None:
        """Count what a caller put off or left out because the device is behind."""
        self._state.tally.shed[reason] += 1

    def close(self, line: Line, error: Exception | None = None) -> None:
        """End a stream: answers are cut short, groups forgotten, pages free. `error`: why, if not because it was asked for."""
        state = self._state
        state.lines.pop(line.name, None)
        for question in [*line.questions, *(one for one in state.running if one.line is line)]:
            self._questions.end(question, "failed" if error is not None else "cancelled", error)
        line.questions.clear()
        for judgement in [one for one in self._statements.waiting if one.line is line]:
            self._statements.end(judgement, error or ClosedError(f"stream {line.name!r}: closed"))
        arrivals = [*line.waiting, *([line.arrival] if line.arrival is not None else [])]
        for arrival in [*arrivals, *([line.draft.arrival] if line.draft is not None else [])]:
            arrival.future.cancel()
        line.close()
        self._tell_watchers()

    def end(self, error: Exception) -> None:
        """Everything stops."""
        for line in list(self._state.lines.values()):
            self.close(line, error)
        if self._graphs is not None:
            self._graphs.close()

    # A step.

    @property
    def has_work(self) -> bool:
        """Whether a step may get on."""
        return bool(self._state.running or self._statements.waiting or self._watched) or any(
            line.has_work for line in self._state.lines.values()
        )

    def step(self) -> bool:
        """False when nothing could be done."""
        began = time.perf_counter()
        state = self._state
        state.turn += 1
        self._questions.drop_cancelled()
        self._statements.drop_late()
        self._questions.take_up()
        self._groups.take_up()
        encoded = self._encode()
        parts = self._parts()
        if parts:
            self._run(parts)
        self._renewals.finish()
        self._tell_watchers()
        state.tally.counts["steps"] += 1
        state.tally.busy_s += time.perf_counter() - began
        return bool(parts) or encoded

    def stats(self) -> EngineStats:
        return self._state.stats()

    def _encode(self) -> bool:
        """Canvases that are needed next through the vision tower, together: peeks first, then groups, up to a step's tokens."""
        batch: list[_Encoded] = []
        num_blocks = 0
        wanted: list[_Encoded] = [*self._questions.peeks(), *self._groups.to_encode(), *self._statements.peeks()]
        for one in wanted:
            num_blocks += _canvases(one).num_blocks
            if batch and num_blocks > self._step_tokens:
                break
            batch.append(one)
        if not batch:
            return False
        try:
            encoded = encode(self._state.model, [_canvases(one) for one in batch])
        except Exception as error:
            if not _is_out_of_memory(error):
                raise
            if self._shrink():
                self._leave_out(batch[0], SessionError(f"out of memory: {error}"))
            return True
        for one, group in zip(batch, encoded, strict=True):
            one.encoded = group
        return True

    def _leave_out(self, one: _Encoded, error: Exception) -> None:
        """What cannot be encoded even alone."""
        if isinstance(one, Question):
            self._questions.end(one, "failed", error)
        elif isinstance(one, Recalled):
            self._questions.give_up(one, error)
        elif isinstance(one, Judgement):
            self._statements.end(one, error)
        else:
            self._groups.leave_out(next(line for line in self._state.lines.values() if line.arrival is one), one, error)

    def _parts(self) -> list[_Part]:
        """What a step writes: from each desk in order, while tokens are left.

        Without pages an owner waits while anything else gets on, which gives pages back in the end; background renewals give theirs at
        once. When nothing gets on, the last that asked fails.
        """
        parts: list[_Part] = []
        short: list[tuple[Desk, Owner, PagesError]] = []
        budget, freed = self._step_tokens, False
        for desk in self._desks:
            in_background = desk is self._renewals
            if in_background and short:
                break
            for owner in desk.owners():
                passage = owner.passage
                assert passage is not None, "expected a passage"
                if parts and budget < min(passage.left, self._step_tokens // WORTH_SHARE):
                    if in_background:
                        self._state.tally.shed["renewal_waits"] += 1
                    break
                try:
                    writing = passage.next(budget)
                except PagesError as error:
                    self._state.tally.shed["out_of_pages"] += 1
                    if in_background:
                        desk.failed(owner, error)
                    else:
                        freed = self._state.drop_renewals() or freed
                        short.append((desk, owner, error))
                    continue
                parts.append(_Part(desk, owner, passage, writing))
                budget -= writing.num_tokens
        if short and not parts and not freed:
            last, owner, shortage = short[-1]
            last.failed(owner, shortage)
        return parts

    def _run(self, parts: list[_Part]) -> None:
        """One pass over all parts. When memory does not suffice, nothing is lost: the next steps are smaller."""
        try:
            logits = self._logits(parts)
        except Exception as error:
            for part in parts:
                part.passage.context.cancel(part.writing)
            if not _is_out_of_memory(error):
                raise
            if self._shrink():
                parts[-1].desk.failed(parts[-1].owner, SessionError(f"out of memory: {error}"))
            return
        self._step_tokens = min(self._most_tokens, 2 * self._step_tokens)
        for part in parts:
            part.passage.commit(part.writing)
        for part, logits_W in zip(parts, logits, strict=True):
            part.desk.written(part.owner, logits_W)

    @torch.inference_mode()
    def _logits(self, parts: list[_Part]) -> list[torch.Tensor | None]:
        """Logits of the last token of every passage that is then written."""
        model = self._state.model
        writings = [part.writing for part in parts]
        graphs = self._graphs
        if graphs is not None and graphs.takes(writings):
            hidden = graphs.run(writings)
        else:
            hidden = run(model, self._state.pool, writings)
        last = [index for index, part in enumerate(parts) if part.is_last and part.desk in (self._questions, self._statements)]
        logits: list[torch.Tensor | None] = [None] * len(parts)
        if last:
            for index, logits_W in zip(last, model.head(torch.stack([hidden[index][-1] for index in last])), strict=True):
                logits[index] = logits_W
        return logits

    def _shrink(self) -> bool:
        """Memory has run out: renewals go first, then steps get smaller. True when neither is left to do."""
        self._state.tally.shed["out_of_memory"] += 1
        if self._state.model.device.type == "cuda":
            torch.cuda.empty_cache()
        if self._state.drop_renewals():
            return False
        smallest = self._step_tokens <= LEAST_STEP_TOKENS
        self._step_tokens = max(LEAST_STEP_TOKENS, self._step_tokens // 2)
        return smallest

    def _tell_watchers(self) -> None:
        for watched in list(self._watched):
            has_come, future = watched
            if has_come():
                self._watched.remove(watched)
                if future.set_running_or_notify_cancel():
                    future.set_result(None)


def reserved_pages(limits: Limits) -> int:
    """Pages that a stream may need: its window twice, while it is renewed, and one branch."""
    return 2 * limits.window_pages + limits.branch_tokens // limits.page_tokens + 1


def _canvases(one: _Encoded) -> CanvasGroup:
    if isinstance(one, Arrival | Recalled):
        return one.group
    assert one.peek is not None, "expected a peek"
    return one.peek


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or NO_MEMORY in str(error)
