"""The generated camera as a process of its own, as a real one would be: it shares nothing with who watches it.

In: a seed and the address of a listening RTSP server. Out: a child process that publishes, until its time is over, the peer
closes, or it is stopped.
"""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType
from typing import Self

GRACE_S = 3.0
"""How long a stopped camera may take to say goodbye before it is killed."""


class CameraProcess:
    """`python -m trainer.world publish` as a context manager: starts on entry, is stopped and joined on exit.

    Settings are those of `publish`; `seconds` is how long. `wait` returns the exit code, 0 when all went well; `output` holds
    what the process said, once it has ended.
    """

    def __init__(
        self,
        seed: int,
        url: str,
        *,
        seconds: float,
        start_s: float = 0.0,
        fps: int = 10,
        width: int = 640,
        height: int = 360,
        camera: str = "default",
        connect_s: float = 10.0,
    ) -> None:
        settings = {
            "seed": seed,
            "seconds": seconds,
            "start-s": start_s,
            "fps": fps,
            "width": width,
            "height": height,
            "camera": camera,
            "connect-s": connect_s,
        }
        flags = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
        self._command = [sys.executable, "-m", "trainer.world", "publish", url, *flags]
        self._process: subprocess.Popen[str] | None = None
        self.output = ""

    def start(self) -> None:
        assert self._process is None, "expected a camera that was not started yet"
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def wait(self, timeout_s: float | None = None) -> int:
        """Until it has ended: its exit code. Raises subprocess.TimeoutExpired."""
        assert self._process is not None, "expected a started camera"
        self.output = self._process.communicate(timeout=timeout_s)[0] or self.output
        return self._process.returncode

    def stop(self) -> int:
        """Ask it to end, then insist; its exit code."""
        assert self._process is not None, "expected a started camera"
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self.wait()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
