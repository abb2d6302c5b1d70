"""Publishes a world live over RTSP, paced like a camera: it announces itself to a server that listens.

In: a world and the address of a listening RTSP server. Out: H.264 over RTP in TCP, picture k sent k/fps seconds after the
first.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from trainer.world.camera import CameraProfile, camera_profile
from trainer.world.encode import add_video, encoded, num_frames
from trainer.world.errors import PublishError
from trainer.world.render import Renderer
from trainer.world.world import World

log = logging.getLogger(__name__)

RETRY_S = 0.1
"""Between two attempts to reach a server that does not listen yet."""
CLOSED = {errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN, errno.EIO}
"""What a write says when the peer has gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """How a publication went: pictures sent, and whether the peer closed before the end."""

    num_frames: int
    peer_closed: bool


def publish(
    world: World,
    url: str,
    *,
    fps: int = 10,
    width: int = 640,
    height: int = 360,
    camera: str = "default",
    start_s: float = 0.0,
    duration_s: float | None = None,
    connect_s: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
    stop: threading.Event | None = None,
) -> Published:
    """Send `duration_s` seconds of the world (default: to its end), then say goodbye. Returns early when the peer closes or
    `stop` is set. Tries for `connect_s` seconds to reach the server. Raises PublishError when it cannot be reached, CameraError
    for an unknown preset, TimeError for a stretch the world lacks.

    PyAV holds the interpreter's lock while it announces: with the server in the same process use `CameraProcess`.
    """
    stop = stop or threading.Event()
    profile = camera_profile(camera)
    duration_s = world.duration_s - start_s if duration_s is None else duration_s
    world.state_at(start_s)
    world.state_at(start_s + duration_s)
    renderer = Renderer(world, width=width, height=height)
    renderer.frame(start_s)
    connected = _connected(url, profile, renderer, fps, clock() + connect_s, clock, stop)
    if connected is None:
        return Published(num_frames=0, peer_closed=False)
    container, stream = connected
    num_sent, peer_closed = 0, False
    try:
        times_s = _paced(num_frames(duration_s, fps), start_s, fps, clock, stop)
        for index, packets in enumerate(encoded(stream, renderer, times_s, fps=fps)):
            num_sent = index
            for packet in packets:
                container.mux(packet)
    except OSError as error:
        if error.errno not in CLOSED:
            raise PublishError(f"{_named(url)}: sending failed after {num_sent} pictures: {error}") from error
        peer_closed = True
        log.info("%s: the peer closed after %d pictures", _named(url), num_sent)
    finally:
        _close(container)
    return Published(num_frames=num_sent, peer_closed=peer_closed)


def _connected(
    url: str,
    profile: CameraProfile,
    renderer: Renderer,
    fps: int,
    until: float,
    clock: Callable[[], float],
    stop: threading.Event,
) -> tuple[Any, Any] | None:
    """An announced RTSP session and its video stream, tried again until `until`; None when stopped before."""
    import av

    while not stop.is_set():
        container = av.open(url, "w", format="rtsp", options={"rtsp_transport": "tcp"})
        stream = add_video(container, profile, width=renderer.width, height=renderer.height, fps=fps)
        try:
            container.start_encoding()
            return container, stream
        except OSError as error:
            _close(container)
            if clock() >= until:
                raise PublishError(
                    f"{_named(url)}: expected a server that listens for RTSP over TCP, got: {error.strerror or error}; "
                    "start the server first, or give connect_s more time"
                ) from error
            stop.wait(RETRY_S)
    return None


def _paced(num: int, start_s: float, fps: int, clock: Callable[[], float], stop: threading.Event) -> Iterator[float]:
    """World seconds of the pictures, each handed out when its time has come."""
    began = clock()
    for index in range(num):
        while not stop.is_set() and (wait_s := began + index / fps - clock()) > 0:
            stop.wait(wait_s)
        if stop.is_set():
            return
        yield start_s + index / fps


def _close(container: Any) -> None:
    """Say goodbye; a peer that has gone cannot hear it, which is no error."""
    try:
        container.close()
    except OSError as error:
        log.debug("closing: %s", error)


def _named(url: str) -> str:
    """The address without credentials."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if rest else url
