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

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when triton is imported: kernels then run on CPU tensors

collect_ignore_glob = [] if find_spec("triton") else ["test_kernels_*.py"]
"""Triton is published for Linux alone; the kernels' tests need it."""
GOLDEN = Path(__file__).parent / "golden"
SERVER = Path(__file__).parent / "rtsp_server.py"
SYSTEM_PYTHON = "/usr/bin/python3"
"""Debian's, which sees the packages python3-gi and gir1.2-gst-rtsp-server-1.0."""
WAIT_S = 20.0


class RtspServer:
    """Starts GStreamer's RTSP server with a file at /cam (and MJPEG at /jpeg, audio at /audio); a call returns its port."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def __call__(self, file: Path, *, user: str | None = None, password: str | None = None) -> int:
        command = [SYSTEM_PYTHON, str(SERVER), str(file)]
        if user is not None and password is not None:
            command += ["--user", user, "--password", password]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._running.append(server)
        assert server.stdout is not None
        word, port = server.stdout.readline().split()
        assert word == "ready"
        return int(port)

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


PROGRAMS: dict[str, tuple[str, Callable[[], bool]]] = {
    "mosquitto": (
        "the package mosquitto",
        lambda: bool(shutil.which("mosquitto")) or Path("/usr/sbin/mosquitto").exists(),
    ),
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
