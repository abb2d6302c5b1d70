"""Who publishes and who watches: all sessions of the service, with their limits.

In: requests, already read (routes.py). Out: sessions; for cameras, a `WhipDoor` each where somebody publishes, a `LiveView` each where
somebody may watch. aiortc is imported when the first session comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from stream.events.ending import end
from stream.sources.limits import IngestLimits
from stream.webrtc.door import WhipDoor
from stream.webrtc.errors import (
    RefusalError,
    full,
    missing_library,
    no_session,
    not_for_publishers,
    not_h264,
    not_live,
    stopping,
    taken,
    unknown_camera,
)
from stream.webrtc.live import LiveView
from stream.webrtc.offers import Offer, parse_fragment
from stream.webrtc.settings import WebRtcSettings

if TYPE_CHECKING:
    from stream.webrtc.publishing import Publishing
    from stream.webrtc.session import Session
    from stream.webrtc.watching import Watching

log = logging.getLogger(__name__)

TEND_S = 0.5
"""How often sessions are looked at."""


class WebRtcSessions:
    """`door` and `view` per camera, from any thread before it starts; the rest in the event loop. `refused` counts refusals by code."""

    def __init__(
        self,
        settings: WebRtcSettings | None = None,
        *,
        limits: IngestLimits | None = None,
        refused: Counter[str] | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings or WebRtcSettings()
        self._limits = limits or IngestLimits()
        self.refused: Counter[str] = Counter() if refused is None else refused
        self._clock = clock
        self._monotonic = monotonic
        self._doors: dict[str, WhipDoor] = {}
        self._views: dict[str, LiveView] = {}
        self._publishers: dict[str, Publishing] = {}
        self._viewers: dict[str, Watching] = {}
        self._num_opening: Counter[str] = Counter()
        self._tending: asyncio.Task[None] | None = None
        self._closed = False

    # for cameras

    def door(self, name: str) -> WhipDoor:
        """The door of a camera that is published to; a new one when the last was closed."""
        if name not in self._doors or self._doors[name].closed:
            self._doors[name] = WhipDoor(name)
        return self._doors[name]

    def view(self, name: str) -> LiveView:
        """Where a camera's packets go for those who watch it."""
        if name not in self._views:
            view = LiveView(
                name,
                kept_s=self.settings.kept_s,
                kept_bytes=self.settings.kept_bytes,
                viewer_packets=self.settings.viewer_pictures,
                monotonic=self._monotonic,
            )
            view.want_key = lambda: self._want_key(name)
            self._views[name] = view
        return self._views[name]

    async def forget(self, name: str) -> None:
        """A camera that is no more: its sessions end."""
        if (door := self._doors.pop(name, None)) is not None:
            door.close()
        self._views.pop(name, None)
        await self._end_all([each for each in self._sessions() if each.camera == name])

    async def close(self) -> None:
        """End everything. Doors close, so that nobody waits at them."""
        self._closed = True
        for door in self._doors.values():
            door.close()
        await self._end_all(self._sessions())
        if self._tending is not None:
            await end([self._tending])

    def figures(self) -> dict[str, int]:
        return {"publishers": len(self._publishers), "viewers": len(self._viewers)}

    # for requests

    def check_publish(self, name: str) -> WhipDoor:
        """Raises `RefusalError` when nobody may publish to this camera now."""
        if self._closed:
            raise stopping()
        if name not in self._doors:
            known = sorted(self._doors)
            raise not_for_publishers(name) if name in self._views else unknown_camera(name, known)
        if len(self._publishers) + self._num_opening["publish"] - (name in self._by_camera()) >= self.settings.max_publishers:
            raise full("publishers", self.settings.max_publishers, "max_publishers")
        return self.door(name)

    def check_watch(self, name: str) -> LiveView:
        """Raises `RefusalError` when nobody can watch this camera now."""
        if self._closed:
            raise stopping()
        if name not in self._views:
            raise unknown_camera(name, sorted(self._views))
        view = self._views[name]
        if not view.is_live:
            raise not_live(name)
        if view.codec != "h264":
            raise not_h264(name, view.codec)
        if len(self._viewers) + self._num_opening["watch"] >= self.settings.max_viewers:
            raise full("viewers", self.settings.max_viewers, "max_viewers")
        return view

    async def publish(self, name: str, holder: str, body: bytes) -> tuple[Publishing, str]:
        """A session and its answer. A publisher with the same token, or that sends no more, gives up its place. Raises `RefusalError`."""
        door = self.check_publish(name)
        offer = Offer(body, sends=True)
        self._check_place(name, holder)
        await self._prepare()
        from stream.webrtc.publishing import Publishing

        with self._opening("publish"):
            session = Publishing(
                door,
                holder,
                self.settings,
                self._ended,
                limits=self._limits,
                clock=self._clock,
                monotonic=self._monotonic,
            )
            answer = await session.open(offer)
        try:
            self._check_here(session)
            self._check_place(name, holder)
        except RefusalError:
            await session.end()
            raise
        self._publishers[session.id] = session
        earlier = [each for each in self._publishers.values() if each.camera == name and each is not session]
        await self._end_all(list(earlier))
        return session, answer

    async def watch(self, name: str, holder: str, body: bytes) -> tuple[Watching, str]:
        """A viewer's session and its answer. Raises `RefusalError`."""
        view = self.check_watch(name)
        offer = Offer(body, sends=False, profile=view.profile)
        await self._prepare()
        from stream.webrtc.watching import Watching

        with self._opening("watch"):
            session = Watching(view, holder, self.settings, self._ended, monotonic=self._monotonic)
            answer = await session.open(offer)
        try:
            self._check_here(session)
        except RefusalError:
            await session.end()
            raise
        self._viewers[session.id] = session
        return session, answer

    def session(self, kind: str, name: str, secret: str) -> Session:
        """Raises `RefusalError` when there is none of that name."""
        sessions: dict[str, Publishing] | dict[str, Watching] = self._publishers if kind == "whip" else self._viewers
        session = sessions.get(secret)
        if session is None or session.camera != name:
            raise no_session()
        return session

    async def patch(self, session: Session, match: str | None, body: bytes) -> str | None:
        """A fragment of candidates, or of new credentials; what to answer. Raises `RefusalError`."""
        return await session.patch(match, parse_fragment(body))

    # inside

    def _sessions(self) -> list[Session]:
        return [*self._publishers.values(), *self._viewers.values()]

    def _by_camera(self) -> dict[str, Publishing]:
        return {each.camera: each for each in self._publishers.values()}

    def _check_here(self, session: Session) -> None:
        """While its answer was made, a session may have ended, or all of them have been closed."""
        if self._closed:
            raise stopping()
        if session.has_ended:
            raise no_session()

    def _check_place(self, name: str, holder: str) -> None:
        earlier = self._by_camera().get(name)
        if earlier is not None and earlier.holder != holder and earlier.is_alive:
            raise taken(name)

    def _want_key(self, name: str) -> None:
        if (publisher := self._by_camera().get(name)) is not None:
            publisher.want_key()

    @contextlib.contextmanager
    def _opening(self, kind: str) -> Iterator[None]:
        self._num_opening[kind] += 1
        try:
            yield
        finally:
            self._num_opening[kind] -= 1

    async def _prepare(self) -> None:
        """Import aiortc in a thread, the first time, and begin to tend."""
        if find_spec("aiortc") is None:
            raise missing_library()
        await asyncio.to_thread(_import_sessions)
        if self._tending is None:
            self._tending = asyncio.create_task(self._tend())

    def _ended(self, session: Session) -> None:
        self._publishers.pop(session.id, None)
        self._viewers.pop(session.id, None)

    async def _end_all(self, sessions: list[Session]) -> None:
        await asyncio.gather(*(each.end() for each in sessions))

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(TEND_S)
            for session in self._sessions():
                if (why := session.overdue()) is not None:
                    await session.end(why)


def _import_sessions() -> None:
    import stream.webrtc.publishing
    import stream.webrtc.watching  # noqa: F401
