"""A camera made by others: GStreamer's RTSP server, which plays a film without end. Run by the system's Python, which has `gi`:

    /usr/bin/python3 rtsp_server.py INDEX [--port PORT] [--user NAME --password WORD]

INDEX is that of film.py. Prints `ready PORT` when it listens on 127.0.0.1, serves the film at /cam over TCP and UDP, each client from
its beginning, and runs until its standard input closes. It imports nothing of ours.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from pathlib import Path
from typing import Any

MICROSECOND = 1000
"""In GStreamer's clock, which counts nanoseconds."""
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

    def feed(self, gst: Any, source: Any) -> None:
        """Give `source` one unit whenever it asks."""
        position = 0

        def push(source: Any, wanted: int) -> None:
            nonlocal position
            loop, place = divmod(position, len(self.units))
            offset, size, pts_us, dts_us, _ = self.units[place]
            buffer = gst.Buffer.new_wrapped(self.data[offset : offset + size])
            buffer.pts = (loop * self.loop_us + pts_us) * MICROSECOND
            buffer.dts = max(0, loop * self.loop_us + dts_us) * MICROSECOND
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
    factory.connect("media-configure", lambda _, media: film.feed(Gst, media.get_element().get_child_by_name("film")))
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
