"""What happened, in the model's words: asked when an event has begun, told as an update of it.

In: events that have begun. Out: a question to the camera's feed, and its answer to whoever asked. It holds nothing up: one thread asks,
few wait, and one too many goes without a caption.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable

from ov2.sampling import Sampling
from stream.camera.pipeline import CameraPipeline
from stream.camera.question import Finished, Item, Question
from stream.errors import ServiceError
from stream.events.event import Event

log = logging.getLogger(__name__)

MOST_WAITING = 16
LONGEST_TOKENS = 32
JOIN_S = 2.0


class Captions:
    """`start`; `ask` from any thread; `stop`. `told(event, caption)` is called by the model's thread."""

    def __init__(self, question: str, told: Callable[[Event, str], None]) -> None:
        self.counts: Counter[str] = Counter()
        self._question, self._told = question, told
        self._waiting: queue.Queue[tuple[CameraPipeline, Event] | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="captions", daemon=True)

    def start(self) -> None:
        if self._question:
            self._thread.start()

    def stop(self) -> None:
        if self._thread.ident is not None:
            try:
                self._waiting.put(None, timeout=JOIN_S)
            except queue.Full:
                return
            self._thread.join(JOIN_S)

    def ask(self, feed: CameraPipeline, event: Event) -> None:
        if self._thread.ident is None:
            return
        try:
            self._waiting.put_nowait((feed, event))
        except queue.Full:
            self.counts["skipped"] += 1

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            feed, event = item

            def sink(question: Question, item: Item, event: Event = event) -> None:
                if isinstance(item, Finished) and item.answer:
                    self.counts["told"] += 1
                    self._told(event, item.answer)

            sampling = Sampling(max_tokens=LONGEST_TOKENS)
            try:
                feed.ask(Question(event.camera, self._question, sampling, sink, None, "window"))
            except ServiceError as error:
                self.counts["skipped"] += 1
                log.debug("camera %s: event %s stays without a caption: %s", event.camera, event.id, error)
            except Exception:  # one caption's trouble is its own
                self.counts["skipped"] += 1
                log.exception("camera %s: event %s stays without a caption", event.camera, event.id)
