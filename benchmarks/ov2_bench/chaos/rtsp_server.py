"""A camera made by others: GStreamer's RTSP server, which plays a film without end. Run by the system's Python, which has `gi`:

    /usr/bin/python3 rtsp_server.py INDEX [--port PORT] [--user NAME --password WORD] [--apart]

INDEX is that of film.py. Prints `ready PORT` when it listens on 127.0.0.1, serves the film at /cam over TCP and UDP, each client from
its beginning (with --apart from a keyframe of its own, so that things do not happen before all cameras at once), and runs until its standard
input closes. It imports nothing of ours.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import threading
from pathlib import Path
from typing import Any

MICROSECOND = 1000
"""In GStreamer's clock, which counts nanoseconds."""
GOLDEN_RATIO = 0.618034
"""Its multiples lie evenly between whole numbers, however many there are."""
LAUNCH = (
    "( appsrc name=film format=time caps=video/x-h264,stream-format=byte-stream,alignment=au "
    "! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)


class Film:
    """The access units of a film, again and again, on one running clock."""

    def __init__(self, index: Path) -> None:
        told = json.loads(index.read_text())
        self.data = (index.parent / told["file"]).read_bytes()
        self.units = told["units"]
        self.loop_us = told["loop_us"]

    def keyframe(self, share: float) -> int:
        """Number of the first keyframe behind a share of the film; 0 where none is."""
        behind = range(int(share * len(self.units)), len(self.units))
        return next((number for number in behind if self.units[number][4]), 0)

    def feed(self, gst: Any, source: Any, first: int) -> None:
        """Give `source` one unit whenever it asks, from number `first` on."""
        position, zero_us = first, min(self.units[first][2:4])

        def push(source: Any, wanted: int) -> None:
            nonlocal position
            loop, place = divmod(position, len(self.units))
            offset, size, pts_us, dts_us, _ = self.units[place]
            buffer = gst.Buffer.new_wrapped(self.data[offset : offset + size])
            buffer.pts = max(0, loop * self.loop_us + pts_us - zero_us) * MICROSECOND
            buffer.dts = max(0, loop * self.loop_us + dts_us - zero_us) * MICROSECOND
            position += 1
            source.emit("push-buffer", buffer)

        source.connect("need-data", push)


def main() -> None:
    import gi  # type: ignore[import-not-found]

    parser = argparse.ArgumentParser()
    parser.add_argument("index", type=Path)
    parser.add_argument("--port", default="0")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--apart", action="store_true")
    arguments = parser.parse_args()
    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found]

    Gst.init(None)
    film = Film(arguments.index)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(arguments.port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH)
    clients = itertools.count()

    def begin(_: Any, media: Any) -> None:
        first = film.keyframe(next(clients) * GOLDEN_RATIO % 1) if arguments.apart else 0
        film.feed(Gst, media.get_element().get_child_by_name("film"), first)

    factory.connect("media-configure", begin)
    if arguments.user:
        _require_password(GstRtspServer, server, factory, arguments.user, arguments.password)
    server.get_mount_points().add_factory("/cam", factory)
    if server.attach(None) == 0:
        sys.exit(f"port {arguments.port}: expected a free port of 127.0.0.1, got one in use")
    loop = GLib.MainLoop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    print("ready", server.get_bound_port(), flush=True)
    loop.run()


def _require_password(rtsp: Any, server: Any, factory: Any, user: str, password: str) -> None:
    permissions = rtsp.RTSPPermissions()
    permissions.add_permission_for_role("user", rtsp.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
    permissions.add_permission_for_role("user", rtsp.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
    factory.set_permissions(permissions)
    auth, token = rtsp.RTSPAuth(), rtsp.RTSPToken()
    token.set_string(rtsp.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "user")
    auth.add_basic(rtsp.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)


if __name__ == "__main__":
    main()
