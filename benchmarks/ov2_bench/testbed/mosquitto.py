"""A Mosquitto of one's own.

In: a folder, a port of loopback. Out: a `Program`, up when the port answers.
"""

from __future__ import annotations

import os
from pathlib import Path

from ov2_bench.testbed.ports import HOST, answers
from ov2_bench.testbed.program import Program, find_program

SBIN = Path("/usr/sbin/mosquitto")
"""Where Debian puts it, outside an ordinary user's path."""


def mosquitto(folder: Path, port: int, *, keeps_sessions: bool = False) -> Program:
    """`keeps_sessions`: on disk, at every change; killed at any moment it then forgets nothing that it has acknowledged. Raises `RunError`
    where it is not installed."""
    program = find_program("mosquitto", SBIN)
    lines = [f"listener {port} {HOST}", "allow_anonymous true"]
    lines += _kept(folder / "mosquitto") if keeps_sessions else ["persistence false"]
    config = folder / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n")
    return Program("mosquitto", [program, "-c", str(config)], folder / "mosquitto.log", lambda: answers(port))


def _kept(folder: Path) -> list[str]:
    """Lines of the configuration, and an empty folder for what is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mosquitto.db").unlink(missing_ok=True)
    lines = ["max_queued_messages 0", "persistence true", f"persistence_location {folder.resolve()}/"]
    lines += ["autosave_on_changes true", "autosave_interval 1"]
    if os.geteuid() == 0:
        lines.append("user root")  # or it would give up the right to write there
    return lines
