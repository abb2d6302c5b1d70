"""One WHIP or WHEP session: a connection with a secret name, from its offer to its end.

In: an `Offer`, later `Fragment`s. Out: an answer; for a publisher a `WhipConnection` at the camera's door, for a viewer the camera's packets.
Everything happens in one event loop; only the door and the view know other threads.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable
from enum import Enum
from http import HTTPStatus
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from stream.sources.sample import Sample
from stream.webrtc.assembly import Assembly, Encoded
from stream.webrtc.door import WhipConnection, WhipDoor
from stream.webrtc.errors import RefusalError, bad_sdp
from stream.webrtc.live import LiveView, Viewer
from stream.webrtc.offers import Fragment, Offer
from stream.webrtc.peer import Peer
from stream.webrtc.pictures import TIME_BASE, KeyWish, Pictures
from stream.webrtc.settings import WebRtcSettings
from stream.webrtc.tap import Feedback, tap

log = logging.getLogger(__name__)

SECRET_BYTES = 24
ALIVE_S = 3.0
"""A publisher whose last packet is older has left, to another who wants its place."""


class SessionState(Enum):
    """Where a session is in its life."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    ENDED = "ended"


_LAWFUL = {
    SessionState.NEW: {SessionState.CONNECTING, SessionState.ENDED},
    SessionState.CONNECTING: {SessionState.CONNECTED, SessionState.ENDED},
    SessionState.CONNECTED: {SessionState.ENDED},
    SessionState.ENDED: set[SessionState](),
}


class Session:
    """`open`, then `patch`, `end`. `holder` tells clients with different tokens apart. `on_end` is called once."""

    def __init__(
        self,
        camera: str,
        holder: str,
        settings: WebRtcSettings,
        on_end: Callable[[Session], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = secrets.token_urlsafe(SECRET_BYTES)
        self.camera = camera
        self.holder = holder
        self.etag = _tag()
        self.state = SessionState.NEW
        self.settings = settings
        self._on_end = on_end
        self._monotonic = monotonic
        self._began_s = monotonic()
        self.peer = Peer(settings, self._peer_is)
        self._ending: asyncio.Task[None] | None = None

    async def open(self, offer: Offer) -> str:
        """The answer. Raises `RefusalError`, and has then ended."""
        self._enter(SessionState.CONNECTING)
        try:
            return await self.peer.answer(offer, lambda video: self._prepare(video, offer))
        except BaseException:
            await self.end("the offer could not be answered")
            raise

    def _prepare(self, video: Any, offer: Offer) -> None:
        raise NotImplementedError

    async def patch(self, match: str | None, fragment: Fragment) -> str | None:
        """Trickle (gives None) or restart ICE (gives our new credentials) as RFC 9725 4.3 has it. Raises `RefusalError`."""
        if match is None:
            text = "expected an If-Match header with the ETag of the session, or If-Match: * to restart ICE; got none"
            raise RefusalError(HTTPStatus.PRECONDITION_REQUIRED, "no_etag", text)
        is_new = bool(fragment.username) and fragment.username != self.peer.remote_username
        if match.strip() == "*":
            if not is_new or not fragment.password:
                raise bad_sdp("expected new ice-ufrag and ice-pwd with If-Match: *, which restarts ICE")
            answer = await self.peer.restart(fragment)
            self.etag = _tag()
            return answer
        if self.etag not in [tag.strip() for tag in match.split(",")]:
            text = "expected the ETag of the newest answer in If-Match; this one is of ICE credentials that were replaced"
            raise RefusalError(HTTPStatus.PRECONDITION_FAILED, "stale_etag", text)
        if is_new and self.peer.remote_username:
            raise bad_sdp("expected candidates for the ice-ufrag in use; to restart ICE, send If-Match: *")
        await self.peer.add_candidates(fragment)
        return None

    def overdue(self) -> str | None:
        """Why it should end now, None while all is well. Asked about twice a second."""
        if self.state is SessionState.CONNECTING and self._monotonic() - self._began_s > self.settings.connect_timeout_s:
            return f"no connection within {self.settings.connect_timeout_s:g} s (webrtc.connect_timeout_s)"
        return None

    def _peer_is(self, state: str) -> None:
        if state == "connected" and self.state is SessionState.CONNECTING:
            self._enter(SessionState.CONNECTED)
        elif state in ("failed", "closed") and self.state is not SessionState.ENDED:
            lost = "the connection was lost" if state == "failed" else None
            self._ending = asyncio.ensure_future(self.end(lost))

    async def end(self, failure: str | None = None) -> None:
        """`failure`: what went wrong; None for an end that somebody wanted. May be called twice."""
        if self.state is SessionState.ENDED:
            return
        self._enter(SessionState.ENDED)
        log.info("camera %s: a %s has ended%s", self.camera, self.kind, f": {failure}" if failure else "")
        self._let_go(failure)
        self._on_end(self)
        await self.peer.close()

    kind = "session"

    def _let_go(self, failure: str | None) -> None:
        raise NotImplementedError

    def _enter(self, state: SessionState) -> None:
        assert state in _LAWFUL[self.state], f"session: expected one of {_LAWFUL[self.state]}, got {state}"
        self.state = state


class Publishing(Session):
    """A publisher: its pictures become samples behind the camera's door."""

    kind = "publisher"

    def __init__(
        self,
        door: WhipDoor,
        holder: str,
        settings: WebRtcSettings,
        on_end: Callable[[Session], None],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(door.name, holder, settings, on_end, monotonic)
        self._door = door
        self._clock = clock
        self._offered = False
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
            ask_again=self._feedback.ask_again,
            monotonic=self._monotonic,
        )
        self._pictures = Pictures(
            self._sample,
            self.want_key,
            parameter_sets=offer.payload.parameter_sets(),
            key_patience_s=self.settings.key_patience_s,
            clock=self._clock,
            monotonic=self._monotonic,
        )
        tap(video.receiver, self._assembly, self._pictures.times.report)

    @property
    def is_alive(self) -> bool:
        """Whether it sends; one that has only just come has the benefit of the doubt."""
        last_s = self._assembly.last_packet_s if hasattr(self, "_assembly") else None
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
        except Exception as error:  # the barrier between a publisher's bytes and aiortc's loop, which would end the connection
            kind = f"internal_{type(error).__name__}"
            self._errors[kind] += 1
            if self._errors[kind] == 1:
                log.exception("camera %s: a picture of the publisher was skipped", self.camera)

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
        self._door.withdraw(self.connection)
        self.connection.end(failure)


class Watching(Session):
    """A viewer: gets the camera's packets as they are."""

    kind = "viewer"

    def __init__(
        self,
        view: LiveView,
        holder: str,
        settings: WebRtcSettings,
        on_end: Callable[[Session], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(view.name, holder, settings, on_end, monotonic)
        self._view = view
        self._viewer: Viewer | None = None

    def _prepare(self, video: Any, offer: Offer) -> None:
        self._viewer = self._view.attach()
        video.sender.replaceTrack(_PacketTrack(self._viewer))
        video.direction = "sendonly"
        # aiortc has its encoder make a keyframe when a viewer lost a picture; we have none, but may ask the publisher
        video.sender._send_keyframe = self._view.want_key

    def _let_go(self, failure: str | None) -> None:
        if self._viewer is not None:
            self._view.detach(self._viewer)


class _PacketTrack(MediaStreamTrack):
    """What aiortc's sender reads: packets that are encoded already."""

    kind = "video"

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer

    async def recv(self) -> av.Packet[Any]:
        timed = await self._viewer.get()
        if timed is None:
            raise MediaStreamError
        packet: av.Packet[Any] = av.Packet(timed.packet.data)
        packet.pts, packet.time_base = timed.ticks, TIME_BASE
        return packet


def _tag() -> str:
    """An ETag: one per pair of ICE credentials (RFC 9725 4.3.1)."""
    return f'"{secrets.token_hex(8)}"'


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)
