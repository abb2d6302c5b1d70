"""A question over older groups: what it reads is exact, and the session never notices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from repository import GOLDEN
from small_model import byte_tokenizer, made_group

from ov2.canvas import CanvasGroup
from ov2.engine import Engine, EngineSettings
from ov2.engine.stream import Stream
from ov2.errors import PromptError
from ov2.model import OV2Model
from ov2.sampling import Sampling
from ov2.session_settings import SessionSettings
from stream.camera.question import Question as Asked
from stream.camera.recall import Recall
from stream.memory import Memory, MemorySettings, Summariser

DATA = GOLDEN / "ov2_tiny"
TEXT = byte_tokenizer()
LIMITS = SessionSettings(
    window_tokens=240,
    branch_tokens=160,
    recall_tokens=80,
    max_positions=600,
    window_s=12.0,
    max_timestamp_s=20.0,
    page_tokens=16,
)


@pytest.fixture(scope="module")
def model() -> OV2Model:
    return OV2Model.from_pretrained(DATA)


@pytest.fixture
def engine(model: OV2Model) -> Iterator[Engine]:
    with Engine(model, EngineSettings(session=LIMITS, num_pages=200), text=TEXT) as engine:
        yield engine


def older(count: int, first_s: float = 0.0) -> list[CanvasGroup]:
    return [made_group(500 + index, first_s + index, canvases=1, size=(28, 28)) for index in range(count)]


def filled(engine: Engine, name: str, first_s: float = 600.0, count: int = 6) -> Stream:
    stream = engine.open(name)
    for index in range(count):
        stream.append(made_group(index, first_s + index, canvases=1, size=(28, 56))).result(20)
    return stream


def said(stream: Stream, question: str = "What?", **options: object) -> str:
    return "".join(stream.ask(question, max_tokens=6, min_tokens=6, **options))  # type: ignore[arg-type]


def test_older_groups_read_as_in_a_session_that_began_there(engine: Engine) -> None:
    past = older(3, first_s=100.0)
    began_there = engine.open("past")
    for group in past:
        began_there.append(group).result(20)
    expected = said(began_there)
    began_there.renew(20)
    now = filled(engine, "now")
    reply = now.ask("What?", recalled=past, max_tokens=6, min_tokens=6)
    assert "".join(reply) == expected
    assert reply.started is not None
    assert reply.started.window == (100.0, 103.0)
    assert (reply.started.zero_s, reply.started.num_recalled, reply.started.group_ids) == (100.0, 3, ())


def test_beside_the_window_both_are_seen(engine: Engine) -> None:
    stream = filled(engine, "now")
    reply = stream.ask("What?", recalled=older(2), beside=True, max_tokens=6, min_tokens=6)
    both = "".join(reply)
    assert reply.started is not None
    assert reply.started.window == (0.0, 606.0)
    assert reply.started.group_ids == (0, 1, 2, 3, 4, 5)
    assert both != said(stream)


def test_the_session_is_unchanged_after_a_recall(engine: Engine) -> None:
    stream = filled(engine, "now")
    before, tokens = said(stream), stream.num_tokens
    margins = stream.judge(["Is it?"])
    for beside in (False, True):
        said(stream, recalled=older(2), beside=beside)
    assert (said(stream), stream.num_tokens) == (before, tokens)
    assert stream.judge(["Is it?"]) == margins


def test_all_pages_come_back_after_recalls_and_cancelled_ones(engine: Engine) -> None:
    stream = filled(engine, "now")
    used = engine.stats().pages_used
    replies = [stream.ask("What?", recalled=older(3), beside=index % 2 == 0, max_tokens=40) for index in range(6)]
    for reply in replies[::2]:
        reply.close()
    for reply in replies:
        list(reply)
    assert engine.stats().pages_used == used
    stream.close()
    assert engine.stats().pages_used == 0


def test_a_recall_that_does_not_fit_is_refused_and_says_what_to_set(engine: Engine) -> None:
    stream = filled(engine, "now")
    with pytest.raises(PromptError, match="recall_tokens"):
        said(stream, recalled=older(6), beside=True)
    with pytest.raises(PromptError, match="window_tokens"):
        said(stream, recalled=older(20))
    with pytest.raises(PromptError, match="order of time"):
        said(stream, recalled=older(3)[::-1])
    with pytest.raises(PromptError, match="within 20 s"):
        said(stream, recalled=[*older(1), *older(1, first_s=60.0)])
    assert said(stream)


def test_the_open_group_is_looked_at_before_anything_is_called_unseen(engine: Engine, tmp_path: Path) -> None:
    stream = engine.open("front")
    closed, peek = made_group(0, 0.0, seed=1), made_group(1, 1.0, seed=2)
    shown = [stream.encode(group).vision_tokens.numpy() for group in (closed, peek)]
    word_D = shown[1].mean(0) - shown[0].mean(0)
    seen_at = float((shown[1] @ word_D).max() + (shown[0] @ word_D).max()) / 2
    basis = np.eye(len(word_D), dtype=np.float32)
    summariser = Summariser(basis_DB=basis, words=("dog",), words_WB=word_D[None], seen_at=seen_at)
    with Memory(tmp_path, MemorySettings(max_age_days=36_500.0), summariser=summariser) as memory:
        remember = Recall(memory, stream)
        remember.keep(closed, stream.append(closed))
        question = Asked("front", "When did the dog come?", Sampling(), lambda item: None)

        def looked(open_group: CanvasGroup | None) -> bool:
            back = remember.look_back(question, now=closed.wall_s + 5, media_zero=1_700_000_000.0, peek=lambda: open_group)
            return back.plan.not_seen

        assert looked(None)
        assert not looked(peek)


def test_only_groups_of_the_window_inside_since_and_until_are_seen(engine: Engine) -> None:
    stream = filled(engine, "now")
    reply = stream.ask("What?", since_s=601.5, until_s=604.0, max_tokens=2)
    list(reply)
    assert reply.started is not None
    assert reply.started.group_ids == (1, 2, 3)
    assert reply.started.window == (601.0, 604.0)
