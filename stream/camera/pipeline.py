"""One camera's tokenizer, and its stream of the engine.

In: packets, from the camera's thread; questions, from any. Out: groups appended to the stream; and for a question the still-open group,
taken in one step with the groups before it, so that an answer sees every frame exactly once. The tokenizer may be in another process
(`remote_tokenizer.py`): one lock keeps packets and questions in order.

When the model falls behind, the tokenizer makes fewer, longer groups; when that is not enough, the engine skips the oldest.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from ov2.canvas import CanvasGroup
from ov2.engine import Stream
from ov2.engine.work import AnswerStarted
from ov2.errors import CapacityError, ClosedError, PromptError, SessionError
from stream.camera.errors import RETRY_AFTER_S, AtCapacityError, nothing_seen, stopping, unanswerable
from stream.camera.question import Finished, LookedBack, Piece, Question, Seen, Started, Timings
from stream.camera.recall import Recall, Recollection
from stream.camera.recording import Recorder
from stream.camera.snapshots import jpeg
from stream.camera.spans import Span, merged, span_of
from stream.camera.tokenizing import CameraTokenizer, Tokenized
from stream.memory import Memory
from stream.units import Packet
from stream.watch.look import Look

log = logging.getLogger(__name__)

REMEMBERED = 4096
"""Newest groups whose times are kept: more than any window holds."""
SNAPSHOT_PX = 1280
"""Longer side of a snapshot, at most."""
NOT_SEEN = "not seen"
WIDEST = 3.0
"""How much longer groups get, at most, while the model is behind."""
TOLD_FROM = 1.5
"""Times the seconds of the window that its tokens could hold, from where that is told."""


class CameraPipeline:
    """`push`, `flush` and `calm` from the camera's thread, the rest from any. `followers` are given every group that joins the stream.
    While `is_paused` the model sees nothing new."""

    def __init__(
        self,
        name: str,
        tokenizer: CameraTokenizer,
        stream: Stream,
        *,
        memory: Memory | None = None,
        recorder: Recorder | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.num_groups = 0
        self.followers: list[Callable[[CanvasGroup], None]] = []
        self.recorder = recorder
        self.is_paused = False
        self._tokenizer = tokenizer
        self._stream = stream
        self._remember = Recall(memory, stream)
        self._clock = clock
        self._lock = threading.Lock()
        self._spans: OrderedDict[int, Span] = OrderedDict()

    def drops(self) -> Counter[str]:
        """What was lost on the way, by reason: frames that could not be decoded, groups that the model had no time for."""
        memory = self._remember.memory
        return (
            self._tokenizer.figures.dropped
            + Counter(self._stream.skipped)
            + (memory.dropped if memory is not None else Counter())
            + (self.recorder.drops if self.recorder is not None else Counter())
        )

    @property
    def tokens_per_s(self) -> float:
        """Mean LLM tokens per second of stream."""
        return round(self._tokenizer.figures.tokens_per_s, 1)

    @property
    def token_rate(self) -> float:
        """What was asked for."""
        return self._tokenizer.settings.token_rate

    def figures(self) -> dict[str, float | None]:
        """Mean seconds per group, tokens per second of stream, seconds in the session."""
        stats = self._tokenizer.figures
        window = self._stream.window
        return {
            "group_seconds": round(stats.media_s / stats.num_groups, 2) if stats.num_groups else None,
            "tokens_per_second": self.tokens_per_s,
            "session_seconds": round(window[1] - window[0], 1) if window else 0.0,
        }

    @property
    def decoded_share(self) -> float | None:
        """Pictures decoded, of all that came; None before the first."""
        return self._tokenizer.figures.decoded_share

    def limits(self) -> list[str]:
        """What of the settings cannot be kept, and why: sizes for the token rate, a window that the checkpoint's times cut short."""
        limits, figures = self._stream.limits, self._tokenizer.figures
        told, rate = list(figures.limits), figures.tokens_per_s
        if rate and limits.window_tokens / rate > TOLD_FROM * limits.window_s:
            told.append(
                f"the window's {limits.window_tokens} tokens would hold {limits.window_tokens / rate:.0f} s at this camera's "
                f"{rate:.1f} tokens/s, and hold {limits.window_s:.0f} s: the checkpoint knows times up to "
                f"{limits.max_timestamp_s:g} s (max_timestamp_s); older groups are in memory"
            )
        return told

    @property
    def batch_packets(self) -> int:
        """As many packets are worth pushing at once."""
        return self._tokenizer.batch_packets

    def push(self, packets: Sequence[Packet]) -> Tokenized:
        """Tokenize packets; groups that they closed join the stream."""
        with self._lock:
            pressure = self._stream.pressure
            factor = 1.0 + (WIDEST - 1.0) * pressure
            if self._tokenizer.began_anew() and self.recorder is not None:
                self.recorder.restart(self._tokenizer.settings)
            for packet in packets:
                if self.recorder is not None:
                    self.recorder.put(packet, factor)
            done = self._tokenizer.push([(packet, factor) for packet in packets])
            self._append(done.groups)
            if done.groups and pressure:
                with suppress(ClosedError):
                    self._stream.count_shed("quota_widened")
            return done

    def flush(self) -> Tokenized:
        """Close the open group: the camera's stream has ended."""
        with self._lock:
            if self.recorder is not None:
                self.recorder.steer("flush")
            done = self._tokenizer.flush()
            self._append(done.groups)
            return done

    def calm(self) -> Tokenized:
        """Nothing comes any more: what was happening has ended."""
        with self._lock:
            return self._tokenizer.calm()

    def close(self) -> None:
        """What was recorded is on the disk afterwards."""
        self._tokenizer.end()
        with self._lock:
            self._tokenizer.close()
        if self.recorder is not None and not self.recorder.close():
            log.warning("camera %s: the disk is slow: the end of the recording is lost", self.name)

    def wait(self) -> None:
        """Until the model has taken all groups."""
        self._stream.wait()

    def ask(self, question: Question) -> None:
        """Ask about this moment, or an earlier one; what becomes of it goes to the question's sink. Raises `ServiceError` when that
        cannot be."""
        try:
            recalled = self._remember.look_back(question, now=self._clock(), media_zero=self._media_zero(), peek=self._peek)
        except ClosedError:
            raise stopping() from None
        if recalled.plan.not_seen:
            self._not_seen(question, recalled)
            return
        with self._lock:
            peek = self._peek_for(question, recalled)
            if peek is None and not self._spans and not recalled.groups:
                raise nothing_seen(self.name)
            seen = partial(self._seen, peek=peek, recalled=recalled)
            try:
                request = self._stream.submit(
                    recalled.plan.question,
                    lambda output: question.emit(output, seen),
                    question.sampling,
                    peek=peek,
                    since_s=recalled.since_s,
                    until_s=recalled.until_s,
                    recalled=recalled.groups,
                )
                question.follow(request)
            except PromptError as error:
                raise unanswerable(error) from error
            except CapacityError as error:
                raise AtCapacityError(
                    str(error), expected="a free place", setting="server.max_questions", retry_after_s=RETRY_AFTER_S
                ) from error
            except SessionError:  # closed, or failed for good
                raise stopping() from None

    def look(
        self,
        statements: Sequence[str],
        *,
        within_s: float | None = None,
        after_s: float = -math.inf,
        stream: Stream | None = None,
        through: Callable[[CanvasGroup], CanvasGroup] = lambda group: group,
    ) -> Look | None:
        """Judge statements about this moment: waits for the model. None where there is no frame later than wall time `after_s`.

        `stream`, `through`: of somebody who follows this feed and sees only a part of its groups.

        Raises `CapacityError` when it does not get to it in time, `PromptError` for a statement that does not fit.
        """
        with self._lock:
            if self.is_paused:
                return None
            peek = self._tokenizer.peek()
            spans = [*list(self._spans.values())[-1:], *([span_of(peek)] if peek is not None else [])]
            if not spans or spans[-1].wall_s <= after_s:
                return None
            seen = through(peek) if peek is not None else None
            judged = (stream or self._stream).judge_soon(statements, peek=seen, within_s=within_s)
        margins = judged.result()
        time_s = spans[-1].wall_s
        return Look(tuple(margins), time_s, max(0.0, (self._clock() - time_s) * 1000), merged(spans))

    def snapshot(self) -> bytes | None:
        """The newest frame as JPEG; None before the first."""
        with self._lock:
            picture = self._tokenizer.newest_picture(SNAPSHOT_PX)
        return jpeg(picture) if picture is not None else None

    def _append(self, groups: list[CanvasGroup]) -> None:
        taken = [] if self.is_paused else groups
        for group in taken:
            self._spans[group.group_id] = span_of(group)
            with suppress(ClosedError):  # the service is stopping
                self._remember.keep(group, self._stream.append(group))
            for follow in self.followers:
                follow(group)
        while len(self._spans) > REMEMBERED:
            self._spans.popitem(last=False)
        self.num_groups += len(taken)

    def _peek(self) -> CanvasGroup | None:
        with self._lock:
            return None if self.is_paused else self._tokenizer.peek()

    def _media_zero(self) -> float | None:
        """UTC epoch seconds of media second 0, by the newest group; None before the first."""
        with self._lock:
            newest = next(reversed(self._spans.values()), None)
        return newest.wall_s - newest.end_s if newest is not None else None

    def _peek_for(self, question: Question, recalled: Recollection) -> CanvasGroup | None:
        """The still-open group, unless the question ends before it, or reads an earlier time alone."""
        peek, times = None if self.is_paused else self._tokenizer.peek(), question.times
        if peek is None or (times is None and recalled.groups):
            return None
        until = times.until if times is not None else None
        fits = not recalled.groups or peek.end_s - recalled.groups[0].start_s <= self._stream.limits.max_timestamp_s
        return peek if fits and (until is None or until > peek.wall_s - (peek.end_s - peek.start_s)) else None

    def _not_seen(self, question: Question, recalled: Recollection) -> None:
        """Answer without the model: nothing shows it."""
        now, took_ms = self._clock(), question.elapsed_ms()
        back = _looked_back(recalled)
        seen = Seen(
            start_s=0.0,
            end_s=0.0,
            zero_s=0.0,
            time_zero_s=back.since if back is not None else now,
            frame_age_ms=max(0.0, now - back.until) * 1000 if back is not None else 0.0,
            num_tokens=0,
            evidence=(),
            looked_back=back,
        )
        question.tell(Started(seen))
        question.tell(Piece(NOT_SEEN))
        timings = Timings(queue_ms=0.0, catch_up_ms=took_ms, first_token_ms=took_ms, total_ms=took_ms)
        question.tell(Finished(NOT_SEEN, "not_seen", 0, seen, timings))

    def _seen(self, started: AnswerStarted, peek: CanvasGroup | None, recalled: Recollection) -> Seen:
        """What an answer could see, in media time and in wall time."""
        spans = [span_of(group) for group in recalled.groups]
        spans += [span for group_id in started.group_ids if (span := self._spans.get(group_id)) is not None]
        spans += [span_of(peek)] if peek is not None else []
        if not spans:
            raise nothing_seen(self.name)
        last = spans[-1]
        return Seen(
            looked_back=_looked_back(recalled),
            start_s=spans[0].start_s,
            end_s=last.end_s,
            zero_s=started.zero_s,
            time_zero_s=last.wall_s - last.end_s + started.zero_s,
            frame_age_ms=max(0.0, (self._clock() - last.wall_s) * 1000),
            num_tokens=started.num_tokens,
            evidence=merged(spans),
        )


def _looked_back(recalled: Recollection) -> LookedBack | None:
    searched = recalled.plan.searched
    return LookedBack(since=searched[0], until=searched[1], why=recalled.plan.why) if searched is not None else None
