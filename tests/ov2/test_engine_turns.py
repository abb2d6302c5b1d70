"""Who comes when: cameras take turns, renewals hold up no answer, and those short of pages wait for each other."""

from __future__ import annotations

from concurrent.futures import Future

import pytest
from engine_fixtures import LIMITS, WAIT_S, model, text
from small_model import made_group

from ov2.engine import Engine, EngineSettings, admission, scheduler
from ov2.engine.stream_state import AnswerRequest, StreamState
from ov2.engine.work import AnswerEnded, AnswerStarted, Output, PendingGroup
from ov2.errors import SessionError
from ov2.model import OV2Model
from ov2.prompt import question_tokens
from ov2.sampling import Sampling
from ov2.session_settings import SessionSettings
from ov2.text import TextTokenizer

__all__ = ["model", "text"]


class _Outputs:
    """What was emitted of questions, in order, by a scheduler that a test drives step by step."""

    def __init__(self, scheduler_: scheduler.Scheduler, text: TextTokenizer) -> None:
        self.items: list[tuple[str, Output]] = []
        self._scheduler, self._text = scheduler_, text

    def ask(self, name: str, stream: StreamState, max_tokens: int = 3) -> None:
        self._scheduler.ask(
            AnswerRequest(
                stream=stream,
                tail=question_tokens(self._text, "Red?"),
                sampling=Sampling(max_tokens=max_tokens, min_tokens=max_tokens),
                emit=lambda item: self.items.append((name, item)),
            )
        )

    def names(self, kind: type) -> list[str]:
        return [name for name, item in self.items if isinstance(item, kind)]


def test_cameras_take_turns(model: OV2Model, text: TextTokenizer) -> None:
    steps = scheduler.Scheduler(model, text, EngineSettings(session=LIMITS, max_streams=2, max_answers=1))
    busy, quiet = steps.open("busy"), steps.open("quiet")
    outputs = _Outputs(steps, text)
    for _ in range(5):
        outputs.ask("busy", busy)
    outputs.ask("quiet", quiet)
    for index in range(6):
        steps.append(busy, PendingGroup(group=made_group(index, float(index)), future=Future()))
    steps.append(quiet, PendingGroup(group=made_group(0, 0.0), future=Future()))
    while steps.has_work:
        steps.step()
        assert quiet.num_settled or busy.num_settled <= 2
    order = outputs.names(AnswerStarted)
    assert len(order) == 6
    assert order.index("quiet") <= 1


def test_a_renewal_in_the_background_holds_up_no_answer(model: OV2Model, text: TextTokenizer) -> None:
    steps = scheduler.Scheduler(model, text, EngineSettings(session=LIMITS, max_streams=1, step_tokens=16))
    stream = steps.open("front")
    outputs = _Outputs(steps, text)
    index = 0
    while not stream.window.renewal_due():
        steps.append(stream, PendingGroup(group=made_group(index, float(index)), future=Future()))
        index += 1
        while stream.num_settled < stream.num_taken:
            steps.step()
    while stream.renewal is None:
        steps.step()
    outputs.ask("front", stream)
    while not outputs.names(AnswerEnded):
        steps.step()
    assert stream.renewal is not None
    assert stream.window.num_renewals == 0
    assert steps.stats().shed["renewal_waits"] > 0
    while steps.has_work:
        steps.step()
    assert stream.window.num_renewals == 1


def test_answers_share_too_few_pages_one_after_another(model: OV2Model, text: TextTokenizer) -> None:
    limits = SessionSettings(window_tokens=100, branch_tokens=60, max_positions=400, page_tokens=16)
    reserved = admission.reserved_pages(limits.resolve(max_positions=400, max_timestamp_s=1e9))
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
    reserved = admission.reserved_pages(limits.resolve(max_positions=400, max_timestamp_s=1e9))
    statements = [f"It is number {index}." for index in range(40)]
    margins = []
    for num_pages in (reserved, 40 * reserved):
        with Engine(model, EngineSettings(session=limits, num_pages=num_pages, step_tokens=2048), text=text) as engine:
            stream = engine.open("front")
            stream.append(made_group(0, 0.0, canvases=1)).result(WAIT_S)
            margins.append(stream.judge(statements))
            assert (engine.stats().shed.get("out_of_pages", 0) > 0) == (num_pages == reserved)
    assert margins[0] == pytest.approx(margins[1], abs=1e-4)
