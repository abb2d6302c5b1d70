"""A publisher's session: its pictures become samples behind the camera's door.

In: RTP, by aiortc's receiver. Out: a `WhipConnection`, offered at the door with the first picture. Everything happens in one event loop;
only the door knows other threads.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from stream.errors import TooLargeError
from stream.sources.limits import IngestLimits
from stream.sources.sample import Sample
from stream.webrtc.assembly import Assembly, Encoded
from stream.webrtc.door import WhipConnection, WhipDoor
from stream.webrtc.offers import Offer
from stream.webrtc.pictures import KeyWish, Pictures
from stream.webrtc.session import Session, SessionState
from stream.webrtc.settings import WebRtcSettings
from stream.webrtc.tap import Feedback, tap

log = logging.getLogger(__name__)

ALIVE_S = 3.0
"""A publisher whose last packet is older has left, to another who wants its place."""


class Publishing(Session):
    """The session of one publisher."""

    kind = "publisher"

    def __init__(
        self,
        door: WhipDoor,
        holder: str,
        settings: WebRtcSettings,
        on_end: Callable[[Session], None],
        *,
        limits: IngestLimits,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(door.name, holder, settings, on_end, monotonic)
        self._door = door
        self._clock = clock
        self._limits = limits
        self._offered = False
        self._too_large: TooLargeError | None = None
        self._errors: Counter[str] = Counter()
        self.want_key = KeyWish(self._ask_key, monotonic)
        loop = asyncio.get_running_loop()
        self.connection = WhipConnection(
            door.name,
            max_samples=settings.queue_pictures,
            count=self._count,
            ask_key=self.want_key,
            on_close=lambda: _soon(loop, self._closed_by_reader),
            monotonic=monotonic,
        )

    def _prepare(self, video: Any, offer: Offer) -> None:
        video.direction = "recvonly"
        self._feedback = Feedback(video.receiver)
        self._assembly = Assembly(
            self._picture,
            patience_s=self.settings.loss_patience_s,
            max_bytes=self._limits.access_unit_bytes,
            on_large=lambda: self._refuse(self._limits.large_unit()),
            ask_again=self._feedback.ask_again,
            monotonic=self._monotonic,
        )
        self._pictures = Pictures(
            self._sample,
            self.want_key,
            parameter_sets=offer.payload.parameter_sets(),
            key_patience_s=self.settings.key_patience_s,
            limits=self._limits,
            clock=self._clock,
            monotonic=self._monotonic,
        )
        tap(video.receiver, self._assembly, self._pictures.times.report)

    @property
    def is_alive(self) -> bool:
        """Whether it sends; one that has only just come has the benefit of the doubt."""
        last_s = self._assembly.last_packet_s
        return self._monotonic() - (self._began_s if last_s is None else last_s) < ALIVE_S

    def overdue(self) -> str | None:
        last_s = self._assembly.last_packet_s
        if last_s is not None and self._monotonic() - last_s > self.settings.idle_timeout_s:
            return f"the publisher sent nothing for {self.settings.idle_timeout_s:g} s (webrtc.idle_timeout_s)"
        if last_s is None and self._monotonic() - self._began_s > self.settings.connect_timeout_s:
            return f"no media within {self.settings.connect_timeout_s:g} s (webrtc.connect_timeout_s)"
        return None

    def _picture(self, encoded: Encoded) -> None:
        try:
            self._pictures.push(encoded)
        except TooLargeError as error:
            self._refuse(error)
        except Exception as error:  # the barrier between a publisher's bytes and aiortc's loop, which would end the connection
            kind = f"internal_{type(error).__name__}"
            self._errors[kind] += 1
            if self._errors[kind] == 1:
                log.exception("camera %s: a picture of the publisher was skipped", self.camera)

    def _refuse(self, error: TooLargeError) -> None:
        """End the session of a publisher that sends more than is taken."""
        if self._too_large is None:
            self._too_large = error
            self._ending = asyncio.ensure_future(self.end(str(error)))

    def _sample(self, sample: Sample) -> None:
        self.connection.put(sample)
        if not self._offered and self.state is not SessionState.ENDED:
            self._offered = True
            log.info("camera %s: a publisher sends %dx%d", self.camera, sample.width, sample.height)
            self._door.offer(self.connection)

    def _ask_key(self) -> None:
        if self._assembly.ssrc is not None:
            self._feedback.ask_key(self._assembly.ssrc)

    def _count(self) -> Counter[str]:
        # `dict` copies in one step, whatever the event loop does meanwhile
        return Counter(dict(self._pictures.skipped)) + Counter(dict(self._assembly.lost)) + Counter(dict(self._errors))

    def _closed_by_reader(self) -> None:
        self._ending = asyncio.ensure_future(self.end())

    def _let_go(self, failure: str | None) -> None:
        if self._too_large is None:
            self._door.withdraw(self.connection)
            self.connection.end(failure)
            return
        self.connection.end(failure, self._too_large.reason)
        if not self._offered:  # the camera is told, although no picture ever came
            self._door.offer(self.connection)


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)
