"""One WHIP or WHEP session: a connection with a secret name, from its offer to its end.

In: an `Offer`, later `Fragment`s. Out: an answer. What flows is up to the two kinds of session, `Publishing` and `Watching`. Everything
happens in one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from http import HTTPStatus
from typing import Any, ClassVar

from stream.webrtc.errors import RefusalError, bad_sdp
from stream.webrtc.offers import Fragment, Offer
from stream.webrtc.peer import Peer
from stream.webrtc.settings import WebRtcSettings

log = logging.getLogger(__name__)

SECRET_BYTES = 24


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


class Session(ABC):
    """`open`, then `patch`, `end`. `holder` tells clients with different tokens apart. `on_end` is called once."""

    kind: ClassVar[str]
    """What its client is, as the log has it."""

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

    @property
    def has_ended(self) -> bool:
        return self.state is SessionState.ENDED

    async def open(self, offer: Offer) -> str:
        """The answer. Raises `RefusalError`, and has then ended."""
        self._enter(SessionState.CONNECTING)
        try:
            return await self.peer.answer(offer, lambda video: self._prepare(video, offer))
        except BaseException:
            await self.end("the offer could not be answered")
            raise

    @abstractmethod
    def _prepare(self, video: Any, offer: Offer) -> None:
        """Tell the video transceiver which way it goes, and what it carries, before anything flows."""

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

    @abstractmethod
    def _let_go(self, failure: str | None) -> None:
        """Leave the camera; called once, when the session ends."""

    def _enter(self, state: SessionState) -> None:
        assert state in _LAWFUL[self.state], f"session: expected one of {_LAWFUL[self.state]}, got {state}"
        self.state = state


def _tag() -> str:
    """An ETag: one per pair of ICE credentials (RFC 9725 4.3.1)."""
    return f'"{secrets.token_hex(8)}"'
