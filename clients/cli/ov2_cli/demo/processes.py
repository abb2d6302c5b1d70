"""The two processes of the demo: the service, and the camera that pushes to it.

In: a checkpoint, a seed. Out: running processes and their addresses; both are ended, and waited for, when the block ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
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
    settings = {"model": {"path": model}, "cameras": {CAMERA: {"url": rtsp, "listen": True}}}
    config.write_text(json.dumps(settings, indent=2) + "\n")
    command = ("serve", "--config", str(config), "--host", "127.0.0.1", "--port", "0", "--ready-file", str(ready))
    async with _process([sys.executable, "-m", "ov2_cli", *command], log) as process:
        for _ in range(int(START_TIMEOUT_S / 0.05)):
            if ready.exists():
                break
            if process.returncode is not None:
                raise DemoError(f"the service ended with status {process.returncode}:\n{_tail(log)}")
            await asyncio.sleep(0.05)
        else:
            raise DemoError(f"the service was not ready within {START_TIMEOUT_S:.0f} s:\n{_tail(log)}")
        told = json.loads(ready.read_text())
        yield Addresses(told["http"], told["mqtt"]["host"], int(told["mqtt"]["port"]), rtsp)


@asynccontextmanager
async def camera(seed: int, seconds: int, rtsp: str, out: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start the camera process: it films `seed` and pushes for `seconds`."""
    command = ["publish", rtsp, "--seed", str(seed), "--seconds", str(seconds), "--connect-s", "30"]
    async with _process([sys.executable, "-m", "trainer.world", *command], out / "camera.log") as process:
        yield process


@asynccontextmanager
async def _process(command: list[str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(*command, stdout=file, stderr=asyncio.subprocess.STDOUT)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                process.kill()
                await process.wait()


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tail(log: Path, lines: int = 12) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
