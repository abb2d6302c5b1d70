"""Films that a camera shows, their recorder, and a short packet log. No test in here."""

from __future__ import annotations

from pathlib import Path

import pytest
from packetlog_cases import packets
from published import published

from stream.camera.recording import Recorder
from stream.config.recording import RecordSettings
from stream.packetlog import PacketLog, PacketLogWriter
from trainer.world import World, write_file

SECONDS = 6.0
SETTINGS = published(max_pixels=24_000, token_rate=60.0, t_max_s=3.0)


@pytest.fixture(scope="module", params=["default", "bframes"])
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_file(World(900_005, duration_s=SECONDS), path, width=320, height=180, camera=str(request.param))


@pytest.fixture
def log(tmp_path: Path) -> PacketLog:
    with PacketLogWriter(tmp_path / "log") as writer:
        for packet in packets(100):
            writer.put(packet)
    return PacketLog(tmp_path / "log")


def recorder(folder: Path) -> Recorder:
    return Recorder("front", RecordSettings(folder=folder, segment_bytes=1 << 16), SETTINGS)
