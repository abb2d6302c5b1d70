"""Ending programs that tests have started: asked, given a while, killed. A busy machine must not make a teardown fail, nor a test that
fails leave a program behind. No test in here."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

STOP_S = 20.0
"""What a program has for ending in order. pytest gives a test two minutes."""


def stop(process: subprocess.Popen[str], how: signal.Signals | None = signal.SIGTERM) -> str:
    """Asks by a signal, or by the end of the program's standard input alone (None); kills one that does not end within `STOP_S`. What it said
    on standard output and nobody has read."""
    if how is not None:
        process.send_signal(how)
    if process.stdin is not None and process.stdin.closed:
        process.stdin = None  # `communicate` would flush it
    try:
        said, _ = process.communicate(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        said = ""
        with suppress(subprocess.TimeoutExpired):  # a child of its own may hold its output open
            said, _ = process.communicate(timeout=STOP_S)
    return said or ""


@contextmanager
def running(command: list[str], **how: Any) -> Iterator[subprocess.Popen[str]]:
    """A program, stopped in the end, whatever became of the test. It hears SIGINT, also where the tests run in the background of a shell, which
    has its children ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a handler is not inherited, to ignore is
    try:
        process = subprocess.Popen(command, text=True, **how)
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield process
    finally:
        stop(process)
