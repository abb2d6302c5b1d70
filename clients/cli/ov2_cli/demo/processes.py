"""The two processes of the demo: the service, and the camera that pushes to it.

In: a checkpoint, a seed. Out: running processes and their addresses; both are ended, and waited for, when the block ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
CAMERA = "front"


class DemoError(Exception):
    """A process of the demo that did not come up or died; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the service is: HTTP base URL, MQTT host and port, and the RTSP address that the camera pushes to."""

    http: str
    mqtt_host: str
    mqtt_port: int
    rtsp: str


@asynccontextmanager
async def service(model: str, out: Path) -> AsyncIterator[Addresses]:
    """Start `ov2 serve` with one listening camera and the embedded broker, and wait until it answers."""
    rtsp = f"rtsp://127.0.0.1:{free_port()}/{CAMERA}"
    config, ready, log = out / "ov2.yaml", out / "ready.json", out / "service.log"
    ready.unlink(missing_ok=True)
    shutil.rmtree(out / "ov2-data", ignore_errors=True)  # the journal of the last demo: its events are not of this one
    settings = {"model": {"path": model}, "cameras": {CAMERA: {"url": rtsp, "listen": True}}}
    config.write_text(json.dumps(settings, indent=2) + "\n")
    command = ("serve", "--config", str(config), "--host", "127.0.0.1", "--port", "0", "--ready-file", str(ready))
    async with process([sys.executable, "-m", "ov2_cli", *command], log) as running:
        for _ in range(int(START_TIMEOUT_S / 0.05)):
            if ready.exists():
                break
            if running.returncode is not None:
                raise DemoError(f"the service ended with status {running.returncode}:\n{tail(log)}")
            await asyncio.sleep(0.05)
        else:
            raise DemoError(f"the service was not ready within {START_TIMEOUT_S:.0f} s:\n{tail(log)}")
        told = json.loads(ready.read_text())
        yield Addresses(told["http"], told["mqtt"]["host"], int(told["mqtt"]["port"]), rtsp)


@asynccontextmanager
async def camera(seed: int, seconds: int, rtsp: str, out: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start the camera process: it films `seed` and pushes for `seconds`."""
    command = ["publish", rtsp, "--seed", str(seed), "--seconds", str(seconds), "--connect-s", "30"]
    async with process([sys.executable, "-m", "trainer.world", *command], out / "camera.log") as running:
        yield running


@asynccontextmanager
async def process(command: list[str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that writes to a log; ended, and waited for, when the block ends."""
    with log.open("wb") as file:
        running = await asyncio.create_subprocess_exec(*command, stdout=file, stderr=asyncio.subprocess.STDOUT)
        try:
            yield running
        finally:
            with contextlib.suppress(ProcessLookupError):
                running.terminate()
            try:
                await asyncio.wait_for(running.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                running.kill()
                await running.wait()


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tail(log: Path, lines: int = 12) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
