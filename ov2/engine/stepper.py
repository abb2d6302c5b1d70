"""A scheduler that its caller drives, in the place of the engine and its thread.

In: work from one thread, done at once. Out: what becomes of it; steps run only while the caller waits for something.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from ov2.engine.scheduler import Scheduler
from ov2.engine.stream_state import AnswerRequest, StreamState
from ov2.engine.work import Output

Result = TypeVar("Result")


class Stepper:
    """A `Driver` (`ov2.engine.stream`). Every wait ends: what no step can get on with fails, and says why."""

    alive = True
    has_ended = False

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_stepping = False

    def call(self, work: Callable[[], Result]) -> Result:
        return work()

    def post(self, work: Callable[[], None]) -> None:
        work()

    def wait(self, future: Future[Result]) -> Result:
        """Step until the future is set."""
        while not future.done():
            self._step()
        return future.result()

    def settle(self, state: StreamState) -> None:
        """Step until nothing of a stream waits, renewals in the background included; where one cannot get on, it is left for later."""
        while state.has_work and self._step():
            pass

    def next_output(self, outputs: queue.SimpleQueue[Output]) -> Output:
        while outputs.empty():
            self._step()
        return outputs.get()

    def cancel(self, question: AnswerRequest) -> None:
        """Its pages come back at once; or at the next step, where a reply is collected in the middle of one."""
        question.cancelled = True
        if not self._is_stepping:
            self._scheduler.drop_cancelled()

    def take_question(self) -> None:
        """As many as the caller likes."""

    def end_question(self) -> None:
        """Nobody counts them."""

    def _step(self) -> bool:
        self._is_stepping = True
        try:
            return self._scheduler.step()
        finally:
            self._is_stepping = False
