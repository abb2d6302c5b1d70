"""Programs of the system that tests talk to, and what to do where a machine lacks one. No test in here."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"
"""Debian's, which sees the packages python3-gi and gir1.2-gst-rtsp-server-1.0."""


@cache
def _has_rtsp_server() -> bool:
    check = "import gi; gi.require_version('GstRtspServer', '1.0')"
    return Path(SYSTEM_PYTHON).exists() and not subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True).returncode


@cache
def _has_webrtcbin() -> bool:
    check = (
        "import gi; gi.require_version('GstWebRTC', '1.0'); gi.require_version('Gst', '1.0'); from gi.repository import Gst; "
        "Gst.init(None); assert all(map(Gst.ElementFactory.find, ('webrtcbin', 'nicesrc', 'x264enc')))"
    )
    return Path(SYSTEM_PYTHON).exists() and not subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True).returncode


PROGRAMS: dict[str, tuple[str, Callable[[], bool]]] = {
    "mosquitto": (
        "the package mosquitto",
        lambda: bool(shutil.which("mosquitto")) or Path("/usr/sbin/mosquitto").exists(),
    ),
    "chromium": (
        "the package chromium and Python's playwright",
        lambda: Path("/usr/bin/chromium").exists() and find_spec("playwright") is not None,
    ),
    "webrtcbin": ("the packages gir1.2-gst-plugins-bad-1.0 and gstreamer1.0-nice", _has_webrtcbin),
    "compiler": ("the packages gcc and libc6-dev", lambda: bool(shutil.which("cc"))),
    "redis_server": ("the package redis-server", lambda: bool(shutil.which("redis-server"))),
    "certificate": ("the package openssl", lambda: bool(shutil.which("openssl"))),
    "rtsp_server": ("the packages python3-gi and gir1.2-gst-rtsp-server-1.0", _has_rtsp_server),
}
"""By fixture, what it needs of the system."""


def require(name: str) -> None:
    """Skips the test on a user's machine that lacks the program, and fails it where CI promises to have it."""
    packages, is_here = PROGRAMS[name]
    if not is_here():
        reason = f"{name}: expected {packages} on this machine; scripts/system_packages.sh installs it"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
