"""One question to one source, without a service: open, watch, ask, close.

In: a model, a URL, a question. Out: the answer's pieces, then the `Answer`. It goes through the same feed as the service.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator

from ov2.engine import Engine, EngineSettings
from ov2.model import OV2Model
from ov2.sampling import Sampling
from stream.camera.answer import Answer, answer
from stream.camera.errors import NotReadyError
from stream.camera.pipeline import CameraPipeline
from stream.camera.question import Finished, Item, Piece, Question, Refused
from stream.camera.tokenizing import LocalTokenizer, TokenizingSettings
from stream.errors import SourceError
from stream.sources import open_source, redact
from stream.tokenizer.settings import settings_from

WATCH_S = 10.0
"""How much of a live camera is watched before the question is asked."""


def ask_source(
    model: OV2Model, url: str, text: str, *, seconds: float | None = None, sampling: Sampling | None = None
) -> Iterator[str | Answer]:
    """Watch `seconds` of `url` (default: a file whole, a camera 10 s) and ask.

    Raises `SourceError` when it cannot be opened or shows nothing, `QuestionError` for a question that cannot be asked.
    """
    tokenizing = settings_from(model.stream_settings.get("tokenizer", {}))
    tokenizer = LocalTokenizer(TokenizingSettings(name=redact(url), tokenizer=tokenizing, boundary=None))
    items: queue.SimpleQueue[Item] = queue.SimpleQueue()
    question = Question(redact(url), text.strip(), sampling or Sampling(), lambda _, item: items.put(item))
    with Engine(model, EngineSettings(max_streams=1)) as engine:
        feed = CameraPipeline(redact(url), tokenizer, engine.open(redact(url)))
        with open_source(url) as source:
            until_s = seconds if seconds is not None else WATCH_S if source.address.is_live else float("inf")
            for packet in source:
                if feed.push([packet]).groups:
                    feed.wait()
                if packet.media_s >= until_s:
                    break
        question.asked_at = time.perf_counter()
        try:
            feed.ask(question)
        except NotReadyError:
            raise SourceError(f"{redact(url)}: expected at least one frame, got none") from None
        while True:
            match items.get():
                case Piece(piece):
                    yield piece
                case Finished() as finished:
                    yield answer(question, finished)
                    return
                case Refused(error):
                    raise error
