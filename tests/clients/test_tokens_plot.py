"""What `ov2 tokenize --png` draws of tokens over time: the very groups that its lines tell."""

from __future__ import annotations

import json
import math
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from child_environment import child_environment
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from ov2_cli.group_lines import GroupLines
from ov2_cli.tokens_plot import GroupTokens, draw_tokens
from ov2_command import COMMAND, WAIT_S, ov2
from stopping import running
from walker_film import FPS, WALK_S, film

from stream.packetlog import PacketLogWriter
from stream.sources import open_source
from stream.tokenizer.settings import settings_from
from stream.tokenizer.tokenizer import Tokenizer
from stream.units import Packet
from trainer.world import World, write_file

SETTINGS = {"preset": "activity", "t_still_s": 3.0, "max_pixels": 60_000}
STILL = round((WALK_S[0] - 0.2) * FPS)
"""Pictures of the film before anything is in them."""


def told(
    packets: Sequence[Packet], folder: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[list[dict[str, Any]], GroupLines]:
    """The lines of a stream, and what printed them."""
    tokenizer = Tokenizer(settings_from(SETTINGS))
    with GroupLines(as_json=True, png=folder) as lines:
        lines.settings = tokenizer.settings
        for packet in packets:
            lines.show(tokenizer.push(packet))
        lines.show(tokenizer.flush())
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()], lines


def group(start_s: float, end_s: float, tokens: int = 100, **how: Any) -> GroupTokens:
    usual = {"closed_by": "quota", "is_active": True, "cost": 1.0, "token_rate": 50.0}
    return GroupTokens(start_s=start_s, end_s=end_s, tokens=tokens, **{**usual, **how})


def steps(figure: Figure, panel: int, label: str) -> dict[tuple[float, float], float]:
    """(start, end) of every step that can be seen, and its height."""
    patches = [each for each in figure.axes[panel].patches if isinstance(each, StepPatch) and each.get_label() == label]
    found = {}
    for values, edges, _ in (patch.get_data() for patch in patches):
        found |= {
            (low, high): value for low, high, value in zip(edges[:-1], edges[1:], values, strict=True) if not math.isnan(value)
        }
    return found


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_group_of_the_lines_is_a_step_of_its_tokens_over_its_span_in_the_colour_of_its_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, shown = told(film(seconds=16), tmp_path, capsys)
    assert {line["active"] for line in lines} == {True, False}
    figure = draw_tokens(shown.shown)
    for label, is_active in (("active", True), ("still", False)):
        assert steps(figure, 1, label) == pytest.approx(
            {
                (line["start_s"], line["end_s"]): line["llm_tokens"] / (line["end_s"] - line["start_s"])
                for line in lines
                if line["active"] == is_active
            }
        )
    costs = [patch.get_data() for patch in figure.axes[0].patches if isinstance(patch, StepPatch)]
    assert list(costs[0].values) == pytest.approx([line["cost"] / (line["end_s"] - line["start_s"]) for line in lines])
    assert f"token_rate {shown.settings.token_rate:g}" in legend(figure)
    assert len(list(tmp_path.glob("group_*.png"))) == len(lines)
    assert (tmp_path / "tokens.png").read_bytes().startswith(b"\x89PNG")


def test_a_line_stands_where_something_began(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines, shown = told(film(seconds=16), tmp_path, capsys)
    begun_s = {line["end_s"] for line in lines if line["closed_by"] == "onset" and not line["active"]}
    figure = draw_tokens(shown.shown)
    for axes in figure.axes:
        (found,) = [each for each in axes.collections if each.get_label() == "onset"]
        assert {float(path[0, 0]) for path in found.get_segments()} == begun_s  # type: ignore[attr-defined]
    assert any(abs(each - WALK_S[0]) <= 1.0 for each in begun_s)


def test_a_still_film_has_no_active_step_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines, shown = told(film()[:STILL], tmp_path, capsys)
    figure = draw_tokens(shown.shown)
    assert len(steps(figure, 1, "still")) == len(lines) >= 1
    assert steps(figure, 1, "active") == {}
    assert not {"active", "onset"} & set(legend(figure))


def test_a_stream_of_one_group_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines, shown = told(film()[:FPS], tmp_path, capsys)
    assert len(lines) == 1
    assert list(steps(draw_tokens(shown.shown), 1, "still")) == [(lines[0]["start_s"], lines[0]["end_s"])]
    assert (tmp_path / "tokens.png").exists()


@pytest.mark.parametrize("num_pictures", [0, 1])
def test_where_no_group_covers_a_time_there_is_no_plot(
    num_pictures: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, _ = told(film()[:num_pictures], tmp_path, capsys)
    assert len(lines) == num_pictures
    assert not (tmp_path / "tokens.png").exists()


def test_no_step_covers_a_gap() -> None:
    figure = draw_tokens([group(0.0, 2.0, closed_by="discontinuity"), group(10.0, 14.0)])
    assert steps(figure, 1, "active") == {(0.0, 2.0): 50.0, (10.0, 14.0): 25.0}


def test_recordings_whose_time_begins_anew_are_drawn_one_after_the_other() -> None:
    figure = draw_tokens([group(0.0, 4.0, closed_by="end"), group(0.0, 2.0), group(2.0, 5.0, closed_by="end")])
    assert list(steps(figure, 1, "active")) == [(0.0, 4.0), (4.0, 6.0), (6.0, 9.0)]


def test_a_rate_is_drawn_as_it_was_asked_for_and_not_at_all_under_a_fixed_quota() -> None:
    changed = draw_tokens([group(0.0, 4.0), group(4.0, 6.0, token_rate=80.0)])
    assert steps(changed, 1, "token_rate") == {(0.0, 4.0): 50.0, (4.0, 6.0): 80.0}
    assert not any("token_rate" in label for label in legend(draw_tokens([group(0.0, 4.0, token_rate=None)])))


def test_without_matplotlib_canvases_are_drawn_and_what_is_missing_is_said(tmp_path: Path) -> None:
    path = write_file(World(900_003, duration_s=3.0), tmp_path / "film.mp4", width=320, height=180)
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking" / "matplotlib.py").write_text("raise ModuleNotFoundError('No module named matplotlib')\n")
    environment = child_environment()
    environment["PYTHONPATH"] = f"{tmp_path / 'lacking'}:{environment['PYTHONPATH']}"
    done = ov2("tokenize", str(path), "--png", str(tmp_path / "out"), environment=environment)
    assert done.returncode == 0
    assert "pip install 'ov2-live[train]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert any((tmp_path / "out").glob("group_*.png"))
    assert not (tmp_path / "out" / "tokens.png").exists()


def test_a_replay_that_is_interrupted_has_drawn_what_it_told(tmp_path: Path) -> None:
    path = write_file(World(900_003, duration_s=60.0), tmp_path / "film.mp4", width=160, height=96)
    with open_source(str(path)) as packets, PacketLogWriter(tmp_path / "log") as writer:
        for packet in packets:
            writer.wait_for_room(packet)
            writer.put(packet)
    out = tmp_path / "out"
    flags = ["--speed", "1", "--png", str(out), "--set", "t_max_s=1.5"]
    with running([*COMMAND, "replay", str(tmp_path / "log"), *flags], stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stdout.readline().startswith("group")
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=WAIT_S)
    assert command.returncode != 0
    assert (out / "tokens.png").read_bytes().startswith(b"\x89PNG")
