"""`ov2 serve` as users start it: what it says when it cannot start, and how it stops."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from child_environment import child_environment
from ov2_cli import main as command
from service_fixtures import checkpoint, video, write_checkpoint  # noqa: F401
from stopping import running

# ruff: noqa: F811

Serve = Callable[..., str]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Serve:
    """Run `ov2 serve` on a configuration that cannot start; what it said. Its status is 2, and it shows no traceback."""

    def run(config: dict[str, Any] | str) -> str:
        file = tmp_path / "ov2.yaml"
        file.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
        monkeypatch.setattr(sys, "argv", ["ov2", "serve", "--config", str(file)])
        with pytest.raises(SystemExit) as ended:
            command.main()
        said = capsys.readouterr().err
        assert ended.value.code == 2, said
        assert "Traceback" not in said
        return said

    return run


CAMERAS = {"front": {"url": "rtsp://admin:hunter2@127.0.0.1:1/x"}}


def test_an_unknown_setting_ends_with_status_2_and_names_the_nearest(serve: Serve) -> None:
    said = serve({"cameras": {"front": {"url": "rtsp://admin:hunter2@127.0.0.1:1/x", "tokeniser": {}}}})
    assert "cameras.front.tokeniser: unknown setting; nearest known setting: tokenizer" in said
    assert "hunter2" not in said


def test_a_file_that_is_no_yaml_ends_with_status_2(serve: Serve) -> None:
    assert "expected YAML" in serve("cameras: {front: [")


def test_a_port_in_use_ends_with_status_2(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = serve({"cameras": CAMERAS, "server": {"port": port}})
    assert f"expected to listen on 127.0.0.1:{port}, got: address already in use" in said
    assert "server.port" in said


def test_a_missing_checkpoint_ends_with_status_2(serve: Serve, tmp_path: Path) -> None:
    said = serve({"cameras": CAMERAS, "server": {"port": 0}, "model": {"path": str(tmp_path / "none")}})
    assert str(tmp_path / "none") in said


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "tokenizer.json", "stream.json"])
def test_a_damaged_checkpoint_ends_with_status_2(serve: Serve, tmp_path: Path, damage: str) -> None:
    folder = write_checkpoint(tmp_path / "checkpoint")
    file = folder / damage
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    said = serve({"cameras": CAMERAS, "server": {"port": 0}, "model": {"path": str(folder)}})
    assert str(folder) in said


def test_a_setting_out_of_range_ends_with_status_2(serve: Serve, checkpoint: Path) -> None:
    cameras = {"front": {**CAMERAS["front"], "tokenizer": {"token_rate": -1}}}
    said = serve({"cameras": cameras, "server": {"port": 0}, "model": {"path": str(checkpoint)}})
    assert "cameras.front.tokenizer.token_rate: expected a number of at least 0.1, got -1" in said


def test_a_signal_stops_the_service_with_status_0_and_no_credential_in_its_log(
    tmp_path: Path, checkpoint: Path, video: Path
) -> None:
    config = {
        "cameras": {"front": {"url": str(video)}, **{f"dead{n}": CAMERAS["front"] for n in range(2)}},
        "model": {"path": str(checkpoint)},
        "server": {"port": 0},
    }
    file = tmp_path / "ov2.yaml"
    file.write_text(yaml.safe_dump(config))
    line = [sys.executable, "-c", "from ov2_cli.main import main; main()", "serve", "--config", str(file), "--ready-file", "-"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "OV2_CAMERAS_FRONT_URL": str(video)}
    with running(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    assert json.loads(ready)["mqtt"]["embedded"] is True, log
    assert process.returncode == 0, log
    assert "hunter2" not in log
    assert "Traceback" not in log


def test_what_was_loaded_is_not_looked_through_by_the_collector_while_the_service_runs(
    tmp_path: Path, checkpoint: Path
) -> None:
    program = (
        "import gc, os, signal, sys\n"
        "from pathlib import Path\n"
        "from stream.config.configuration import load\n"
        "from stream.serve.run import serve\n"
        "def ready(line):\n"
        "    print(gc.get_freeze_count(), len(gc.get_objects()))\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "serve(load(Path(sys.argv[1])), ready=ready)\n"
    )
    config = {"cameras": CAMERAS, "model": {"path": str(checkpoint)}, "server": {"port": 0}, "data": str(tmp_path / "data")}
    (tmp_path / "ov2.yaml").write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "ov2.yaml")],
        capture_output=True,
        text=True,
        env=child_environment(),
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    frozen, left = map(int, done.stdout.split())
    assert frozen > 10 * left
