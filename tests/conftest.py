"""What all tests share: golden data, and an RTSP server made by others."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from certificates import Certificate, make_certificate
from programs import PROGRAMS, SYSTEM_PYTHON, require
from stopping import stop

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when triton is imported: kernels then run on CPU tensors

collect_ignore_glob = [] if find_spec("triton") else ["test_kernels_*.py"]
"""Triton is published for Linux alone; the kernels' tests need it."""
GOLDEN = Path(__file__).parent / "golden"
SERVER = Path(__file__).parent / "rtsp_server.py"


class RtspServer:
    """Starts GStreamer's RTSP server with a file at /cam (beside audio at /talking, MJPEG at /jpeg, audio alone at /audio); a call returns
    its port. Flags are those of rtsp_server.py."""

    def __init__(self) -> None:
        self.running: list[subprocess.Popen[str]] = []

    def __call__(self, file: Path, *flags: str, user: str | None = None, password: str | None = None) -> int:
        command = [SYSTEM_PYTHON, str(SERVER), str(file), *flags]
        if user is not None and password is not None:
            command += ["--user", user, "--password", password]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.running.append(server)
        assert server.stdout is not None
        word, port = server.stdout.readline().split()
        assert word == "ready"
        return int(port)

    def kept_alive(self) -> list[str]:
        """Stop the server that was started last; the requests that kept its sessions alive, by method."""
        said = stop(self.running.pop(), None)
        return [line.split()[1] for line in said.splitlines() if line.startswith("request ")]

    def freeze(self) -> None:
        """The servers live, and do nothing."""
        for server in self.running:
            server.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        for server in self.running:
            server.send_signal(signal.SIGCONT)
            stop(server, None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test whose program is missing does not begin."""
    for fixture in getattr(item, "fixturenames", ()):
        if fixture in PROGRAMS:
            require(fixture)


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
