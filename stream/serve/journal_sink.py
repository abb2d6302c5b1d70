"""A question and its answer are written to the journal on their way to whoever asked.

In: what becomes of a question. Out: the same to the asker's sink, and two entries: the question when it is taken up, and what became of it.
"""

from __future__ import annotations

from collections.abc import Callable

from stream.camera.answer import answer
from stream.camera.question import Finished, Item, Piece, Question, Refused
from stream.serve.delivery import Delivery


class JournalSink:
    """The sink of one question, in front of the asker's `sink`. Called by the engine's thread; writing waits for nothing."""

    def __init__(self, delivery: Delivery, sink: Callable[[Question, Item], None], via: str) -> None:
        self._delivery, self._sink, self._via = delivery, sink, via
        self._is_written = False

    def __call__(self, question: Question, item: Item) -> None:
        if not self._is_written and not isinstance(item, Piece):
            self._is_written = True
            self._delivery.question(question.camera, question.id, question.text, self._via)
        if isinstance(item, Finished):
            self._delivery.answer(question.camera, question.id, answer(question, item).model_dump(), self._via)
        elif isinstance(item, Refused):
            body: dict[str, object] = {"camera": question.camera, "question": question.text, **item.error.body()}
            self._delivery.answer(question.camera, question.id, body, self._via)
        self._sink(question, item)
