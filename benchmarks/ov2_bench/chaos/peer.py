"""The cameras of a run: processes that play a film without end, and can be killed and come back.

In: films. Out: `RtspPeer` (GStreamer's server, pulled from) and `PushPeer` (a PyAV publisher, which comes by itself).
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from ov2_bench.chaos.film import LoopedFilm
from ov2_bench.errors import RunError

SYSTEM_PYTHON = "/usr/bin/python3"
"""Debian's, which sees the packages python3-gi and gir1.2-gst-rtsp-server-1.0."""
RTSP_SERVER = Path(__file__).with_name("rtsp_server.py")
_CHECK = "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0')"
_ELEMENTS = (
    "; from gi.repository import Gst; Gst.init(None); assert all(map(Gst.ElementFactory.find, ['h264parse', 'rtph264pay']))"
)
PACKAGES = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
START_S = 20.0


class Peer(Protocol):
    """One camera. `start` returns when it can be reached, or is on its way to the service."""

    @property
    def pid(self) -> int | None: ...

    async def start(self, film: LoopedFilm) -> None: ...

    async def kill(self) -> None:
        """End it without a goodbye. It may be started again, with another film."""


def check_gstreamer() -> None:
    """Raises `RunError`, naming the packages, where the system's Python has no RTSP server."""
    if (
        not Path(SYSTEM_PYTHON).exists()
        or subprocess.run([SYSTEM_PYTHON, "-c", _CHECK + _ELEMENTS], capture_output=True).returncode
    ):
        raise RunError(
            f"expected GStreamer's RTSP server for {SYSTEM_PYTHON}, found none; on Debian: sudo apt-get install {PACKAGES}"
        )


class _Child:
    """A child process that ends when we do: its standard input closes."""

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return None if self.process is None else self.process.pid

    async def run(self, *command: str) -> asyncio.subprocess.Process:
        assert self.process is None, "expected a camera that is not running"
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
        )
        return self.process

    async def kill(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


class RtspPeer(_Child):
    """GStreamer's RTSP server, always on the same port once it has one. The film is at /cam, for any number of clients; with `apart` each sees
    it from a keyframe of its own on."""

    def __init__(self, *, apart: bool = False) -> None:
        super().__init__()
        self.port = 0
        self._more = ["--apart"] if apart else []

    async def start(self, film: LoopedFilm) -> None:
        server = await self.run(SYSTEM_PYTHON, str(RTSP_SERVER), str(film.index), "--port", str(self.port), *self._more)
        assert server.stdout is not None
        line = await asyncio.wait_for(server.stdout.readline(), START_S)
        word, _, port = line.decode().partition(" ")
        if word != "ready":
            await self.kill()
            raise RunError(f"RTSP server: expected it to listen on port {self.port or 'of its choice'}, it ended")
        self.port = int(port)


class PushPeer(_Child):
    """A publisher that comes to `url`, and comes again for ever."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    async def start(self, film: LoopedFilm) -> None:
        await self.run(sys.executable, "-m", "ov2_bench.chaos.publisher", str(film.path), self.url)
