"""Asks /healthz again and again, in a process of its own: `python -m ov2_bench.attack.probe HOST PORT`.

Out: a line per question, `MONOTONIC_S ANSWER_MS LATE_MS STATUS`: how long the answer took, how much later than planned the probe itself
woke up (what the machine, not the service, takes), and the status, 0 for none. It ends when its standard input closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

EVERY_S = 0.05
ANSWER_S = 10.0
REST_S = 0.25
"""After a question that got no answer."""


class Reading(NamedTuple):
    """`answer_ms` of a question that got no answer: until it was given up."""

    at_s: float
    answer_ms: float
    late_ms: float
    status: int


def ask(host: str, port: int) -> None:
    """For ever."""
    connection: socket.socket | None = None
    due_s = time.monotonic()
    while True:
        began_s = time.monotonic()
        try:
            connection = connection or socket.create_connection((host, port), timeout=ANSWER_S)
            connection.sendall(f"GET /healthz HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            status = _status(connection)
        except OSError:
            status = 0
        if not status and connection is not None:
            connection.close()
            connection = None
        now_s = time.monotonic()
        print(f"{began_s:.3f} {1000 * (now_s - began_s):.1f} {1000 * max(0.0, began_s - due_s):.1f} {status}", flush=True)
        due_s = now_s + (EVERY_S if status else REST_S)
        time.sleep(due_s - now_s)


def _status(connection: socket.socket) -> int:
    """Of one short answer; 0 where the connection ends before."""
    data = b""
    while b"\r\n\r\n" not in data or not data.endswith(b"}"):
        more = connection.recv(1 << 16)
        if not more:
            return 0
        data += more
    return int(data.split(b" ", 2)[1])


@asynccontextmanager
async def probing(host: str, port: int, readings: list[Reading]) -> AsyncIterator[None]:
    """While the block runs, what the probe reads is appended."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __spec__.name, host, str(port), stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
    )
    reading = asyncio.create_task(_read(process, readings))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reading


async def _read(process: asyncio.subprocess.Process, readings: list[Reading]) -> None:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        at_s, answer_ms, late_ms, status = line.split()
        readings.append(Reading(float(at_s), float(answer_ms), float(late_ms), int(status)))


def main() -> None:
    host, port = sys.argv[1:]
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    ask(host, int(port))


if __name__ == "__main__":
    main()
