"""The two processes of the demo: the service, and the camera that pushes to it.

In: a checkpoint, a seed. Out: running processes and their addresses; both are ended, and waited for, when the block ends.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ov2_cli.processes.ports import HOST, free_port
from ov2_cli.processes.program import Program
from ov2_cli.processes.service import Service

CAMERA = "front"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the service is: HTTP base URL, MQTT host and port, and the RTSP address that the camera pushes to."""

    http: str
    mqtt_host: str
    mqtt_port: int
    rtsp: str


@asynccontextmanager
async def service(model: str, out: Path) -> AsyncIterator[Addresses]:
    """`ov2 serve` with one listening camera and the embedded broker."""
    rtsp = f"rtsp://{HOST}:{free_port()}/{CAMERA}"
    shutil.rmtree(out / "ov2-data", ignore_errors=True)  # the journal of the last demo: its events are not of this one
    async with Service({"model": {"path": model}, "cameras": {CAMERA: {"url": rtsp, "listen": True}}}, out) as running:
        told = running.told()
        yield Addresses(told["http"], told["mqtt"]["host"], int(told["mqtt"]["port"]), rtsp)


def camera(seed: int, seconds: int, rtsp: str, out: Path) -> Program:
    """The camera process: it films `seed` and pushes for `seconds`."""
    command = ["publish", rtsp, "--seed", str(seed), "--seconds", str(seconds), "--connect-s", "30"]
    return Program("camera", [sys.executable, "-m", "trainer.world", *command], out / "camera.log")
