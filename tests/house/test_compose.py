"""What `compose.yaml` starts: the service alone is reachable, and nobody gets in without what it made."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml
from mqtt_fixtures import Listener, refusal_of
from ov2_bench.testbed.ports import answers
from ports import free_port
from programs import require
from repository import ROOT
from waiting import until

from stream.config.configuration import parse


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text())["services"])


def script(service: str, **places: Path) -> str:
    """What a container runs, with its folders elsewhere; compose makes one `$` of two."""
    shell, flags, text = compose()[service]["command"]
    assert (shell, flags) == ("sh", "-euc")
    for place, folder in places.items():
        text = text.replace(place.replace("_", "/"), str(folder))
    return str(text.replace("$$", "$"))


def test_compose_publishes_the_service_alone_and_lets_nobody_in_without_a_password() -> None:
    services = compose()
    assert {name for name, service in services.items() if "ports" in service} == {"ov2"}
    assert "allow_anonymous true" not in json.dumps(services)
    assert "redis" in services


def test_compose_makes_a_token_once_and_the_service_starts_with_it(tmp_path: Path) -> None:
    (tmp_path / "ov2-data").mkdir()
    (tmp_path / "mqtt").write_text("of the broker")
    text = script("ov2", _secrets=tmp_path)
    before, after = text.split("apt-get update", 1)
    assert "exec .venv/bin/ov2 serve" in after
    seen = []
    for _ in range(2):
        run = [*("sh", "-euc"), before + 'echo "$OV2_SERVER_TOKENS"; echo "$OV2_MQTT_PASSWORD"']
        said = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
        config = parse({"cameras": {"a": {"url": "x.mp4"}}}, {"OV2_SERVER_TOKENS": said[-2], "OV2_MQTT_PASSWORD": said[-1]})
        seen.append(config.server.tokens[0].get_secret_value())
        assert seen[-1] not in " ".join(said[:-2]), "the log is no place for it"
    assert seen[0] == seen[1] == (tmp_path / "ov2-data" / "token").read_text()
    assert re.fullmatch("[0-9a-f]{64}", seen[0])
    assert stat.S_IMODE((tmp_path / "ov2-data" / "token").stat().st_mode) == 0o600


def test_the_mosquitto_of_compose_asks_for_the_password_that_it_made() -> None:
    require("mosquitto")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # mosquitto gives up being root, and reads no folder of ours then
    folder.chmod(0o755)
    port = free_port()
    text = script("mosquitto", _secrets=folder, _mosquitto_data=folder).replace("listener 1883", f"listener {port} 127.0.0.1")
    if os.geteuid():
        text = text.replace("chown mosquitto", f"chown {getpass.getuser()}")
    with subprocess.Popen(["sh", "-euc", text], stderr=subprocess.DEVNULL) as running:
        try:
            password = until(lambda: (folder / "mqtt").exists() and (folder / "mqtt").read_text())
            until(lambda: answers(port))
            assert refusal_of(port) == "Not authorized"
            listener = Listener(port, username="ov2", password=password)
            listener.send("ov2/x", "hello")
            listener.wait_for(lambda m: m.payload == b"hello")
            listener.close()
            assert stat.S_IMODE((folder / "mqtt").stat().st_mode) == 0o600
        finally:
            running.kill()
    shutil.rmtree(folder)
