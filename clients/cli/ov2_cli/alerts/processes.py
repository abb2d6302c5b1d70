"""The processes of the evaluation: a Mosquitto of its own and the service that watches so many cameras.

In: a checkpoint, camera names. Out: running processes and their addresses; ended, and waited for, when the block ends.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ov2_cli.demo.processes import START_TIMEOUT_S, DemoError, free_port, process, tail

SBIN = Path("/usr/sbin/mosquitto")
"""Where Debian puts it, outside an ordinary user's path."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """HTTP base URL, the broker's port, and the RTSP address of every camera."""

    http: str
    mqtt_port: int
    rtsp: Mapping[str, str]


@asynccontextmanager
async def broker(out: Path) -> AsyncIterator[int]:
    """A Mosquitto on a free port of loopback: its port."""
    program = shutil.which("mosquitto") or (str(SBIN) if SBIN.exists() else None)
    if program is None:
        raise DemoError("expected the program mosquitto, found none; scripts/system_packages.sh installs it")
    port, config = free_port(), out / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    async with process([program, "-c", str(config)], out / "mosquitto.log") as running:
        for _ in range(int(START_TIMEOUT_S / 0.05)):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                if running.returncode is not None:
                    raise DemoError(f"mosquitto ended:\n{tail(out / 'mosquitto.log')}") from None
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            break
        yield port


@asynccontextmanager
async def service(
    model: str, cameras: Sequence[str], watches: Mapping[str, Any], mqtt_port: int, out: Path
) -> AsyncIterator[Addresses]:
    """`ov2 serve` with listening cameras, each with the same watches."""
    rtsp = {name: f"rtsp://127.0.0.1:{free_port()}/{name}" for name in cameras}
    settings = {
        "model": {"path": model},
        "mqtt": {"host": "127.0.0.1", "port": mqtt_port},
        "cameras": {name: {"url": url, "listen": True, "watches": dict(watches)} for name, url in rtsp.items()},
    }
    config, ready, log = out / "ov2.yaml", out / "ready.json", out / "service.log"
    ready.unlink(missing_ok=True)
    config.write_text(json.dumps(settings, indent=2) + "\n")
    flags = ("--config", str(config), "--host", "127.0.0.1", "--port", "0", "--ready-file", str(ready))
    async with process([sys.executable, "-m", "ov2_cli", "serve", *flags], log) as running:
        for _ in range(int(START_TIMEOUT_S / 0.05)):
            if ready.exists():
                break
            if running.returncode is not None:
                raise DemoError(f"the service ended with status {running.returncode}:\n{tail(log)}")
            await asyncio.sleep(0.05)
        else:
            raise DemoError(f"the service was not ready within {START_TIMEOUT_S:.0f} s:\n{tail(log)}")
        yield Addresses(json.loads(ready.read_text())["http"], mqtt_port, rtsp)
