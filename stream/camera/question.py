"""One question on its way: what is asked, and what comes back, piece by piece.

In: a question from the event loop; what the engine emits of its answer, on the engine's thread. Out, to the question's sink: `Started`, then
`Piece`s, then `Finished`; or `Refused` at any point. `Bridge` is the sink of callers with an event loop. It holds at most one item per token,
so it is bounded by the answer's own bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ov2.engine.stream_state import AnswerRequest
from ov2.engine.work import AnswerStarted, Output
from ov2.sampling import Sampling
from stream.camera.errors import refusal
from stream.errors import ServiceError
from stream.events.event import Evidence
from stream.memory.plan import Mode
from stream.memory.when import Times


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedBack:
    """Where an answer looked beside the window: UTC epoch seconds that were looked through, and why, in a line for people."""

    since: float
    until: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the answer could see: its window in media seconds; where timestamp zero of its words lies, in media seconds and in
    UTC epoch seconds; the evidence in wall time; the age of its newest frame when the question was taken up."""

    start_s: float
    end_s: float
    zero_s: float
    time_zero_s: float
    frame_age_ms: float
    num_tokens: int
    evidence: tuple[Evidence, ...]
    looked_back: LookedBack | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Milliseconds since the question arrived: waiting, bringing the session up to the present, first token, all of it."""

    queue_ms: float
    catch_up_ms: float
    first_token_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class Started:
    seen: Seen


@dataclass(frozen=True, slots=True)
class Piece:
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """`finish_reason`: `stop`, `length` when max_tokens cut it short, or `not_seen`: nothing that was looked at shows it."""

    answer: str
    finish_reason: str
    num_tokens: int
    seen: Seen
    timings: Timings


@dataclass(frozen=True, slots=True)
class Refused:
    error: ServiceError


Item = Started | Piece | Finished | Refused


@dataclass(slots=True, eq=False)
class Question:
    """Asked of one camera, about `times` where they are given. What becomes of it goes to `sink`, from the engine's thread. `cancel()` from any
    thread ends it at the next token."""

    camera: str
    text: str
    sampling: Sampling
    sink: Callable[[Question, Item], None]
    times: Times | None = None
    mode: Mode = "auto"
    id: str = field(default_factory=lambda: f"ans-{secrets.token_hex(8)}")
    asked_at: float = field(default_factory=time.perf_counter)
    _request: AnswerRequest | None = None
    _cancelled: bool = False
    _started: AnswerStarted | None = None
    _seen: Seen | None = None
    _pieces: list[str] = field(default_factory=list)

    def tell(self, item: Item) -> None:
        self.sink(self, item)

    def emit(self, output: Output, seen: Callable[[AnswerStarted], Seen]) -> None:
        """Tell what the engine emits. `seen`: what of the camera an answer sees."""
        if isinstance(output, str):
            self._pieces.append(output)
            self.tell(Piece(output))
        elif isinstance(output, AnswerStarted):
            self._started, self._seen = output, seen(output)
            self.tell(Started(self._seen))
        elif output.error is not None:
            self.tell(Refused(refusal(output.error)))
        elif output.finish_reason != "cancelled" and self._started is not None and self._seen is not None:
            timings = Timings(
                queue_ms=1000 * self._started.queue_s,
                catch_up_ms=1000 * self._started.catch_up_s,
                first_token_ms=1000 * (output.first_token_s or 0.0),
                total_ms=self.elapsed_ms(),
            )
            answer = "".join(self._pieces).strip()
            self.tell(Finished(answer, output.finish_reason, output.num_tokens, self._seen, timings))

    def follow(self, request: AnswerRequest) -> None:
        """Cancel this one as well."""
        self._request = request
        request.cancelled = request.cancelled or self._cancelled

    def cancel(self) -> None:
        self._cancelled = True
        if self._request is not None:
            self._request.cancelled = True

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self.asked_at) * 1000


class Bridge:
    """From the device thread to the event loop: `put` there, `get` here."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Item] = asyncio.Queue()

    def put(self, question: Question, item: Item) -> None:
        """A question's sink."""
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)

    async def get(self) -> Item:
        return await self._items.get()
