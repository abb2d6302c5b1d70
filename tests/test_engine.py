"""What an engine promises its callers: order, bounds, clear errors, pages that come back, and a life after trouble."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
import torch
from small_model import byte_tokenizer, made_group, small_model

from ov2.context import Context
from ov2.engine import Engine, EngineSettings, Stream, scheduler
from ov2.engine.graphs import DecodeGraphs
from ov2.engine.line import Line
from ov2.engine.settings import require_kernels
from ov2.engine.work import Arrival, Ended, Question, Started, Told
from ov2.errors import CapacityError, CheckpointError, PromptError, SessionError
from ov2.model import OV2Model
from ov2.pages import PagePool
from ov2.prompt import question_tokens, system_tokens
from ov2.sampling import Sampling
from ov2.session import Session, SessionSettings
from ov2.text import TextTokenizer
from ov2.writing import run

LIMITS = SessionSettings(window_tokens=400, branch_tokens=300, max_positions=2000, page_tokens=16)
WAIT_S = 20.0


@pytest.fixture(scope="module")
def model() -> OV2Model:
    return small_model()


@pytest.fixture(scope="module")
def text() -> TextTokenizer:
    return byte_tokenizer()


@pytest.fixture
def engine(model: OV2Model, text: TextTokenizer) -> Iterator[Engine]:
    with Engine(model, EngineSettings(session=LIMITS, max_streams=3, max_questions=40), text=text) as engine:
        yield engine


@pytest.fixture
def stream(engine: Engine) -> Stream:
    """Six groups of one second."""
    stream = engine.open("front")
    for index in range(6):
        stream.append(made_group(index, float(index)))
    return stream


def until(condition: Callable[[], bool]) -> None:
    limit_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < limit_s, "waited in vain"
        time.sleep(0.005)


def said_by_a_session(model: OV2Model, text: TextTokenizer, question: str, num_groups: int, max_tokens: int) -> str:
    session = Session(model, LIMITS, text)
    for index in range(num_groups):
        session.append(made_group(index, float(index)))
    return "".join(session.ask(question, max_tokens=max_tokens))


def test_an_answer_sees_the_groups_before_it_and_is_a_sessions(stream: Stream, model: OV2Model, text: TextTokenizer) -> None:
    reply = stream.ask("Red?", max_tokens=8)
    stream.append(made_group(6, 6.0))
    later = stream.ask("Red?", max_tokens=8)
    assert "".join(reply) == reply.text == said_by_a_session(model, text, "Red?", 6, 8)
    assert reply.window == (0.0, 6.0)
    assert reply.started is not None
    assert reply.started.group_ids == (0, 1, 2, 3, 4, 5)
    assert (reply.num_tokens, reply.finish_reason) == (8, "length")
    assert reply.first_token_s is not None
    assert "".join(later) == said_by_a_session(model, text, "Red?", 7, 8)
    assert later.window == (0.0, 7.0)


def test_many_questions_at_once_answer_as_each_alone(stream: Stream) -> None:
    questions = [f"What is number {index}?" for index in range(12)]
    alone = ["".join(stream.ask(question, max_tokens=6)) for question in questions]
    replies = [stream.ask(question, max_tokens=6) for question in questions]
    assert ["".join(reply) for reply in replies] == alone


def test_a_question_with_a_peek_or_since_a_moment_leaves_the_next_as_it_was(stream: Stream) -> None:
    before = "".join(stream.ask("Red?", max_tokens=6))
    peeked = stream.ask("Red?", peek=made_group(9, 6.0), max_tokens=6)
    late = stream.ask("Red?", since_s=3.0, max_tokens=6)
    list(peeked), list(late)
    assert peeked.window == (0.0, 7.0)
    assert late.window == (3.0, 6.0)
    assert late.started is not None
    assert late.started.group_ids == (3, 4, 5)
    assert "".join(stream.ask("Red?", max_tokens=6)) == before


def test_statements_are_judged_together_as_each_alone(stream: Stream) -> None:
    statements = ["Is it red?", "A dog is there.", "Two cars stand in the yard."]
    together = stream.judge(statements)
    assert together == pytest.approx([stream.judge([statement])[0] for statement in statements], abs=1e-4)
    assert stream.judge([]) == []
    peek = made_group(9, 6.0)
    with_peek = stream.judge(statements, peek=peek)
    assert with_peek != pytest.approx(together, abs=1e-3)
    stream.append(peek).result(WAIT_S)
    assert with_peek == pytest.approx(stream.judge(statements), abs=1e-4)
    with pytest.raises(PromptError, match="expected some text"):
        stream.judge(["Is it red?", " "])
    with pytest.raises(PromptError, match="ask shorter"):
        stream.judge(["Is it red?", "why " * 2000])


def test_statements_that_come_too_late_are_told_so(engine: Engine, stream: Stream) -> None:
    stream.wait(WAIT_S)
    with pytest.raises(CapacityError, match="in time"):
        stream.judge(["Is it red?"], within_s=-1.0)
    assert engine.stats().shed["statements"] == 1


def test_streams_do_not_see_each_other(engine: Engine, stream: Stream, model: OV2Model, text: TextTokenizer) -> None:
    other = engine.open("back")
    for index in range(3):
        other.append(made_group(index, float(index)))
    replies = stream.ask("Red?", max_tokens=6), other.ask("Red?", max_tokens=6)
    assert ["".join(reply) for reply in replies] == [said_by_a_session(model, text, "Red?", n, 6) for n in (6, 3)]


def test_a_cancelled_or_abandoned_reply_gives_its_pages_back(engine: Engine, stream: Stream) -> None:
    stream.wait(WAIT_S)
    pages = engine.stats().pages_used
    kept, left = stream.ask("Red?", max_tokens=200), stream.ask("Blue?", max_tokens=200)
    next(kept), next(left)
    kept.close()
    del left
    gc.collect()
    assert list(kept) is not None
    assert kept.finish_reason == "cancelled"
    until(lambda: engine.stats().pages_used == pages)
    assert engine.num_questions == 0


def test_a_reader_who_stops_reading_holds_up_nobody(engine: Engine, stream: Stream) -> None:
    stalled = stream.ask("Red?", max_tokens=20)
    assert "".join(stream.ask("Blue?", max_tokens=5))
    until(lambda: engine.stats().answers == 2)
    assert len("".join(stalled)) > 0


def test_a_listener_that_fails_touches_nobody_else(engine: Engine, stream: Stream, caplog: pytest.LogCaptureFixture) -> None:
    def fail(item: Told) -> None:
        raise ValueError("a listener's bug")

    stream.submit("Red?", fail)
    assert "".join(stream.ask("Blue?", max_tokens=3))
    until(lambda: engine.num_questions == 0)
    assert engine.alive
    assert "a listener failed" in caplog.text


def test_a_stream_too_many_is_refused_with_what_to_set(engine: Engine) -> None:
    needed = scheduler.reserved_pages(engine.open("camera0").limits)
    opened = [engine.open(f"camera{index}") for index in range(1, engine.stats().num_pages // needed)]
    with pytest.raises(CapacityError, match=r"at capacity: \d+ sessions hold \d+ of \d+ pages.*set num_pages"):
        engine.open("one more")
    opened[0].close()
    engine.open("in its place")
    with pytest.raises(SessionError, match="not in use"):
        engine.open("in its place")
    with pytest.raises(SessionError, match="page_tokens"):
        engine.open("other pages", SessionSettings(page_tokens=32))


def test_a_question_too_many_is_refused(model: OV2Model, text: TextTokenizer) -> None:
    with Engine(model, EngineSettings(session=LIMITS, max_questions=2, max_streams=1), text=text) as engine:
        stream = engine.open("front")
        replies = [stream.ask("Red?", max_tokens=100) for _ in range(2)]
        with pytest.raises(CapacityError, match="max_questions"):
            stream.ask("Blue?")
        for reply in replies:
            reply.close()
        until(lambda: engine.num_questions == 0)
        assert "".join(stream.ask("Blue?", max_tokens=3))


def test_groups_that_do_not_fit_are_left_out_and_told_why(engine: Engine, stream: Stream) -> None:
    too_large = stream.append(made_group(6, 6.0, canvases=40, size=(112, 112)))
    too_old = stream.append(made_group(7, 2.0))
    fine = stream.append(made_group(8, 7.0))
    with pytest.raises(SessionError, match="window_tokens"):
        too_large.result(WAIT_S)
    with pytest.raises(SessionError, match=r"starts at 5.0 s or later, got 2.0 s"):
        too_old.result(WAIT_S)
    fine.result(WAIT_S)
    assert stream.skipped == {"session": 2}
    assert engine.stats().groups == 7


def test_bad_questions_are_refused_or_fail_clearly(stream: Stream) -> None:
    with pytest.raises(PromptError, match="expected some text"):
        stream.ask("  ")
    with pytest.raises(PromptError, match=r"max_tokens: expected at most 2000, .* got 1000000; ask for fewer"):
        stream.ask("Red?", max_tokens=1_000_000)
    with pytest.raises(PromptError, match="temperature"):
        stream.ask("Red?", temperature=-1.0)
    with pytest.raises(PromptError, match="ask shorter"):
        list(stream.ask("why " * 2000))
    assert "".join(stream.ask("Red?", max_tokens=3))


def test_an_empty_stream_answers_from_what_there_is(engine: Engine) -> None:
    stream = engine.open("empty")
    reply = stream.ask("Red?", max_tokens=4)
    assert "".join(reply)
    assert reply.window is None
    peeked = stream.ask("Red?", peek=made_group(0, 4.0), max_tokens=4)
    assert "".join(peeked)
    assert peeked.window == (4.0, 5.0)


def test_when_the_device_is_behind_the_oldest_group_is_skipped(
    model: OV2Model, text: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    encode = scheduler.encode

    def slow(*arguments: Any) -> Any:
        go_on.wait(WAIT_S)
        return encode(*arguments)

    monkeypatch.setattr(scheduler, "encode", slow)
    with Engine(model, EngineSettings(session=LIMITS, max_streams=1, max_waiting_groups=3), text=text) as engine:
        stream = engine.open("front")
        futures = [stream.append(made_group(0, 0.0))]
        time.sleep(0.1)  # it is at the encoder
        assert stream.pressure == 0.0
        futures += [stream.append(made_group(index, float(index))) for index in range(1, 8)]
        go_on.set()
        stream.wait(WAIT_S)
        skipped = [index for index, future in enumerate(futures) if future.exception() is not None]
        assert skipped == [1, 2, 3, 4]
        assert engine.stats().shed["model_behind"] == 4
        assert stream.skipped == {"model_behind": 4}
        stream.count_shed("quota_widened")
        assert engine.stats().shed["quota_widened"] == 1
        assert stream.window == (0.0, 8.0)


@pytest.mark.parametrize("where", ["run", "encode"])
def test_out_of_memory_is_survived(where: str, model: OV2Model, text: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    works, left = getattr(scheduler, where), [5]

    def fail(*arguments: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("out of memory")
        return works(*arguments)

    with Engine(model, EngineSettings(session=LIMITS, max_streams=1), text=text) as engine:
        stream = engine.open("front")
        monkeypatch.setattr(scheduler, where, fail)
        for index in range(6):
            stream.append(made_group(index, float(index)))
        assert "".join(stream.ask("Red?", max_tokens=6))
        stats = engine.stats()
        assert stats.shed["out_of_memory"] == 5
        assert stats.groups + stats.shed.get("refused_group", 0) == 6
        stream.close()
        assert engine.stats().pages_used == 0


def test_out_of_memory_that_does_not_end_fails_what_asked_for_it(
    stream: Stream, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.wait(WAIT_S)
    works = scheduler.run

    def fail(*_: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(scheduler, "run", fail)
    with pytest.raises(SessionError, match="out of memory"):
        list(stream.ask("Red?"))
    monkeypatch.setattr(scheduler, "run", works)
    assert "".join(stream.ask("Red?", max_tokens=3))


def test_answers_share_too_few_pages_one_after_another(model: OV2Model, text: TextTokenizer) -> None:
    limits = SessionSettings(window_tokens=100, branch_tokens=60, max_positions=400, page_tokens=16)
    reserved = scheduler.reserved_pages(limits.resolve(max_positions=400, max_timestamp_s=1e9))
    with Engine(model, EngineSettings(session=limits, num_pages=reserved), text=text) as engine:
        stream = engine.open("front")
        for index in range(4):
            stream.append(made_group(index, float(index), canvases=1))
        replies = [stream.ask("How many?", max_tokens=40) for _ in range(8)]
        ends = []
        for reply in replies:
            try:
                ends.append(len("".join(reply)) > 0)
            except SessionError as error:
                assert "set num_pages higher" in str(error)  # noqa: PT017  some answer, some are refused
                ends.append(False)
        assert any(ends)
        assert engine.num_questions == 0
        assert "".join(stream.ask("How many?", max_tokens=40))


def test_more_statements_than_pages_take_turns(model: OV2Model, text: TextTokenizer) -> None:
    limits = SessionSettings(window_tokens=100, branch_tokens=100, max_positions=400, page_tokens=16)
    reserved = scheduler.reserved_pages(limits.resolve(max_positions=400, max_timestamp_s=1e9))
    statements = [f"It is number {index}." for index in range(40)]
    margins = []
    for num_pages in (reserved, 40 * reserved):
        with Engine(model, EngineSettings(session=limits, num_pages=num_pages, step_tokens=2048), text=text) as engine:
            stream = engine.open("front")
            stream.append(made_group(0, 0.0, canvases=1)).result(WAIT_S)
            margins.append(stream.judge(statements))
            assert (engine.stats().shed.get("out_of_pages", 0) > 0) == (num_pages == reserved)
    assert margins[0] == pytest.approx(margins[1], abs=1e-4)


def test_a_group_that_is_cancelled_while_it_waits_touches_nobody(engine: Engine, stream: Stream) -> None:
    for index in range(6, 60):
        stream.append(made_group(index, float(index))).cancel()
    stream.wait(WAIT_S)
    assert engine.alive
    assert "".join(stream.ask("Red?", max_tokens=3))


def test_a_failure_reaches_everybody_who_waits(
    model: OV2Model, text: TextTokenizer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[BaseException] = []
    engine = Engine(model, EngineSettings(session=LIMITS, max_streams=1), text=text, on_failure=told.append)
    stream = engine.open("front")

    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(scheduler, "run", fail)
    with pytest.raises(SessionError, match="a bug"):
        list(stream.ask("Red?"))
    until(lambda: not engine.alive)
    assert isinstance(told[0], ZeroDivisionError)
    with pytest.raises(SessionError, match="has failed"):
        stream.ask("Red?")
    assert engine.stats().pages_used == 0
    engine.close()


def test_closing_ends_what_runs(model: OV2Model, text: TextTokenizer) -> None:
    engine = Engine(model, EngineSettings(session=LIMITS, max_streams=2), text=text)
    stream, other = engine.open("front"), engine.open("back")
    reply, cut = stream.ask("Red?", max_tokens=250), other.ask("Red?", max_tokens=250)
    next(reply), next(cut)
    other.close()
    list(cut)
    assert cut.finish_reason == "cancelled"
    with pytest.raises(SessionError, match="closed"):
        other.append(made_group(0, 0.0))
    engine.close()
    with pytest.raises(SessionError, match="closed"):
        list(reply)
    with pytest.raises(SessionError, match="closed"):
        stream.ask("Red?")
    engine.close()
    assert engine.stats().pages_used == 0


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_pages_of_one_byte_numbers_stay_near(kind: Any, model: OV2Model, text: TextTokenizer) -> None:
    margins = []
    for kv_dtype in ("model", kind):
        with Engine(model, EngineSettings(session=LIMITS, max_streams=1, kv_dtype=kv_dtype), text=text) as engine:
            stream = engine.open("front")
            for index in range(6):
                stream.append(made_group(index, float(index)))
            margins.append(stream.judge([f"Is it number {index}?" for index in range(8)]))
    exact, near = torch.tensor(margins)
    assert 0 < (exact - near).abs().max() < 0.02 * exact.abs().mean()


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"max_streams": 0}, {"step_tokens": 1}, {"kv_dtype": "int3"}, {"memory_share": 1.5}, {"max_answers": 0}):
        with pytest.raises(SessionError, match=f"engine: expected {next(iter(wrong))}"):
            EngineSettings(**wrong)  # type: ignore[arg-type]


def test_the_number_of_pages_follows_from_streams_or_is_given(model: OV2Model) -> None:
    two = EngineSettings(session=LIMITS, max_streams=2)
    assert two.pages(model) == 2 * EngineSettings(session=LIMITS, max_streams=1).pages(model)
    assert EngineSettings(session=LIMITS, num_pages=7).pages(model) == 7
    pool = PagePool(model.config.text, num_pages=1, page_tokens=16)
    bytes_held = sum(x.numel() * x.element_size() for x in (*pool.k_NZKD, *pool.v_NZKD))
    assert two.page_bytes(model) == bytes_held


def test_a_head_size_without_a_kernel_is_refused_on_cuda_alone(model: OV2Model) -> None:
    require_kernels(model.config, torch.device("cpu"))
    with pytest.raises(CheckpointError, match=r"text_config: expected a head size of 32, 64, 128 .* got 16; run this"):
        require_kernels(model.config, torch.device("cuda"))


def test_decoding_in_padded_steps_equals_decoding_as_it_comes(model: OV2Model, text: TextTokenizer) -> None:
    """What a CUDA graph replays, run without one."""
    pool = PagePool(model.config.text, num_pages=120, page_tokens=16)
    graphs = DecodeGraphs(model, pool, capture=False)
    contexts = []
    for seed in range(3):
        context = Context(model, pool)
        context.append(system_tokens(text))
        context.append(text.encode("some more text " * (seed + 1)))
        contexts.append(context)
    for count in (3, 1, 2):
        writings = [context.more([70 + index]) for index, context in enumerate(contexts[:count])]
        assert graphs.takes(writings)
        expected = run(model, pool, writings)
        for got, wanted in zip(graphs.run(writings), expected, strict=True):
            assert (got - wanted).abs().max() < 1e-4
        for context, writing in zip(contexts, writings, strict=False):
            context.commit(writing)
    sharing = [context.begin([70]) for context in (contexts[0].fork(), contexts[0].fork())]
    assert not graphs.takes(sharing)
    assert not graphs.takes([contexts[0].more([70, 71])])


class _Told:
    """What was told about questions, in order, by a scheduler that a test drives step by step."""

    def __init__(self, scheduler_: scheduler.Scheduler, text: TextTokenizer) -> None:
        self.items: list[tuple[str, Told]] = []
        self._scheduler, self._text = scheduler_, text

    def ask(self, name: str, line: Line, max_tokens: int = 3) -> None:
        self._scheduler.ask(
            Question(
                line=line,
                tail=question_tokens(self._text, "Red?"),
                sampling=Sampling(max_tokens=max_tokens, min_tokens=max_tokens),
                tell=lambda item: self.items.append((name, item)),
            )
        )

    def names(self, kind: type) -> list[str]:
        return [name for name, item in self.items if isinstance(item, kind)]


def test_cameras_take_turns(model: OV2Model, text: TextTokenizer) -> None:
    steps = scheduler.Scheduler(model, text, EngineSettings(session=LIMITS, max_streams=2, max_answers=1))
    busy, quiet = steps.open("busy"), steps.open("quiet")
    told = _Told(steps, text)
    for _ in range(5):
        told.ask("busy", busy)
    told.ask("quiet", quiet)
    for index in range(6):
        steps.append(busy, Arrival(group=made_group(index, float(index)), future=Future()))
    steps.append(quiet, Arrival(group=made_group(0, 0.0), future=Future()))
    while steps.has_work:
        steps.step()
        assert quiet.num_settled or busy.num_settled <= 2
    order = told.names(Started)
    assert len(order) == 6
    assert order.index("quiet") <= 1


def test_a_renewal_in_the_background_holds_up_no_answer(model: OV2Model, text: TextTokenizer) -> None:
    steps = scheduler.Scheduler(model, text, EngineSettings(session=LIMITS, max_streams=1, step_tokens=16))
    line = steps.open("front")
    told = _Told(steps, text)
    index = 0
    while not line.window.renewal_due():
        steps.append(line, Arrival(group=made_group(index, float(index)), future=Future()))
        index += 1
        while line.num_settled < line.num_taken:
            steps.step()
    while line.renewal is None:
        steps.step()
    told.ask("front", line)
    while not told.names(Ended):
        steps.step()
    assert line.renewal is not None
    assert line.window.num_renewals == 0
    assert steps.stats().shed["renewal_waits"] > 0
    while steps.has_work:
        steps.step()
    assert line.window.num_renewals == 1
