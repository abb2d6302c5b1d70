"""A device that has become unusable: the engine begins again with the same streams, three times in a minute at most."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from engine_fixtures import LIMITS, WAIT_S
from failing_model import FailingModel, device_fault, failing_model
from small_model import byte_tokenizer, made_group, small_model
from waiting import until

from ov2.engine import Engine, EngineSettings, Stream
from ov2.engine.restarts import WITHIN_S, Restarts
from ov2.errors import DeviceError, RestartError, SessionError

TOLERANCE = 2e-4
TEXT = byte_tokenizer()


@pytest.fixture
def model() -> FailingModel:
    return failing_model()


@pytest.fixture
def engine(model: FailingModel) -> Iterator[Engine]:
    with Engine(model, EngineSettings(session=LIMITS, max_streams=3), text=TEXT) as engine:
        yield engine


def filled(engine: Engine, name: str, count: int = 6) -> Stream:
    stream = engine.open(name)
    for index in range(count):
        stream.append(made_group(index, float(index), seed=len(name)))
    stream.wait(WAIT_S)
    return stream


def margins(stream: Stream) -> torch.Tensor:
    """Log-odds of several statements: as exact as the logits that they follow from."""
    return torch.tensor(stream.judge([f"It is {word}." for word in ("red", "blue", "green", "there")]))


def seen(stream: Stream) -> tuple[int, ...]:
    reply = stream.ask("Red?", max_tokens=1)
    list(reply)
    assert reply.started is not None
    return reply.started.group_ids


def test_after_a_fault_sessions_equal_an_unbroken_run(model: FailingModel, engine: Engine) -> None:
    front, back = filled(engine, "front"), filled(engine, "back", 4)
    model.faults.append(device_fault())
    with pytest.raises(RestartError, match=r"has begun again .*illegal memory access.*; ask again"):
        list(front.ask("Red?"))
    for stream, count in ((front, 6), (back, 4)):
        stream.append(made_group(count, float(count), seed=len(stream.name)))
    assert engine.stats().restarts == 1
    with Engine(small_model(), EngineSettings(session=LIMITS, max_streams=3), text=TEXT) as unbroken:
        for stream, count in ((front, 7), (back, 5)):
            expected = filled(unbroken, stream.name, count)
            assert (margins(stream) - margins(expected)).abs().max() < TOLERANCE
            assert list(stream.ask("Red?", max_tokens=12)) == list(expected.ask("Red?", max_tokens=12))
            assert seen(stream) == tuple(range(count))
            assert stream.window == (0.0, float(count))
    assert engine.stats().groups == 12, "what comes back is not counted again"
    assert engine.alive


def test_after_a_fault_a_window_that_has_moved_on_equals_a_renewed_one(model: FailingModel, engine: Engine) -> None:
    stream = filled(engine, "front", 30)
    kept = seen(stream)
    assert kept[0] > 0
    model.faults.append(device_fault())
    with pytest.raises(RestartError):
        stream.judge(["It is red."])
    assert seen(stream) == kept
    with Engine(small_model(), EngineSettings(session=LIMITS, max_streams=3), text=TEXT) as unbroken:
        expected = filled(unbroken, "front", 30)
        expected.renew(WAIT_S)
        assert (margins(stream) - margins(expected)).abs().max() < TOLERANCE


def test_groups_on_their_way_are_not_lost(model: FailingModel, engine: Engine) -> None:
    stream = filled(engine, "front", 2)
    model.faults.append(device_fault())
    futures = [stream.append(made_group(index, float(index))) for index in range(2, 9)]
    assert [future.result(WAIT_S).group_id for future in futures] == list(range(2, 9))
    assert seen(stream) == tuple(range(9))
    assert engine.stats().restarts == 1
    assert engine.stats().shed == {}


def test_a_group_that_breaks_the_device_every_time_is_left_out_at_last(model: FailingModel, engine: Engine) -> None:
    stream = engine.open("front")
    model.bad_ids, model.trouble = TEXT.encode("<0.0 seconds>"), device_fault
    broken = stream.append(made_group(0, 0.0))
    with pytest.raises(RestartError):
        broken.result(WAIT_S)
    model.bad_ids = ()
    assert stream.append(made_group(1, 1.0)).result(WAIT_S).group_id == 1
    assert engine.stats().restarts == 3


def test_a_fault_while_beginning_again_counts_as_one_more(model: FailingModel, engine: Engine) -> None:
    stream = filled(engine, "front")
    model.faults.extend([device_fault(), RuntimeError("still not there")])
    with pytest.raises(RestartError):
        list(stream.ask("Red?"))
    assert seen(stream) == tuple(range(6))
    assert engine.stats().restarts == 2


def test_a_page_that_was_given_away_is_a_fault(model: FailingModel, engine: Engine) -> None:
    stream = filled(engine, "front")
    pool = engine.call(lambda: stream._state.pool)
    (page,) = stream._state.window.context.segments[2].pages[:1]
    engine.call(lambda: pool.release([page]))
    with pytest.raises(RestartError, match=rf"PoolError: page {page}: expected a holder, got none"):
        list(stream.ask("Red?"))
    assert engine.stats().restarts == 1
    assert seen(stream) == tuple(range(6))


def test_a_fourth_fault_within_a_minute_ends_the_engine(model: FailingModel) -> None:
    outputs: list[BaseException] = []
    engine = Engine(model, EngineSettings(session=LIMITS, max_streams=1), text=TEXT, on_failure=outputs.append)
    stream = filled(engine, "front", 1)
    for _ in range(3):
        model.faults.append(device_fault())
        with pytest.raises(RestartError):
            list(stream.ask("Red?"))
        stream.wait(WAIT_S)
    assert "".join(stream.ask("Red?", max_tokens=2))
    model.faults.append(device_fault())
    waiting = stream.judge_soon(["It is red."])
    with pytest.raises(SessionError, match="has failed"):
        waiting.result(WAIT_S)
    until(lambda: not engine.alive)
    assert isinstance(outputs[0], DeviceError)
    with pytest.raises(SessionError, match="has failed"):
        stream.ask("Red?")
    assert engine.stats().pages_used == 0
    assert engine.stats().restarts == 3
    engine.close()


def test_restarts_of_more_than_a_minute_ago_do_not_count() -> None:
    now_s = iter((0.0, 20.0, 40.0, WITHIN_S - 1, WITHIN_S, WITHIN_S))
    restarts = Restarts(lambda: next(now_s))
    assert [restarts.take() for _ in range(3)] == [True] * 3
    assert not restarts.take()
    assert restarts.take(), "the first is a minute old"
    assert not restarts.take()
