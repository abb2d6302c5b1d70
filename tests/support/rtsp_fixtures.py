"""An RTSP server made by others, as a program beside the tests. No test in here."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from programs import SYSTEM_PYTHON
from repository import SUPPORT
from stopping import stop

SERVER = SUPPORT / "rtsp_server.py"
WAIT_S = 60.0


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
