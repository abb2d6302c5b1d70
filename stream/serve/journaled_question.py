"""A question and its answer, written to the journal on their way to whoever asked.

In: what the engine tells of a question. Out: the same to the asker, and two entries: the question when it is taken up, and what
became of it.
"""

from __future__ import annotations

from collections.abc import Callable

from stream.camera.answer import answer
from stream.camera.question import Finished, Item, Piece, Question, Refused, Started
from stream.serve.delivery import Delivery


class JournaledQuestion:
    """`question` is set before the question is asked; `tell` takes the asker's place."""

    question: Question

    def __init__(self, delivery: Delivery, tell: Callable[[Item], None], via: str) -> None:
        self._delivery, self._tell, self._via = delivery, tell, via
        self._is_written = False

    def tell(self, item: Item) -> None:
        """Called by the engine's thread. Writing waits for nothing."""
        question = self.question
        if not self._is_written and not isinstance(item, Piece):
            self._is_written = True
            self._delivery.question(question.camera, question.id, question.text, self._via)
        match item:
            case Finished():
                self._delivery.answer(question.camera, question.id, answer(question, item).model_dump(), self._via)
            case Refused(error):
                body: dict[str, object] = {"camera": question.camera, "question": question.text, **error.body()}
                self._delivery.answer(question.camera, question.id, body, self._via)
            case Started() | Piece():
                pass
        self._tell(item)
