"""Whatever order work comes in, every token equals one masked full pass; no slot is written twice; pages come back."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from ledger import Ledger
from repository import GOLDEN
from small_model import byte_tokenizer, made_group

from ov2.engine import EngineSettings
from ov2.engine.questions import Questions
from ov2.engine.scheduler import Scheduler
from ov2.engine.score_request import ScoredStatement, ScoreRequest
from ov2.engine.scoring import Scoring
from ov2.engine.stream_state import AnswerRequest, StreamState
from ov2.engine.work import AnswerEnded, Output, PendingGroup, Recalled
from ov2.model import OV2Model
from ov2.prompt import question_tokens
from ov2.sampling import Sampling
from ov2.session_settings import SessionSettings

DATA = GOLDEN / "ov2_tiny"
TOLERANCE = 2e-4
TEXT = byte_tokenizer()
MODEL = OV2Model.from_pretrained(DATA)
LIMITS = SessionSettings(
    window_tokens=240,
    branch_tokens=160,
    recall_tokens=60,
    max_positions=600,
    window_s=12.0,
    max_timestamp_s=20.0,
    page_tokens=16,
)
NAMES = ("front", "back", "yard")
SIZES = [(28, 28), (28, 56), (56, 56)]


class AnyOrder(RuleBasedStateMachine):
    """Streams are opened and closed; groups, questions, statements and cancellations come in any order between steps."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.ledger = Ledger(MODEL, self.patch)
        self.compared = 0
        self._compare(Questions)
        self._compare(Scoring)
        engine = EngineSettings(session=LIMITS, num_pages=180, step_tokens=40, max_answers=4, max_waiting_groups=3)
        self.scheduler = Scheduler(MODEL, TEXT, engine, poison=True)
        self.streams: dict[str, StreamState] = {}
        self.now_s = dict.fromkeys(NAMES, 0.0)
        self.questions: list[AnswerRequest] = []
        self.outputs: dict[int, list[Output]] = {}
        self.requests: list[ScoreRequest] = []
        self.num_groups = 0
        self.held: tuple[int, ...] = ()

    def _compare(self, queue: type[Questions] | type[Scoring]) -> None:
        written = queue.written

        def compared(this: Any, work: AnswerRequest | ScoredStatement, logits_W: torch.Tensor | None) -> None:
            if logits_W is not None and work.prefill is not None:
                own = work.prefill.context.segments[-1]
                is_asked = isinstance(work, AnswerRequest) and work.older is None
                expected = self.ledger.logits(own, work.encoded if is_asked else own.group)
                assert (logits_W - expected).abs().max() < TOLERANCE
                self.compared += 1
            written(this, work, logits_W)

        self.patch.setattr(queue, "written", compared)

    @rule(name=st.sampled_from(NAMES))
    def open_or_close(self, name: str) -> None:
        if name in self.streams:
            self.scheduler.close(self.streams.pop(name))
        elif not self.held:
            self.streams[name] = self.scheduler.open(name)
            self.now_s[name] = 0.0

    def _some(self, pick: int) -> str:
        return sorted(self.streams)[pick % len(self.streams)]

    @precondition(lambda self: self.streams)
    @rule(
        pick=st.integers(0, 2),
        count=st.integers(1, 8),
        canvases=st.integers(1, 3),
        size=st.sampled_from(SIZES),
        span_s=st.floats(0.5, 5.0),
        num_steps=st.integers(0, 12),
    )
    def append(self, pick: int, count: int, canvases: int, size: tuple[int, int], span_s: float, num_steps: int) -> None:
        name = self._some(pick)
        for _ in range(count):
            group = made_group(self.num_groups, self.now_s[name], canvases=canvases, size=size, span_s=span_s)
            self.num_groups += 1
            self.now_s[name] += span_s
            self.scheduler.append(self.streams[name], PendingGroup(group=group, future=Future()))
            self._steps(num_steps)

    @precondition(lambda self: self.streams)
    @rule(
        pick=st.integers(0, 2),
        count=st.integers(1, 3),
        max_tokens=st.integers(1, 5),
        with_peek=st.booleans(),
        back_s=st.one_of(st.none(), st.floats(0.0, 12.0)),
        num_older=st.integers(0, 4),
        beside=st.booleans(),
    )
    def ask(
        self, pick: int, count: int, max_tokens: int, with_peek: bool, back_s: float | None, num_older: int, beside: bool
    ) -> None:
        name = self._some(pick)
        first_s = self.now_s[name] - 14.0
        older = [made_group(2000 + number, first_s + number, canvases=1, size=(28, 28)) for number in range(num_older)]
        peek = made_group(1000 + self.num_groups, self.now_s[name], canvases=1) if with_peek else None
        for number in range(count):
            outputs: list[Output] = []
            question = AnswerRequest(
                stream=self.streams[name],
                tail=question_tokens(TEXT, f"What {number}?"),
                sampling=Sampling(max_tokens=max_tokens),
                emit=outputs.append,
                peek=peek,
                since_s=None if back_s is None else self.now_s[name] - back_s,
                recalled=[Recalled(group) for group in older],
                beside=beside,
            )
            self.outputs[id(question)] = outputs
            self.questions.append(question)
            self.scheduler.ask(question)

    @precondition(lambda self: self.streams)
    @rule(pick=st.integers(0, 2), count=st.integers(1, 5), with_peek=st.booleans())
    def judge(self, pick: int, count: int, with_peek: bool) -> None:
        name = self._some(pick)
        peek = made_group(1000 + self.num_groups, self.now_s[name], canvases=1) if with_peek else None
        tails = [self.scheduler.verdict.tail(f"It is {number}.") for number in range(count)]
        request = ScoreRequest(stream=self.streams[name], tails=tails, future=Future(), peek=peek)
        self.requests.append(request)
        self.scheduler.judge(request)

    @precondition(lambda self: self.questions)
    @rule(pick=st.integers(0, 30))
    def cancel(self, pick: int) -> None:
        self.questions[pick % len(self.questions)].cancelled = True

    @rule(left=st.integers(0, 12))
    def hold_pages(self, left: int) -> None:
        """All but a few free pages are away for a while."""
        pool = self.scheduler.pool
        self.held += pool.take(max(0, pool.num_pages - pool.num_used - left))

    @precondition(lambda self: self.held)
    @rule()
    def give_pages_back(self) -> None:
        self.scheduler.pool.release(self.held)
        self.held = ()

    @rule(count=st.integers(1, 8))
    def step(self, count: int) -> None:
        self._steps(count)

    def _steps(self, count: int) -> None:
        for _ in range(count):
            self.scheduler.step()

    @invariant()
    def windows_keep_their_limits(self) -> None:
        for stream in self.streams.values():
            window, limits = stream.window, stream.limits
            assert window.num_tokens <= limits.window_tokens
            assert window.num_positions <= limits.max_positions - limits.branch_tokens
            assert window.span_s is None or window.span_s[1] - window.zero_s <= limits.max_timestamp_s

    def teardown(self) -> None:
        """Everything that was asked comes to its end, and every page comes back."""
        self.scheduler.pool.release(self.held)
        for _ in range(2000):
            if not self.scheduler.has_work:
                break
            self.scheduler.step()
        assert not self.scheduler.has_work
        for question in self.questions:
            ended = [item for item in self.outputs[id(question)] if isinstance(item, AnswerEnded)]
            assert len(ended) == 1
        assert all(request.future.done() for request in self.requests)
        for stream in self.streams.values():
            assert stream.num_settled == stream.num_taken
            self.scheduler.close(stream)
        assert self.scheduler.pool.num_used == 0
        self.patch.undo()


AnyOrder.TestCase.settings = settings(
    max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnyOrder = AnyOrder.TestCase
