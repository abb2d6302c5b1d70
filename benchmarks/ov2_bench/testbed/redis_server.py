"""A Redis of one's own.

In: folders, a port of loopback. Out: a `Program`, up when it has read what it had kept.
"""

from __future__ import annotations

from pathlib import Path

from ov2_bench.testbed.ports import HOST, answers
from ov2_bench.testbed.program import Program, find_program

PROGRAM = "redis-server"


def redis_server(folder: Path, data: Path, port: int, *, disk_may_fill: bool = False) -> Program:
    """With an append-only file in `data`, synced once a second as Redis does by itself; its log is in `folder`. Raises `RunError` where it
    is not installed."""
    program = find_program(PROGRAM)
    data.mkdir(parents=True, exist_ok=True)
    flags = ("--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "yes", "--dir", str(data.resolve()))
    return Program(
        "redis",
        [program, *flags],
        folder / "redis.log",
        lambda: answers(port, b"PING\r\n", b"+PONG"),
        disk_may_fill=disk_may_fill,
    )
