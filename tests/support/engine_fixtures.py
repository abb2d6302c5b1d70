"""A small model with its tokenizer, and an engine over it with one stream of six groups. No test in here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from small_model import byte_tokenizer, made_group, small_model

from ov2.engine import Engine, EngineSettings, Stream
from ov2.model import OV2Model
from ov2.session_settings import SessionSettings
from ov2.text import TextTokenizer

LIMITS = SessionSettings(window_tokens=400, branch_tokens=300, max_positions=2000, page_tokens=16)
WAIT_S = 60.0


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
