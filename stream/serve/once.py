"""One question to one source, without a service: open, watch, ask, close.

In: a model, a URL, a question. Out: the answer's pieces, then the `Answer`. It goes through the same feed as the service.
"""

from __future__ import annotations

from collections.abc import Iterator

from ov2.model import OV2Model
from ov2.session import Session
from stream.errors import SourceError
from stream.serve.feed import Feed
from stream.serve.question import Finished, Question, Sampling, Timings
from stream.serve.wire import Answer, answer
from stream.sources import open_source, redact
from stream.tokenizer.settings import settings_from
from stream.tokenizer.tokenizer import Tokenizer

WATCH_S = 10.0
"""How much of a live camera is watched before the question is asked."""


def ask_source(
    model: OV2Model, url: str, text: str, *, seconds: float | None = None, sampling: Sampling | None = None
) -> Iterator[str | Answer]:
    """Watch `seconds` of `url` (default: a file whole, a camera 10 s) and ask.

    Raises `SourceError` when it cannot be opened or shows nothing, `PromptError` for a question that cannot be asked.
    """
    tokenizer = Tokenizer(settings_from(model.stream_settings.get("tokenizer", {})))
    feed = Feed(redact(url), tokenizer, Session(model), pending_groups=1)
    with open_source(url) as source:
        until_s = seconds if seconds is not None else WATCH_S if source.address.is_live else float("inf")
        for packet in source:
            feed.push(packet)
            while feed.append_one():
                pass
            if packet.media_s >= until_s:
                break
    question = Question(redact(url), text.strip(), sampling or Sampling(), lambda item: None)
    begun = feed.ask(question.text, question.sampling)
    if begun is None:
        raise SourceError(f"{redact(url)}: expected at least one frame, got none")
    seen, writing = begun
    catch_up_ms, first_token_ms = question.elapsed_ms(), 0.0
    for piece in writing:
        first_token_ms = first_token_ms or question.elapsed_ms()
        yield piece
    timings = Timings(queue_ms=0.0, catch_up_ms=catch_up_ms, first_token_ms=first_token_ms, total_ms=question.elapsed_ms())
    yield answer(question, Finished(writing.text.strip(), writing.finish_reason or "stop", writing.num_tokens, seen, timings))
