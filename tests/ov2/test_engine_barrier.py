"""What one question, statement or group raises fails that one alone: whoever ran in the same pass is answered as if it had not been there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
from engine_fixtures import LIMITS, WAIT_S
from failing_model import WHITE, FailingModel, failing_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_model import byte_tokenizer, made_group
from waiting import until

from ov2.canvas import CanvasGroup
from ov2.engine import Engine, EngineSettings, Stream
from ov2.engine.scheduler import Scheduler
from ov2.engine.score_request import ScoreRequest
from ov2.engine.stream_state import AnswerRequest, StreamState
from ov2.engine.work import AnswerEnded, AnswerStarted, Output, PendingGroup
from ov2.errors import ClosedError, PoolError, PromptError, RequestError, SessionError
from ov2.pages import PagePool
from ov2.prompt import question_tokens
from ov2.sampling import Sampling

BAD = "^"
"""What the model of these tests cannot read, one token."""
TEXT = byte_tokenizer()


@pytest.fixture
def model() -> FailingModel:
    made = failing_model()
    made.bad_ids = TEXT.encode(BAD)
    return made


@pytest.fixture
def engine(model: FailingModel) -> Iterator[Engine]:
    with Engine(model, EngineSettings(session=LIMITS, max_streams=3), text=TEXT) as engine:
        yield engine


@pytest.fixture
def stream(engine: Engine) -> Stream:
    stream = engine.open("front")
    for index in range(6):
        stream.append(made_group(index, float(index)))
    stream.wait(WAIT_S)
    return stream


def held_up(engine: Engine) -> Callable[[], object]:
    """Everything asked until the call runs in one step."""
    reached, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        go_on.wait(WAIT_S)

    engine.post(hold)
    assert reached.wait(WAIT_S)
    return go_on.set


def white(index: int) -> CanvasGroup:
    """A group that the encoder of these tests cannot read."""
    group = made_group(index, float(index))
    return replace(group, canvases=np.full_like(group.canvases, WHITE))


def test_a_question_that_raises_fails_alone_in_its_pass(engine: Engine, stream: Stream) -> None:
    expected = list(stream.ask("Red?", max_tokens=6))
    pages = engine.stats().pages_used
    go_on = held_up(engine)
    before, bad, after = (stream.ask(text, max_tokens=6) for text in ("Red?", f"Does it {BAD}?", "Red?"))
    go_on()
    with pytest.raises(RequestError, match="question: expected it to be computed, got ValueError: these tokens") as raised:
        list(bad)
    assert isinstance(raised.value.__cause__, ValueError)
    assert list(before) == list(after) == expected
    assert engine.stats().restarts == 0
    until(lambda: engine.stats().pages_used == pages)
    assert engine.num_questions == 0


def test_a_statement_that_raises_fails_alone_in_its_pass(engine: Engine, stream: Stream) -> None:
    expected = stream.judge(["It is red."])
    pages = engine.stats().pages_used
    go_on = held_up(engine)
    good, bad = stream.judge_soon(["It is red."]), stream.judge_soon(["It is blue.", f"It does {BAD}."])
    reply = stream.ask("Red?", max_tokens=2)
    go_on()
    with pytest.raises(RequestError, match=r"statement: .* these tokens"):
        bad.result(WAIT_S)
    assert good.result(WAIT_S) == pytest.approx(expected, abs=1e-5)
    assert "".join(reply)
    until(lambda: engine.stats().pages_used == pages)


def test_a_group_that_the_encoder_raises_at_is_left_out_alone(engine: Engine, stream: Stream) -> None:
    other = engine.open("back")
    go_on = held_up(engine)
    bad, fine, elsewhere = stream.append(white(6)), stream.append(made_group(7, 7.0)), other.append(made_group(0, 0.0))
    reply = stream.ask("Red?", max_tokens=2)
    go_on()
    with pytest.raises(RequestError, match=r"group: .* a white canvas"):
        bad.result(WAIT_S)
    assert fine.result(WAIT_S).group_id == 7
    assert elsewhere.result(WAIT_S).group_id == 0
    assert "".join(reply)
    assert stream.skipped == {"session": 1}


def test_a_group_that_the_language_model_raises_at_is_left_out_alone(
    model: FailingModel, engine: Engine, stream: Stream
) -> None:
    model.bad_ids = TEXT.encode("<6.0 seconds>")
    go_on = held_up(engine)
    bad, fine = stream.append(made_group(6, 6.0)), stream.append(made_group(7, 7.0))
    reply = stream.ask("Red?", max_tokens=2)
    go_on()
    with pytest.raises(RequestError, match=r"group: .* these tokens"):
        bad.result(WAIT_S)
    assert fine.result(WAIT_S).group_id == 7
    assert "".join(reply)
    assert stream.window == (0.0, 8.0)


def test_a_peek_that_raises_fails_its_question_and_no_other(engine: Engine, stream: Stream) -> None:
    go_on = held_up(engine)
    bad, good = stream.ask("Red?", peek=white(6), max_tokens=3), stream.ask("Red?", peek=made_group(6, 6.0), max_tokens=3)
    older = stream.ask("Red?", recalled=[white(8), white(9)], max_tokens=3)
    go_on()
    for failed in (bad, older):
        with pytest.raises(RequestError, match="a white canvas"):
            list(failed)
    assert "".join(good)
    with pytest.raises(RequestError, match="a white canvas"):
        stream.encode(white(6))


def test_logits_that_are_no_numbers_fail_their_question_and_statement_alone(
    model: FailingModel, engine: Engine, stream: Stream
) -> None:
    expected = list(stream.ask("Red?", max_tokens=3))
    model.nan_ids = TEXT.encode("~")
    go_on = held_up(engine)
    sampled = stream.ask("~?", max_tokens=3, temperature=1.0)
    bad, good, judged = stream.ask("~?", max_tokens=3), stream.ask("Red?", max_tokens=3), stream.judge_soon(["~?"])
    go_on()
    for failed in (bad, sampled):
        with pytest.raises(SessionError, match="logits: expected a number for at least one token, got none"):
            list(failed)
    with pytest.raises(SessionError, match="statement: expected logits from which a margin follows, got one of nan"):
        judged.result(WAIT_S)
    assert list(good) == expected


def test_pages_that_nobody_holds_after_something_raised_are_taken_back(engine: Engine, stream: Stream) -> None:
    pages = engine.stats().pages_used
    engine.call(lambda: stream._state.pool.take(2))
    assert engine.stats().pages_used == pages + 2
    with pytest.raises(RequestError):
        list(stream.ask(BAD))
    until(lambda: engine.stats().pages_used == pages)
    assert engine.stats().restarts == 0


def test_a_listener_that_raises_is_told_why_its_question_ended(engine: Engine, stream: Stream) -> None:
    outputs: list[Output] = []

    def listen(item: Output) -> None:
        outputs.append(item)
        if isinstance(item, AnswerStarted):
            raise KeyError("a listener's bug")

    stream.submit("Red?", listen)
    until(lambda: isinstance(outputs[-1] if outputs else None, AnswerEnded))
    ended = outputs[-1]
    assert isinstance(ended, AnswerEnded)
    assert ended.finish_reason == "failed"
    assert isinstance(ended.error, RequestError)
    assert isinstance(ended.error.__cause__, KeyError)
    assert "".join(stream.ask("Red?", max_tokens=2))


def test_a_group_that_raises_when_the_window_is_written_anew_leaves_it(
    model: FailingModel, engine: Engine, stream: Stream
) -> None:
    model.bad_ids = TEXT.encode("<3.1 seconds>")
    stream.renew(WAIT_S)
    assert stream.skipped == {"session": 1}
    assert engine.stats().shed["renewal_failed"] == 2, "all groups at once, then one by one up to it"
    reply = stream.ask("Red?", max_tokens=1)
    list(reply)
    assert reply.started is not None
    assert reply.started.group_ids == (0, 1, 2, 4, 5)


def test_a_renewal_that_cannot_be_done_at_all_is_told_to_whoever_waits(
    model: FailingModel, engine: Engine, stream: Stream
) -> None:
    model.bad_ids = TEXT.encode("system")
    with pytest.raises(RequestError, match=r"renewal: .* these tokens"):
        stream.renew(WAIT_S)
    assert "".join(stream.ask("Red?", max_tokens=2)), "on the window as it was"
    model.bad_ids = ()
    stream.renew(WAIT_S)


def test_what_comes_after_a_stream_was_closed_is_told_so(engine: Engine, stream: Stream) -> None:
    go_on = held_up(engine)
    closing = threading.Thread(target=stream.close)
    closing.start()
    until(lambda: len(engine._inbox) == 1)
    reply, judged, group = stream.ask("Red?"), stream.judge_soon(["It is red."]), stream.append(made_group(6, 6.0))
    go_on()
    with pytest.raises(ClosedError, match="'front': closed"):
        list(reply)
    for future in (judged, group):
        with pytest.raises(ClosedError, match="'front': closed"):
            future.result(WAIT_S)
    closing.join(WAIT_S)


def test_half_a_surrogate_pair_is_refused_before_it_is_asked(stream: Stream) -> None:
    with pytest.raises(PromptError, match="question: expected Unicode text, got half of a surrogate pair at character 1"):
        stream.ask("a\ud800")
    with pytest.raises(PromptError, match="Unicode"):
        stream.judge(["It is \udfff."])


def test_a_pool_takes_back_what_nobody_holds_and_says_when_somebody_lost_a_page(model: FailingModel) -> None:
    pool = PagePool(model.config.text, num_pages=4, page_tokens=4)
    kept, lost = pool.take(2), pool.take(1)
    pool.share(kept)
    assert pool.reconcile({kept[0]: 2, kept[1]: 1}) == 2
    assert pool.num_used == 2
    assert pool.take(1) == lost
    pool.release(kept)
    with pytest.raises(PoolError, match=rf"page {kept[0]}: expected 2 holders, got 1"):
        pool.reconcile({kept[0]: 2, lost[0]: 1})
    pool.reset()
    assert pool.num_used == 0


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    asked=st.lists(st.sampled_from(["Red?", f"{BAD}?", "~?", "Blue?"]), min_size=1, max_size=6),
    groups=st.lists(st.booleans(), max_size=4),
    judged=st.lists(st.sampled_from(["Red?", f"{BAD}?", "~?"]), max_size=3),
    step_tokens=st.sampled_from([16, 40, 256]),
)
def test_in_any_mixture_only_what_raises_fails_and_every_page_comes_back(
    asked: list[str], groups: list[bool], judged: list[str], step_tokens: int
) -> None:
    model = failing_model()
    model.bad_ids, model.nan_ids = TEXT.encode(BAD), TEXT.encode("~")
    scheduler = Scheduler(model, TEXT, EngineSettings(session=LIMITS, max_streams=1, step_tokens=step_tokens), poison=True)
    stream = scheduler.open("front")
    arrivals = [
        PendingGroup(group=made_group(index, float(index)) if good else white(index), future=Future())
        for index, good in enumerate(groups)
    ]
    for arrival in arrivals:
        scheduler.append(stream, arrival)
    outputs = [_asked(scheduler, stream, text) for text in asked]
    requests = [_judged(scheduler, stream, text) for text in judged]
    for _ in range(500):
        if not scheduler.has_work:
            break
        scheduler.step()
    assert not scheduler.has_work
    for arrival, good in zip(arrivals, groups, strict=True):
        assert (arrival.future.exception() is None) is good
    for text, items in zip(asked, outputs, strict=True):
        (ended,) = [item for item in items if isinstance(item, AnswerEnded)]
        assert (ended.error is None) is (text in ("Red?", "Blue?"))
    for text, request in zip(judged, requests, strict=True):
        assert (request.future.exception() is None) is (text == "Red?")
    scheduler.close(stream)
    assert scheduler.pool.num_used == 0


def _asked(scheduler: Scheduler, stream: StreamState, text: str) -> list[Output]:
    outputs: list[Output] = []
    scheduler.ask(
        AnswerRequest(stream=stream, tail=question_tokens(TEXT, text), sampling=Sampling(max_tokens=3), emit=outputs.append)
    )
    return outputs


def _judged(scheduler: Scheduler, stream: StreamState, text: str) -> ScoreRequest:
    request = ScoreRequest(stream=stream, tails=[question_tokens(TEXT, text)], future=Future())
    scheduler.judge(request)
    return request
