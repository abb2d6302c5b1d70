"""The two processes of the demo: the service, and the camera that pushes to it.

In: a checkpoint, a seed. Out: running processes and their addresses; both are ended, and waited for, when the block ends.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ov2_bench.testbed.ports import HOST, free_port
from ov2_bench.testbed.program import Program
from ov2_bench.testbed.service import Service

CAMERA = "front"
TOKEN_BYTES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the service is, and what opens it: HTTP base URL and a token, MQTT address and credentials, and the RTSP address that the camera
    pushes to."""

    http: str
    token: str = field(repr=False)
    mqtt_host: str
    mqtt_port: int
    mqtt_username: str
    mqtt_password: str = field(repr=False)
    rtsp: str


@asynccontextmanager
async def service(model: str, out: Path) -> AsyncIterator[Addresses]:
    """`ov2 serve` with one listening camera and the embedded broker, closed to everybody else on the machine. The token is in no file."""
    rtsp = f"rtsp://{HOST}:{free_port()}/{CAMERA}"
    shutil.rmtree(out / "ov2-data", ignore_errors=True)  # the journal of the last demo: its events are not of this one
    token = secrets.token_urlsafe(TOKEN_BYTES)
    config = {"model": {"path": model}, "cameras": {CAMERA: {"url": rtsp, "listen": True}}}
    async with Service(config, out, environment={"OV2_SERVER_TOKENS": json.dumps([token])}) as running:
        told = running.told()
        mqtt = told["mqtt"]
        yield Addresses(
            http=told["http"],
            token=token,
            mqtt_host=mqtt["host"],
            mqtt_port=int(mqtt["port"]),
            mqtt_username=mqtt["username"],
            mqtt_password=mqtt["password"],
            rtsp=rtsp,
        )


def camera(seed: int, seconds: int, rtsp: str, out: Path) -> Program:
    """The camera process: it films `seed` and pushes for `seconds`."""
    command = ["publish", rtsp, "--seed", str(seed), "--seconds", str(seconds), "--connect-s", "30"]
    return Program("camera", [sys.executable, "-m", "trainer.world", *command], out / "camera.log")
