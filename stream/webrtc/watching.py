"""A viewer's session: the camera's packets as they are.

In: a camera's `LiveView`. Out: RTP, by aiortc's sender. Everything happens in one event loop; only the view knows other threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from stream.webrtc.live import LiveView, Viewer
from stream.webrtc.offers import Offer
from stream.webrtc.pictures import TIME_BASE
from stream.webrtc.session import Session
from stream.webrtc.settings import WebRtcSettings


class Watching(Session):
    """The session of one viewer."""

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
