"""The service of the evaluation, which watches so many cameras.

In: a checkpoint, camera names, a broker. Out: a running service and its addresses; ended, and waited for, when the block ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ov2_bench.testbed.ports import HOST, free_port
from ov2_bench.testbed.service import Service


@dataclass(frozen=True, slots=True)
class Addresses:
    """HTTP base URL, and the RTSP address of every camera."""

    http: str
    rtsp: Mapping[str, str]


@asynccontextmanager
async def service(
    model: str, cameras: Sequence[str], watches: Mapping[str, Any], mqtt_port: int, out: Path
) -> AsyncIterator[Addresses]:
    """`ov2 serve` with listening cameras, each with the same watches."""
    rtsp = {name: f"rtsp://{HOST}:{free_port()}/{name}" for name in cameras}
    config = {
        "model": {"path": model},
        "mqtt": {"host": HOST, "port": mqtt_port},
        "cameras": {name: {"url": url, "listen": True, "watches": dict(watches)} for name, url in rtsp.items()},
    }
    async with Service(config, out) as running:
        yield Addresses(running.told()["http"], rtsp)
