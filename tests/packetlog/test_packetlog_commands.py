"""The commands that record, replay and cut, with real cameras, files and signals."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from ov2_command import COMMAND, WAIT_S, ov2
from packetlog_cases import read
from packetlog_fixtures import film, log
from stopping import running
from waiting import until

from stream.packetlog import PacketLog
from stream.sources import open_source

__all__ = ["film", "log"]


def test_recording_a_camera_that_is_killed_keeps_what_came(film: Path, tmp_path: Path, rtsp_server: Callable[..., int]) -> None:
    """The real command, a real camera, a real kill -9."""
    with open_source(str(film)) as source:
        sent = list(source)
    folder, url = tmp_path / "front", f"rtsp://127.0.0.1:{rtsp_server(film)}/cam"
    with running([*COMMAND, "record", url, "--out", str(folder)]) as command:
        until(lambda: any(folder.glob("*.ov2log")) and len(read(folder)) > 10)
        command.kill()
    found = read(folder)
    assert len(found) > 10
    assert [(each.data, each.pts_s, each.is_key) for each in found] == [
        (each.data, each.pts_s, each.is_key) for each in sent[: len(found)]
    ]


def test_a_file_recorded_and_replayed_gives_the_groups_of_the_file(film: Path, tmp_path: Path) -> None:
    done = ov2("record", str(film), "--out", str(tmp_path / "front"), "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert (told["camera"], told["drops"], told["error"]) == ("front", {}, None)
    assert told["packets"] == told["log"]["num_packets"] > 50
    setting = ("--json", "--set", "max_pixels=24000", "--set", "token_rate=60")
    assert ov2("replay", str(tmp_path / "front"), *setting).stdout == ov2("tokenize", str(film), *setting).stdout != ""


def test_a_configuration_records_its_cameras_into_folders_of_their_own(film: Path, tmp_path: Path) -> None:
    config = tmp_path / "ov2.yaml"
    config.write_text(f"cameras:\n  front: {{url: {film}}}\n  back: {{url: {film}}}\n  shed: {{url: x, enabled: false}}\n")
    done = ov2("record", str(config), "--out", str(tmp_path / "logs"), "--seconds", "2", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["camera"] for line in lines] == ["front", "back"], done.stderr
    for name in ("front", "back"):
        assert 1.5 <= read(tmp_path / "logs" / name)[-1].media_s < 2.0


def test_recording_ends_in_order_when_it_is_told_to(tmp_path: Path, film: Path, rtsp_server: Callable[..., int]) -> None:
    folder, url = tmp_path / "front", f"rtsp://127.0.0.1:{rtsp_server(film)}/cam"
    with running([*COMMAND, "record", url, "--out", str(folder), "--json"], stdout=subprocess.PIPE) as command:
        until(lambda: any(folder.glob("*.ov2log")) and read(folder))
        command.send_signal(signal.SIGTERM)
        told, _ = command.communicate(timeout=WAIT_S)
    assert command.returncode == 0
    assert json.loads(told)["packets"] == len(read(folder)) > 0
    assert any(folder.glob("*.index"))


def test_an_unreachable_camera_is_told_without_its_password(tmp_path: Path) -> None:
    done = ov2("record", "rtsp://me:hunter2@127.0.0.1:9/x", "--out", str(tmp_path), "--seconds", "1", "--timeout-s", "1")
    assert done.returncode == 1
    assert "connection refused" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_a_bad_time_is_one_line(log: PacketLog, tmp_path: Path) -> None:
    for arguments in (
        ("replay", str(log.folder), "--start", "x"),
        ("clip", str(log.folder), str(tmp_path / "o.mp4"), "--start", "x", "--end", "1"),
    ):
        done = ov2(*arguments)
        assert done.returncode == 2
        assert "expected epoch seconds" in done.stderr
        assert "Traceback" not in done.stderr
