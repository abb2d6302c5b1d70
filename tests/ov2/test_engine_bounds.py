"""What an engine refuses or leaves out, and what to set: streams, questions, groups, statements, settings."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from engine_fixtures import LIMITS, WAIT_S, engine, model, stream, text
from small_model import made_group
from waiting import until

from ov2.engine import Engine, EngineSettings, Stream, admission, canvas_encoder
from ov2.engine.settings import require_kernels
from ov2.errors import CapacityError, CheckpointError, PromptError, SessionError
from ov2.model import OV2Model
from ov2.pages import PagePool
from ov2.session_settings import SessionSettings
from ov2.text import TextTokenizer

__all__ = ["engine", "model", "stream", "text"]


def test_statements_that_come_too_late_are_told_so(engine: Engine, stream: Stream) -> None:
    stream.wait(WAIT_S)
    with pytest.raises(CapacityError, match="in time"):
        stream.judge(["Is it red?"], within_s=-1.0)
    assert engine.stats().shed["statements"] == 1


def test_a_stream_too_many_is_refused_with_what_to_set(engine: Engine) -> None:
    needed = admission.reserved_pages(engine.open("camera0").limits)
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


def test_when_the_device_is_behind_the_oldest_group_is_skipped(
    model: OV2Model, text: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = threading.Event(), threading.Event()
    encode = canvas_encoder.encode

    def slow(*arguments: Any) -> Any:
        reached.set()
        go_on.wait(WAIT_S)
        return encode(*arguments)

    monkeypatch.setattr(canvas_encoder, "encode", slow)
    with Engine(model, EngineSettings(session=LIMITS, max_streams=1, max_waiting_groups=3), text=text) as engine:
        stream = engine.open("front")
        futures = [stream.append(made_group(0, 0.0))]
        assert reached.wait(WAIT_S), "it is at the encoder"
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
