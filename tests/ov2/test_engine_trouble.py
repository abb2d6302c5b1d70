"""An engine's life after trouble: readers that leave, listeners that fail, memory that runs out, a bug, an end."""

from __future__ import annotations

import gc
import itertools
from concurrent.futures import Future
from typing import Any

import pytest
import torch
from engine_fixtures import LIMITS, WAIT_S, engine, model, stream, text
from small_model import made_group
from waiting import until

from ov2.engine import Engine, EngineSettings, Stream, canvas_encoder, scheduler
from ov2.engine.work import Output, PendingGroup
from ov2.errors import PagesError, SessionError
from ov2.model import OV2Model
from ov2.text import TextTokenizer

__all__ = ["engine", "model", "stream", "text"]


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
    def fail(item: Output) -> None:
        raise ValueError("a listener's bug")

    stream.submit("Red?", fail)
    assert "".join(stream.ask("Blue?", max_tokens=3))
    until(lambda: engine.num_questions == 0)
    assert engine.alive
    assert "a listener failed" in caplog.text


def test_a_group_that_is_cancelled_while_it_waits_touches_nobody(engine: Engine, stream: Stream) -> None:
    for index in range(6, 60):
        stream.append(made_group(index, float(index))).cancel()
    stream.wait(WAIT_S)
    assert engine.alive
    assert "".join(stream.ask("Red?", max_tokens=3))


@pytest.mark.parametrize("where", ["forward", "encode"])
def test_out_of_memory_is_survived(where: str, model: OV2Model, text: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    module = {"forward": scheduler, "encode": canvas_encoder}[where]
    works, left = getattr(module, where), [5]

    def fail(*arguments: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("out of memory")
        return works(*arguments)

    with Engine(model, EngineSettings(session=LIMITS, max_streams=1), text=text) as engine:
        stream = engine.open("front")
        monkeypatch.setattr(module, where, fail)
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
    works = scheduler.forward

    def fail(*_: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(scheduler, "forward", fail)
    with pytest.raises(SessionError, match="out of memory"):
        list(stream.ask("Red?"))
    monkeypatch.setattr(scheduler, "forward", works)
    assert "".join(stream.ask("Red?", max_tokens=3))


def test_a_renewal_that_finds_no_memory_fails_for_whoever_waits_and_leaves_the_window(
    stream: Stream, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.wait(WAIT_S)
    window, pages, works = stream.window, engine.stats().pages_used, scheduler.forward

    def fail(*_: Any) -> Any:
        raise torch.OutOfMemoryError("one byte")

    monkeypatch.setattr(scheduler, "forward", fail)
    with pytest.raises(SessionError, match="out of memory: one byte"):
        stream.renew(WAIT_S)
    monkeypatch.setattr(scheduler, "forward", works)
    assert (stream.window, engine.stats().pages_used) == (window, pages)
    stream.renew(WAIT_S)
    assert engine.stats().renewals == 1


def test_a_renewal_that_finds_no_page_fails_for_whoever_waits_and_leaves_the_window(stream: Stream, engine: Engine) -> None:
    stream.wait(WAIT_S)
    window, pool = stream.window, engine.call(lambda: stream._state.pool)
    away = engine.call(lambda: pool.take(pool.num_pages - pool.num_used))
    with pytest.raises(PagesError, match="set num_pages higher"):
        stream.renew(WAIT_S)
    engine.call(lambda: pool.release(away))
    assert stream.window == window
    stream.renew(WAIT_S)
    assert engine.stats().renewals == 1


def test_a_background_renewal_that_finds_no_memory_waits_until_somebody_needs_it(
    model: OV2Model, text: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = scheduler.Scheduler(model, text, EngineSettings(session=LIMITS, max_streams=1))
    front, works = steps.open("front"), scheduler.forward
    for index in itertools.count():
        steps.append(front, PendingGroup(group=made_group(index, float(index)), future=Future()))
        while front.num_settled < front.num_taken:
            steps.step()
        if front.window.renewal_due():
            break

    def fail(*_: Any) -> Any:
        raise torch.OutOfMemoryError("one byte")

    monkeypatch.setattr(scheduler, "forward", fail)
    for _ in range(50):
        steps.step()
    assert not steps.has_work
    assert steps.stats().shed["out_of_memory"] == 1
    monkeypatch.setattr(scheduler, "forward", works)
    renewed: Future[None] = Future()
    steps.renew(front, renewed)
    while not renewed.done():
        steps.step()
    assert front.window.num_renewals == 1


def test_a_bug_in_every_pass_reaches_everybody_who_waits_and_the_engine_goes_on(
    engine: Engine, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.wait(WAIT_S)
    pages, works = engine.stats().pages_used, scheduler.forward

    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(scheduler, "forward", fail)
    replies = [stream.ask("Red?") for _ in range(3)]
    for reply in replies:
        with pytest.raises(SessionError, match="a bug"):
            list(reply)
    with pytest.raises(SessionError, match="a bug"):
        stream.judge(["It is red."])
    monkeypatch.setattr(scheduler, "forward", works)
    assert "".join(stream.ask("Red?", max_tokens=3))
    until(lambda: engine.stats().pages_used == pages)
    assert engine.stats().restarts == 0


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
