"""One camera's tokenizer, its session, and the bounded line of groups between them.

In: packets, from the camera's thread. Out: a session that the device thread keeps up to date, and for a question the
still-open group, taken in one step with the groups that wait, so that an answer sees every frame exactly once.

When the line is full the oldest group that was not appended is skipped, and counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from ov2.answer import Answer
from ov2.canvas import CanvasGroup
from ov2.errors import OV2Error
from ov2.session import Session
from stream.events.event import Evidence
from stream.serve.question import Sampling, Seen
from stream.tokenizer.tokenizer import Tokenizer
from stream.units import Packet

GAP_S = 1.0
"""Groups further apart than this are told as separate evidence."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Span:
    """What is remembered of an appended group."""

    start_s: float
    end_s: float
    wall_s: float
    frames: int


class Feed:
    def __init__(
        self,
        name: str,
        tokenizer: Tokenizer,
        session: Session,
        *,
        pending_groups: int = 16,
        wake: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.session = session
        self.num_groups = 0
        self._skipped: Counter[str] = Counter()
        self._tokenizer = tokenizer
        self._capacity = pending_groups
        self._wake = wake
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: deque[CanvasGroup] = deque()
        self._spans: deque[_Span] = deque()

    def drops(self) -> Counter[str]:
        """What was lost on the way, by reason: frames that could not be decoded, groups that the model had no time for."""
        return self._tokenizer.stats.dropped + self._skipped

    @property
    def tokens_per_s(self) -> float:
        """Mean LLM tokens per second of stream."""
        return round(self._tokenizer.stats.tokens_per_s, 1)

    def figures(self) -> dict[str, float | None]:
        """Mean seconds per group, tokens per second of stream, seconds in the session."""
        stats = self._tokenizer.stats
        window = self.session.window
        return {
            "group_seconds": round(stats.media_s / stats.num_groups, 2) if stats.num_groups else None,
            "tokens_per_second": self.tokens_per_s,
            "session_seconds": round(window[1] - window[0], 1) if window else 0.0,
        }

    # The camera's thread.

    def push(self, packet: Packet) -> list[CanvasGroup]:
        """Tokenize a packet; groups that it closed join the line."""
        with self._lock:
            return self._queue(self._tokenizer.push(packet))

    def flush(self) -> list[CanvasGroup]:
        """Close the open group: the stream has ended."""
        with self._lock:
            return self._queue(self._tokenizer.flush())

    def _queue(self, groups: list[CanvasGroup]) -> list[CanvasGroup]:
        self._pending.extend(groups)
        self.num_groups += len(groups)
        while len(self._pending) > self._capacity:
            self._pending.popleft()
            self._skipped["model_behind"] += 1
        if groups:
            self._wake()
        return groups

    # The device's thread.

    @property
    def waiting(self) -> bool:
        """Whether groups wait to be appended."""
        return bool(self._pending)

    def append_one(self) -> bool:
        """Append the oldest waiting group, if there is one."""
        with self._lock:
            group = self._pending.popleft() if self._pending else None
        if group is not None:
            self._append(group)
        return group is not None

    def ask(self, text: str, sampling: Sampling) -> tuple[Seen, Answer] | None:
        """Bring the session up to this moment and begin an answer. None when there is nothing to see yet.

        Raises `PromptError` for a question that cannot be asked."""
        with self._lock:
            pending, peek = list(self._pending), self._tokenizer.peek()
            self._pending.clear()
        for group in pending:
            self._append(group)
        spans = [*self._spans, *([_span(peek)] if peek is not None else [])]
        if not spans:
            return None
        writing = self.session.ask(
            text,
            peek,
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
        )
        return self._seen(spans), writing

    def _append(self, group: CanvasGroup) -> None:
        try:
            self.session.append(group)
        except OV2Error as error:
            self._skipped["session"] += 1
            log.warning("camera %s: group %d skipped: %s", self.name, group.group_id, error)
            return
        self._spans.append(_span(group))
        window = self.session.window
        while window and self._spans[0].start_s < window[0]:
            self._spans.popleft()

    def _seen(self, spans: list[_Span]) -> Seen:
        last = spans[-1]
        return Seen(
            start_s=spans[0].start_s,
            end_s=last.end_s,
            zero_s=self.session.zero_s,
            time_zero_s=last.wall_s - last.end_s + self.session.zero_s,
            frame_age_ms=max(0.0, (self._clock() - last.wall_s) * 1000),
            num_tokens=self.session.num_tokens,
            evidence=_merge(spans),
        )


def _span(group: CanvasGroup) -> _Span:
    return _Span(group.start_s, group.end_s, group.wall_s, len({seconds for seconds, _ in group.runs}))


def _merge(spans: list[_Span]) -> tuple[Evidence, ...]:
    """Consecutive groups as stretches of wall time."""
    merged: list[Evidence] = []
    last_end_s = float("-inf")
    for span in spans:
        start = span.wall_s - (span.end_s - span.start_s)
        if span.start_s - last_end_s <= GAP_S:
            merged[-1] = Evidence(start=merged[-1].start, end=span.wall_s, frames=merged[-1].frames + span.frames)
        else:
            merged.append(Evidence(start=start, end=span.wall_s, frames=span.frames))
        last_end_s = span.end_s
    return tuple(merged)
