"""What an engine answers: each as alone, over what came before it, and nothing of other streams."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from engine_fixtures import LIMITS, WAIT_S, engine, model, stream, text
from small_model import made_group
from waiting import until

from ov2.engine import Engine, EngineSettings, Stream
from ov2.engine.graphs import DecodeGraphs
from ov2.errors import PromptError
from ov2.forward import forward
from ov2.kv_sequence import KVSequence
from ov2.model import OV2Model
from ov2.pages import PagePool
from ov2.prompt import system_tokens
from ov2.session import Session
from ov2.text import TextTokenizer

__all__ = ["engine", "model", "stream", "text"]


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


def test_a_session_and_a_stream_keep_the_same_window_at_every_group(model: OV2Model, text: TextTokenizer) -> None:
    limits = replace(LIMITS, max_positions=1000)
    session = Session(model, limits, text)
    with Engine(model, EngineSettings(session=limits, max_streams=1), text=text) as engine:
        stream = engine.open("front")
        for index in range(40):
            group = made_group(index, float(index))
            session.append(group)
            stream.append(group).result(WAIT_S)
            until(lambda: not engine.call(lambda: engine._scheduler.has_work))
            window = engine.call(lambda: stream._state.window)
            assert (session.num_tokens, session.num_positions, session.window, session.zero_s) == (
                window.num_tokens,
                window.num_positions,
                window.span_s,
                window.zero_s,
            )
            assert (session.num_renewals, session.num_dropped) == (window.num_renewals, window.num_dropped)
        assert session.num_renewals > 2
        question = "What is it?"
        assert list(session.ask(question, max_tokens=6)) == list(stream.ask(question, max_tokens=6))


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


def test_streams_do_not_see_each_other(engine: Engine, stream: Stream, model: OV2Model, text: TextTokenizer) -> None:
    other = engine.open("back")
    for index in range(3):
        other.append(made_group(index, float(index)))
    replies = stream.ask("Red?", max_tokens=6), other.ask("Red?", max_tokens=6)
    assert ["".join(reply) for reply in replies] == [said_by_a_session(model, text, "Red?", n, 6) for n in (6, 3)]


def test_an_empty_stream_answers_from_what_there_is(engine: Engine) -> None:
    stream = engine.open("empty")
    reply = stream.ask("Red?", max_tokens=4)
    assert "".join(reply)
    assert reply.window is None
    peeked = stream.ask("Red?", peek=made_group(0, 4.0), max_tokens=4)
    assert "".join(peeked)
    assert peeked.window == (4.0, 5.0)


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


def test_decoding_in_padded_steps_equals_decoding_as_it_comes(model: OV2Model, text: TextTokenizer) -> None:
    """What a CUDA graph replays, run without one."""
    pool = PagePool(model.config.text, num_pages=120, page_tokens=16)
    graphs = DecodeGraphs(model, pool, capture=False)
    contexts = []
    for seed in range(3):
        context = KVSequence(model, pool)
        context.append(system_tokens(text))
        context.append(text.encode("some more text " * (seed + 1)))
        contexts.append(context)
    for count in (3, 1, 2):
        scheduled = [context.more([70 + index]) for index, context in enumerate(contexts[:count])]
        assert graphs.takes(scheduled)
        expected = forward(model, pool, scheduled)
        for got, wanted in zip(graphs.run(scheduled), expected, strict=True):
            assert (got - wanted).abs().max() < 1e-4
        for context, each in zip(contexts, scheduled, strict=False):
            context.commit(each)
    sharing = [context.begin([70]) for context in (contexts[0].fork(), contexts[0].fork())]
    assert not graphs.takes(sharing)
    assert not graphs.takes([contexts[0].more([70, 71])])
