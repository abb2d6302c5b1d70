"""What all tests share: golden data, an RTSP server made by others, and what to do where a machine lacks a program."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from certificates import Certificate, make_certificate

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when triton is imported: kernels then run on CPU tensors

collect_ignore_glob = [] if find_spec("triton") else ["test_kernels_*.py"]
"""Triton is published for Linux alone; the kernels' tests need it."""
GOLDEN = Path(__file__).parent / "golden"
SERVER = Path(__file__).parent / "rtsp_server.py"
SYSTEM_PYTHON = "/usr/bin/python3"
"""Debian's, which sees the packages python3-gi and gir1.2-gst-rtsp-server-1.0."""
WAIT_S = 60.0


class RtspServer:
    """Starts GStreamer's RTSP server with a file at /cam (beside audio at /talking, MJPEG at /jpeg, audio alone at /audio); a call returns
    its port. Flags are those of rtsp_server.py."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def __call__(self, file: Path, *flags: str, user: str | None = None, password: str | None = None) -> int:
        command = [SYSTEM_PYTHON, str(SERVER), str(file), *flags]
        if user is not None and password is not None:
            command += ["--user", user, "--password", password]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._running.append(server)
        assert server.stdout is not None
        word, port = server.stdout.readline().split()
        assert word == "ready"
        return int(port)

    def kept_alive(self) -> list[str]:
        """Stop the server that was started last; the requests that kept its sessions alive, by method."""
        said, _ = self._running.pop().communicate(timeout=WAIT_S)
        return [line.split()[1] for line in said.splitlines() if line.startswith("request ")]

    def freeze(self) -> None:
        """The servers live, and do nothing."""
        for server in self._running:
            server.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        for server in self._running:
            server.send_signal(signal.SIGCONT)
            server.communicate(timeout=WAIT_S)


def _has_rtsp_server() -> bool:
    check = "import gi; gi.require_version('GstRtspServer', '1.0')"
    return Path(SYSTEM_PYTHON).exists() and not subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True).returncode


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
"""Fixtures that run a program of the system."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test whose program is missing is skipped on a user's machine, and fails where CI promises to have it."""
    for fixture, (packages, is_here) in PROGRAMS.items():
        if fixture in getattr(item, "fixturenames", ()) and not is_here():
            reason = f"{fixture}: expected {packages} on this machine; scripts/system_packages.sh installs it"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(scope="session")
def golden() -> Path:
    return GOLDEN


@pytest.fixture
def rtsp_server() -> Iterator[RtspServer]:
    server = RtspServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))
