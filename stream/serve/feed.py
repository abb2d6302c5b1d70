"""One camera's tokenizer, and its stream of the engine.

In: packets, from the camera's thread; questions, from any. Out: groups appended to the stream; and for a question the still-open group,
taken in one step with the groups before it, so that an answer sees every frame exactly once.

When the model falls behind, the tokenizer makes fewer, longer groups; when that is not enough, the engine skips the oldest.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ov2.canvas import CanvasGroup
from ov2.engine import Stream
from ov2.engine.work import Ended, Told
from ov2.engine.work import Started as Begun
from ov2.errors import CapacityError as EngineFull
from ov2.errors import ClosedError, PromptError
from ov2.sampling import Sampling as Draw
from stream.events.event import Evidence
from stream.serve.errors import RETRY_AFTER_S, CapacityError, QuestionError, ServeError, nothing_seen, stopping
from stream.serve.question import Finished, Piece, Question, Refused, Seen, Started, Timings
from stream.tokenizer.tokenizer import Tokenizer
from stream.units import Packet

GAP_S = 1.0
"""Groups further apart than this are told as separate evidence."""
REMEMBERED = 4096
"""Newest groups whose times are kept: more than any window holds."""
WIDEST = 3.0
"""How much longer groups get, at most, while the model is behind."""


@dataclass(frozen=True, slots=True)
class _Span:
    """What is remembered of a group."""

    start_s: float
    end_s: float
    wall_s: float
    frames: int


class Feed:
    def __init__(self, name: str, tokenizer: Tokenizer, stream: Stream, *, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.num_groups = 0
        self._tokenizer = tokenizer
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._spans: OrderedDict[int, _Span] = OrderedDict()

    def drops(self) -> Counter[str]:
        """What was lost on the way, by reason: frames that could not be decoded, groups that the model had no time for."""
        return self._tokenizer.stats.dropped + Counter(self._stream.skipped)

    @property
    def tokens_per_s(self) -> float:
        """Mean LLM tokens per second of stream."""
        return round(self._tokenizer.stats.tokens_per_s, 1)

    def figures(self) -> dict[str, float | None]:
        """Mean seconds per group, tokens per second of stream, seconds in the session."""
        stats = self._tokenizer.stats
        window = self._stream.window
        return {
            "group_seconds": round(stats.media_s / stats.num_groups, 2) if stats.num_groups else None,
            "tokens_per_second": self.tokens_per_s,
            "session_seconds": round(window[1] - window[0], 1) if window else 0.0,
        }

    def push(self, packet: Packet) -> list[CanvasGroup]:
        """Tokenize a packet; groups that it closed join the stream."""
        with self._lock:
            pressure = self._stream.pressure
            self._tokenizer.widen(1.0 + (WIDEST - 1.0) * pressure)
            groups = self._append(self._tokenizer.push(packet))
            if groups and pressure:
                with suppress(ClosedError):
                    self._stream.count_shed("quota_widened")
            return groups

    def flush(self) -> list[CanvasGroup]:
        """Close the open group: the camera's stream has ended."""
        with self._lock:
            return self._append(self._tokenizer.flush())

    def wait(self) -> None:
        """Until the model has taken all groups."""
        self._stream.wait()

    def ask(self, question: Question) -> None:
        """Ask about this moment; what becomes of it is told to the question. Raises `ServeError` when it cannot be asked."""
        sampling = question.sampling
        draw = Draw(max_tokens=sampling.max_tokens, temperature=sampling.temperature, top_p=sampling.top_p, seed=sampling.seed)
        with self._lock:
            peek = self._tokenizer.peek()
            if peek is None and not self._spans:
                raise nothing_seen(self.name)
            listener = _Listener(question, lambda begun: self._seen(begun, peek))
            try:
                question.follow(self._stream.submit(question.text, listener.tell, draw, peek=peek))
            except PromptError as error:
                raise _unanswerable(error) from error
            except EngineFull as error:
                raise CapacityError(
                    str(error), expected="a free place", setting="server.max_questions", retry_after_s=RETRY_AFTER_S
                ) from error
            except ClosedError:
                raise stopping() from None

    def _append(self, groups: list[CanvasGroup]) -> list[CanvasGroup]:
        for group in groups:
            self._spans[group.group_id] = _span(group)
            with suppress(ClosedError):  # the service is stopping
                self._stream.append(group)
        while len(self._spans) > REMEMBERED:
            self._spans.popitem(last=False)
        self.num_groups += len(groups)
        return groups

    def _seen(self, begun: Begun, peek: CanvasGroup | None) -> Seen:
        """What an answer could see, in media time and in wall time."""
        spans = [span for group_id in begun.group_ids if (span := self._spans.get(group_id)) is not None]
        spans += [_span(peek)] if peek is not None else []
        last = spans[-1]
        return Seen(
            start_s=spans[0].start_s,
            end_s=last.end_s,
            zero_s=begun.zero_s,
            time_zero_s=last.wall_s - last.end_s + begun.zero_s,
            frame_age_ms=max(0.0, (self._clock() - last.wall_s) * 1000),
            num_tokens=begun.num_tokens,
            evidence=_merge(spans),
        )


class _Listener:
    """Turns what the engine tells into what the service tells."""

    def __init__(self, question: Question, seen: Callable[[Begun], Seen]) -> None:
        self._question, self._seen_by = question, seen
        self._begun: Begun | None = None
        self._seen: Seen | None = None
        self._pieces: list[str] = []

    def tell(self, told: Told) -> None:
        """Called by the engine's thread."""
        if isinstance(told, str):
            self._pieces.append(told)
            self._question.tell(Piece(told))
        elif isinstance(told, Begun):
            self._begun, self._seen = told, self._seen_by(told)
            self._question.tell(Started(self._seen))
        elif told.error is not None:
            self._question.tell(Refused(_refusal(told.error)))
        elif told.finish_reason != "cancelled" and self._begun is not None and self._seen is not None:
            self._question.tell(self._finished(told, self._begun, self._seen))

    def _finished(self, ended: Ended, begun: Begun, seen: Seen) -> Finished:
        timings = Timings(
            queue_ms=1000 * begun.queue_s,
            catch_up_ms=1000 * begun.catch_up_s,
            first_token_ms=1000 * (ended.first_token_s or 0.0),
            total_ms=self._question.elapsed_ms(),
        )
        return Finished("".join(self._pieces).strip(), ended.finish_reason, ended.num_tokens, seen, timings)


def _refusal(error: Exception) -> ServeError:
    if isinstance(error, PromptError):
        return _unanswerable(error)
    return stopping() if isinstance(error, ClosedError) else ServeError(str(error))


def _unanswerable(error: PromptError) -> QuestionError:
    return QuestionError(str(error), expected="a question that fits beside the window", setting="session.branch_tokens")


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
