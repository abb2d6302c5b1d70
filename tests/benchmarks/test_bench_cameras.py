"""`ov2 bench cameras` measures the real service beside plain decoding; at a small size here."""

from __future__ import annotations

import asyncio
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from ov2_bench.cameras import TABLE, Load, bench_cameras, bench_table, markdown


@pytest.mark.usefixtures("rtsp_server")
@pytest.mark.timeout(300)
def test_cameras_are_measured_beside_plain_decoding_of_the_same_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("ov2_bench.cameras")
    for name, value in {"WARM_S": 1.0, "PLAIN_S": 2.0, "FILM_S": 10.0}.items():
        monkeypatch.setattr(module, name, value)
    told: list[str] = []
    load = Load(count=2, seconds=3.0, width=160, height=96, fps=10, out=tmp_path)
    row = asyncio.run(bench_cameras(load, told.append))
    assert (row["cameras"], row["exceptions"], row["unanswered"], row["reconnects"]) == (2, 0, 0, 0)
    assert 0 < row["frame_age_ms"]["p50"] <= row["frame_age_ms"]["p95"] <= row["frame_age_ms"]["max"]
    assert row["cores"] > 0
    assert row["plain_cores"] > 0
    assert row["cores_per_camera"] == pytest.approx(row["cores"] / 2, abs=1e-3)
    assert row["cores_per_camera_without_alerts"] > 0
    assert row["fps_per_camera"] > 0
    assert row["plain_fps_per_camera"] > 0
    assert "waiting for 2 cameras" in " ".join(told)
    assert any("without boundary alerts" in line for line in told)


def test_the_table_has_a_row_for_every_size_and_rate(tmp_path: Path) -> None:
    async def run(load: Load, tell: object) -> dict[str, Any]:
        assert load.token_rate == 4.0
        age = {"p50": 30.0, "p95": 60.0, "max": 70.0}
        return {"name": load.name, "cameras": load.count, "cores_per_camera": 0.05, "cores_per_camera_without_alerts": 0.04,
                "plain_cores_per_camera": 0.02,
                "cores_to_plain": 2.5, "frame_age_ms": age, "drops": 0}  # fmt: skip

    rows = asyncio.run(bench_table(1.0, tmp_path, print, run, token_rate=4.0))
    lines = markdown(rows).splitlines()
    assert len(lines) == 2 + len(TABLE)
    assert lines[2] == "| 320x180 10 fps | 8 | 0.050 | 0.040 | 0.020 | 2.5 | 30 / 60 / 70 ms | 0 |"
