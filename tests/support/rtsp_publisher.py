"""Pushes a file's packets to a listening camera over RTSP, as an encoder does: `python rtsp_publisher.py FILE URL`.

A process of its own: PyAV keeps the interpreter's lock while it writes, so publisher and listener in one process wait for each
other for ever.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import av
from clips import copy_packets

WAIT_S = 60.0
PAUSE_S = 0.05
"""Between two tries: who is about to listen may need the processor."""


def publish(path: Path, url: str) -> None:
    """Push the file and return when the other side has taken it."""
    subprocess.run([sys.executable, __file__, str(path), url], check=True, timeout=2 * WAIT_S)


def push(path: str, url: str) -> None:
    with av.open(path) as recorded, av.open(url, "w", format="rtsp", options={"rtsp_transport": "tcp"}) as out:
        copy_packets(recorded, out)


def main() -> None:
    """Tries until somebody listens."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            return push(*sys.argv[1:])
        except (av.ConnectionRefusedError, av.BrokenPipeError):
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
