"""Waiting for what another thread or process does. No test in here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
WAIT_S = 60.0


def until(test: Callable[[], Found], wait_s: float = WAIT_S) -> Found:
    """Wait until something holds, and give what `test` found."""
    deadline, pause = time.monotonic() + wait_s, threading.Event()
    while not (result := test()):
        assert time.monotonic() < deadline, "waited in vain"
        pause.wait(0.005)
    return result
