"""The `ov2` command: what it prints, how it fails, and the whole surface that outsiders rely on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from ov2_cli.main import app
from ov2_command import ov2
from repository import ROOT, TESTS
from typer.main import get_command

from stream.config.configuration import schema
from stream.tokenizer.settings import TokenizerSettings
from trainer.world import World, write_file

SURFACE = TESTS / "clients" / "surface.txt"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_file(World(900_003, duration_s=6.0), tmp_path_factory.mktemp("film") / "film.mp4", width=320, height=180)


def test_tokenize_prints_one_json_line_per_group_and_saves_pictures(film: Path, tmp_path: Path) -> None:
    done = ov2("tokenize", str(film), "--json", "--png", str(tmp_path), "--set", "max_pixels=24000", "--set", "cost=log")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert lines
    keys = {"index", "start_s", "end_s", "closed_by", "active", "cost", "canvases", "patches", "llm_tokens", "sha256"}
    assert all(set(line) == keys for line in lines)
    assert lines[-1]["closed_by"] == "end"
    assert len(list(tmp_path.glob("group_*.png"))) == len(lines)
    assert (tmp_path / "tokens.png").read_bytes().startswith(b"\x89PNG")


def test_tokenizing_twice_gives_the_same_hashes(film: Path) -> None:
    first, second = ov2("tokenize", str(film), "--json"), ov2("tokenize", str(film), "--json")
    assert first.stdout == second.stdout


def test_an_unknown_tokenizer_setting_names_the_nearest_in_one_line(film: Path) -> None:
    done = ov2("tokenize", str(film), "--set", "token_rat=5")
    assert done.returncode == 2
    assert "token_rate" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_password_in_an_address_is_never_printed() -> None:
    done = ov2("tokenize", "rtsp://user:hunter2@127.0.0.1:9/x", "--timeout-s", "2")
    assert done.returncode == 2
    assert "hunter2" not in done.stdout + done.stderr


def test_a_missing_checkpoint_is_one_line(film: Path) -> None:
    done = ov2("ask", str(film), "What is it?", "--model", "no-such-model")
    assert done.returncode == 2
    assert "no-such-model" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_tokenize_benchmark_closes_with_its_object(film: Path) -> None:
    done = ov2("bench", "tokenize", str(film), "--repeats", "1", "--json")
    assert json.loads(done.stdout.splitlines()[-1])["ratio_to_decode"] > 0


def surface() -> Iterator[str]:
    """Every command with its flags, every HTTP route, every key of the configuration, every tokenizer setting."""
    yield from _commands("ov2", get_command(app))
    yield from sorted(_routes())
    yield from sorted(f"config {key}" for key in _keys(schema()))
    yield from sorted(f"tokenizer {name}" for name in TokenizerSettings.__dataclass_fields__)


def _commands(path: str, command: object) -> Iterator[str]:
    if hasattr(command, "commands"):
        for name, inner in sorted(command.commands.items()):
            yield from _commands(f"{path} {name}", inner)
        return
    flags = sorted(option for parameter in command.params for option in parameter.opts)  # type: ignore[attr-defined]
    yield f"command {path}: {' '.join(flag for flag in flags if flag != '--help')}"


def _routes() -> Iterator[str]:
    for file in ("serve/app.py", "serve/media_routes.py", "serve/watch_routes.py", "webrtc/routes.py"):
        for line in (ROOT / "stream" / file).read_text().splitlines():
            if line.strip().startswith(("@app.", "@router.")):
                method, _, rest = line.strip().partition(".")[2].partition('("')
                yield f"route {'GET' if method == 'api_route' else method.upper()} {rest.partition(chr(34))[0]}"


def _keys(node: dict[str, object], prefix: str = "") -> Iterator[str]:
    definitions = node.get("$defs", {})
    assert isinstance(definitions, dict)
    for name, inner in [("", node), *((f"{name}.", inner) for name, inner in definitions.items())]:
        properties = inner.get("properties", {})
        assert isinstance(properties, dict)
        yield from (f"{prefix}{name}{key}" for key in properties)


def test_the_public_surface_changes_only_on_purpose() -> None:
    now = "\n".join(surface()) + "\n"
    assert now == SURFACE.read_text(), "the public surface changed; if that is a decision, update tests/clients/surface.txt"


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    heavy = "torch,transformers,av,numba,fastapi,cv2,matplotlib,aiomqtt"
    check = f"import sys, ov2_cli.main; print([m for m in {heavy.split(',')} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=110, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_says_what_it_does() -> None:
    group = get_command(app)
    assert isinstance(app, typer.Typer)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        assert command.help, name
