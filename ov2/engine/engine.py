"""The engine, and the one thread that owns the device.

In: work from any thread. Out: streams to use it through, figures. What is wanted of the device is put in the thread's inbox, and taken up
between two steps. When the device has become unusable, the thread begins again with the same streams.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import TypeVar

from ov2.engine.figures import EngineStats
from ov2.engine.restarts import Restarts
from ov2.engine.scheduler import Scheduler
from ov2.engine.settings import EngineSettings, require_kernels
from ov2.engine.stream import Stream
from ov2.engine.stream_state import AnswerRequest
from ov2.engine.work import Output
from ov2.errors import CapacityError, ClosedError, RestartError, SessionError
from ov2.model import OV2Model
from ov2.session_settings import SessionSettings
from ov2.text import TextTokenizer

log = logging.getLogger(__name__)
IDLE_S = 0.01
"""Wait after a step that could do nothing, though there is work: for pages, say, that another thread gives back."""
JOIN_S = 10.0
Result = TypeVar("Result")


class Engine:
    """`open` streams, use them from any thread, `close` it (or use it as a context manager).

    `text` defaults to the tokenizer of the model's folder. `on_failure` is told when the thread dies, of a device that is unusable
    again and again: everything that waited has failed then, with the reason.

    Raises `CheckpointError` for a checkpoint whose heads the device has no kernel for.
    """

    def __init__(
        self,
        model: OV2Model,
        settings: EngineSettings | None = None,
        *,
        text: TextTokenizer | None = None,
        on_failure: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self.settings = settings or EngineSettings()
        self.failure: BaseException | None = None
        require_kernels(model.config, model.device)
        self._text = model.tokenizer(text)
        self._scheduler = Scheduler(model, self._text, self.settings)
        self._on_failure = on_failure
        self._inbox: deque[Callable[[], None]] = deque()
        self._turn = threading.Condition()
        self._closing = False
        self._restarts = Restarts()
        self._num_questions = 0
        self._thread = threading.Thread(target=self._main, name="ov2-engine", daemon=True)
        self._thread.start()

    def open(self, name: str, settings: SessionSettings | None = None, *, max_waiting_groups: int | None = None) -> Stream:
        """A stream with an empty window, with the engine's settings where it has none of its own; waits for the device. Raises
        `CapacityError` when the pages are spoken for, `SessionError` for a name in use or settings that do not fit."""
        return Stream(
            self, self._scheduler, self._text, self.call(lambda: self._scheduler.open(name, settings, max_waiting_groups))
        )

    def stats(self) -> EngineStats:
        """Figures as of now."""
        return self._scheduler.stats() if self.has_ended else self.call(self._scheduler.stats)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and self.failure is None

    @property
    def num_questions(self) -> int:
        """Waiting and running."""
        return self._num_questions

    def refuse(self) -> None:
        """Take nothing more; all that waits or runs fails. Does not wait."""
        with self._turn:
            self._closing = True
            self._turn.notify()

    def close(self) -> None:
        """Refuse, and wait for the thread. Closing twice is fine."""
        self.refuse()
        if threading.current_thread() is not self._thread:
            self._thread.join(JOIN_S)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def has_ended(self) -> bool:
        """Whether it takes nothing more."""
        return self._closing or self.failure is not None or not self._thread.is_alive()

    def call(self, work: Callable[[], Result]) -> Result:
        """Run something between two steps, and wait for it."""
        future: Future[Result] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except Exception as error:  # noqa: BLE001  whatever it was, it belongs to the caller
                future.set_exception(error)

        self.post(run)
        return future.result()

    def post(self, work: Callable[[], None]) -> None:
        """Run something between two steps; does not wait. Raises `ClosedError`, or `SessionError` when the engine has failed."""
        with self._turn:
            if self.has_ended:
                raise self._ended()
            self._inbox.append(work)
            self._turn.notify()

    def _ended(self) -> SessionError:
        if self.failure is not None:
            return SessionError(f"engine: expected one that runs, got one that has failed ({self.failure})")
        return ClosedError("engine: expected an open one, got one that is closed")

    def _main(self) -> None:
        try:
            stepped = True
            while self._wait(stepped):
                try:
                    stepped = self._turn_once()
                except Exception as error:  # noqa: BLE001  the device is unusable, whatever showed it
                    self._begin_again(error)
                    stepped = True
        except BaseException as error:
            self.failure = error
            log.exception("engine: the thread that owns the device has died")
            self._on_failure(error)
        finally:
            with self._turn:
                self._closing = True
            ended = self._ended()
            while self._inbox:
                self._inbox.popleft()()
            (self._scheduler.lose if self.failure is not None else self._scheduler.end)(ended)

    def _turn_once(self) -> bool:
        """What is in the inbox, then a step. False when the step could do nothing."""
        while self._inbox:
            self._inbox.popleft()()
        return self._scheduler.step() if self._scheduler.has_work else True

    def _begin_again(self, error: Exception) -> None:
        """The device is unusable as it is: give it all it had once more. Raises the error when that has been done too often."""
        while self._restarts.take():
            log.error("engine: the device has become unusable; it begins again", exc_info=error)
            ended = RestartError(f"engine: expected a device that computes, it has begun again ({error}); ask again")
            try:
                self._scheduler.begin_again(ended)
            except Exception as again:  # noqa: BLE001  it counts as one more
                error = again
            else:
                return
        raise error

    def _wait(self, stepped: bool) -> bool:
        """Until there is work. False when it is over."""
        with self._turn:
            if not stepped:
                self._turn.wait_for(lambda: self._closing or self._inbox, IDLE_S)
            self._turn.wait_for(lambda: self._closing or self._inbox or self._scheduler.has_work)
            return not self._closing

    def next_output(self, outputs: queue.SimpleQueue[Output]) -> Output:
        """What becomes of a question next; waits for it."""
        return outputs.get()

    def cancel(self, question: AnswerRequest) -> None:
        """Let a question end at the next step."""
        question.cancelled = True

    def take_question(self) -> None:
        """Count a question in. Raises `CapacityError` when there are as many as may be."""
        with self._turn:
            if self._num_questions >= self.settings.max_questions:
                raise CapacityError(
                    f"questions: expected at most {self.settings.max_questions} at a time, all places are taken; "
                    f"ask again, or set max_questions higher"
                )
            self._num_questions += 1

    def end_question(self) -> None:
        """Count it out."""
        with self._turn:
            self._num_questions -= 1
