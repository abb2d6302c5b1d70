"""The folders of a service: one service to a data folder, one camera to a recording, and nothing among other people's files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ov2_cli import main as command
from service_fixtures import checkpoint, video  # noqa: F401

from stream.config.configuration import parse
from stream.config.folders import check_recordings, lock_data
from stream.errors import FolderTakenError, SettingsError
from stream.folder_lock import FolderLock
from stream.packetlog import PacketLogWriter

# ruff: noqa: F811

Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run `ov2 serve` on a configuration that cannot start: its one line. Its status is 2."""

    def run(config: dict[str, Any] | bytes, *flags: str) -> str:
        file = tmp_path / "ov2.yaml"
        file.write_bytes(config if isinstance(config, bytes) else yaml.safe_dump(config).encode())
        monkeypatch.setattr(sys, "argv", ["ov2", "serve", "--config", str(file), *flags])
        with pytest.raises(SystemExit) as ended:
            command.main()
        said = capsys.readouterr().err
        assert ended.value.code == 2, said
        assert said.count("\n") == 1, said
        return said

    return run


def recording(**folders: str) -> dict[str, Any]:
    return {
        "cameras": {name: {"url": "x", "record": {"folder": folder}} for name, folder in folders.items()},
        "server": {"port": 0},
    }


def test_one_service_to_a_data_folder_until_it_is_killed(
    refused: Refused, tmp_path: Path, checkpoint: Path, video: Path
) -> None:
    config = {
        "cameras": {"front": {"url": str(video)}},
        "model": {"path": str(checkpoint)},
        "server": {"port": 0},
        "memory": {"enabled": False},
    }
    (tmp_path / "first.yaml").write_text(yaml.safe_dump(config))
    line = [sys.executable, "-m", "ov2_cli", "serve", "--config", str(tmp_path / "first.yaml"), "--ready-file", "-"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline()
        said = refused(config)
        assert f"data: expected a folder of its own, process {first.pid} serves from {tmp_path / 'ov2-data'}" in said
        first.send_signal(signal.SIGKILL)
    lock_data(tmp_path / "ov2-data").release()


def test_a_lock_goes_with_its_holder_and_not_with_its_file(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "a" / "lock"), pytest.raises(FolderTakenError, match=f"process {os.getpid()}"):
        FolderLock(tmp_path / "a" / "lock")
    (tmp_path / "a" / "lock").write_bytes(b"\xff no number")
    with FolderLock(tmp_path / "a" / "lock"):
        assert (tmp_path / "a" / "lock").read_text() == f"{os.getpid()}\n"


def test_a_data_folder_that_cannot_be_is_told(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refused({"cameras": {"front": {"url": "x"}}, "data": str(tmp_path / "file" / "data")})
    assert "data: expected a folder that can be written and locked at" in said


def test_a_folder_with_other_peoples_files_is_not_recorded_into(refused: Refused, tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    (folder / "beach.jpg").touch()
    said = refused(recording(front=str(folder)))
    assert "cameras.front.record.folder: expected an empty folder or one with a recording, got one with other files" in said
    PacketLogWriter(folder).close()
    config = parse({**recording(front=str(folder), back=str(tmp_path / "none")), "data": str(tmp_path / "data")}, {})
    check_recordings(config.recording_folders, config.data)  # it is a recording's by now, whatever else lies there


@pytest.mark.parametrize(
    ("target", "says"), [("log", "got that of cameras.a."), ("data", "got that of data"), ("/etc", "system's")]
)
def test_links_are_followed(tmp_path: Path, target: str, says: str) -> None:
    for name in ("log", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / target)
    document = recording(a=str(tmp_path / "log"), b=str(tmp_path / "link"))
    config = parse({**document, "data": str(tmp_path / "data")}, {})
    with pytest.raises(SettingsError, match=rf"cameras\.b\.record\.folder: expected .*{says}"):
        check_recordings(config.recording_folders, config.data)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (b"cameras: {a: {url: x}}\ncameras: {b: {url: x}}\n", "the key cameras a second time (first in line 1) at line 2"),
        (b"cameras: &a [*a]\n", "an alias inside of what it names at line 1"),
        (b"cameras: " + b"[" * 200_000, "more than 32 levels at line 1"),
        (b"cameras: {a: {url: x}}\nmodel: {threads: " + b"9" * 5000 + b"}\n", "at line 2"),
        (
            b"cameras: {a: {url: x, record: {folder: ../../..}}}\n",
            "cameras.a.record.folder: expected a folder in the data folder",
        ),
        (b"cameras: {a: {url: x}}\nserver: {tokens: ['   ']}\n", "server.tokens.0: expected 1 to 1024"),
        (b"\0\1\2\3", "the character U+0000 at line 1"),
    ],
)
def test_a_hostile_file_ends_with_status_2_and_one_line(refused: Refused, config: bytes, says: str) -> None:
    assert says in refused(config)


def test_flags_are_held_to_the_same_bounds(refused: Refused) -> None:
    assert "--port: expected 0 to 65535, got 70000" in refused({"cameras": {"a": {"url": "x"}}}, "--port", "70000")
    assert "expected to listen on" in refused({"cameras": {"a": {"url": "x"}}}, "--host", "a" * 300, "--port", "0")
