"""The demo, as a newcomer runs it: camera process, service, MQTT client, questions, report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ov2_bench.testbed.ports import free_port
from ov2_cli.demo.bars import ACTIVE_STYLE, CUT, OPEN, STILL_STYLE, cost_bars, token_bars, tokens_told
from ov2_cli.demo.screen import save_picture
from ov2_cli.demo.script import plan_questions
from ov2_cli.demo.state import State
from ov2_command import ov2
from rich.text import Text

from trainer.world import World


@pytest.mark.timeout(180)
def test_the_demo_runs_by_itself_and_reports(tmp_path: Path) -> None:
    report, out = tmp_path / "report.json", tmp_path / "out"
    command = ["demo", "--seconds", "20", "--seed", "900123", "--report", str(report), "--out", str(out)]
    done = ov2(*command, cwd=tmp_path, wait_s=170.0)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(report.read_text())
    assert told["seed"] == 900123
    assert told["errors"] == []
    assert told["groups"] >= 3
    assert told["mean_tokens_per_s"] > 0
    assert told["questions"]
    keys = {"at_s", "type", "question", "expected", "answer", "correct", "first_token_ms", "frame_age_ms"}
    assert all(set(question) == keys for question in told["questions"])
    assert all({"topic", "received_s", "event"} == set(alert) for alert in told["alerts"])
    assert (out / "canvases.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "screen.svg").read_text().replace("&#160;", " ")
    assert "<svg" in page
    assert "token_rate 50" in page
    assert re.search(r"active \d", page), "a person walks in the yard"


@pytest.mark.timeout(120)
def test_a_service_that_cannot_start_ends_the_demo_with_its_reason(tmp_path: Path) -> None:
    command = [
        "demo",
        "--seconds",
        "20",
        "--model",
        "no-such-model",
        "--report",
        str(tmp_path / "r.json"),
        "--out",
        str(tmp_path),
    ]
    done = ov2(*command, cwd=tmp_path)
    assert done.returncode != 0
    assert "no-such-model" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_planned_questions_keep_their_answer_until_they_are_asked() -> None:
    world = World(900_007, duration_s=60.0)
    plan = plan_questions(world, 60.0, 900_007)
    assert len(plan) >= 5
    assert len({question.type for question in plan}) >= 4
    for question in plan:
        assert not any(question.at_s - 0.8 < event.t_s < question.at_s + 1.2 for event in world.events)


def test_the_plan_is_the_same_every_time() -> None:
    world = World(900_007, duration_s=40.0)
    assert plan_questions(world, 40.0, 1) == plan_questions(world, 40.0, 1)


def watched() -> State:
    """Four seconds: a still group, an active one, and what is not closed yet."""
    state = State(seed=1, seconds=10, token_rate=50.0)
    state.bins = [(0.5 * number, 10 + number) for number in range(8)]
    state.groups = [
        {"start_s": 0.0, "end_s": 1.0, "active": False, "llm_tokens": 40},
        {"start_s": 1.0, "end_s": 3.0, "active": True, "llm_tokens": 200},
    ]
    return state


def cuts(text: Text) -> list[int]:
    return [column for column, mark in enumerate(str(text)) if mark == CUT]


def test_cost_and_tokens_stand_over_each_other_with_a_mark_where_groups_were_cut() -> None:
    cost, tokens = cost_bars(watched()), token_bars(watched())
    assert cuts(cost) == cuts(tokens) == [2, 7]
    assert len(cost) == len(tokens) == 10


def test_tokens_of_a_group_cover_its_span_in_the_colour_of_its_kind() -> None:
    tokens = token_bars(watched())
    assert str(tokens) == f"▄▄{CUT}████{CUT}{OPEN}{OPEN}"
    styles = [(str(tokens)[span.start : span.end], span.style) for span in tokens.spans]
    assert {style for bar, style in styles if bar == "▄"} == {STILL_STYLE}
    assert {style for bar, style in styles if bar == "█"} == {ACTIVE_STYLE}


def test_still_groups_have_low_bars_though_nothing_else_is_in_view() -> None:
    state = watched()
    state.groups = [{"start_s": 0.0, "end_s": 30.0, "active": False, "llm_tokens": 120}]
    assert set(str(token_bars(state))) == {"▁"}


def test_mean_rates_are_told_beside_the_one_that_was_asked_for() -> None:
    told = str(tokens_told(watched()))
    assert all(part in told for part in ("active 100.0 over 2 s", "still 40.0 over 1 s", "token_rate 50"))


def test_bars_keep_to_one_line_of_the_newest_however_many_cuts_there_are() -> None:
    state = State(seed=1, seconds=60)
    state.bins = [(0.5 * number, 1 + number % 7) for number in range(120)]
    state.groups = [{"start_s": s, "end_s": s + 1.0, "active": True, "llm_tokens": 50} for s in range(59)]
    for text in (cost_bars(state, 30), token_bars(state, 30)):
        assert len(text) == 30
    assert str(token_bars(state, 30)).endswith(OPEN)


def test_a_camera_that_spends_nothing_has_flat_bars() -> None:
    state = State(seed=1, seconds=10)
    state.bins = [(0.0, 0), (0.5, 0)]
    assert str(cost_bars(state)) == "▁▁"


def test_the_page_is_saved_as_a_picture_even_before_anything_came(tmp_path: Path) -> None:
    save_picture(State(seed=1, seconds=10), tmp_path / "page.svg")
    assert "OV2 Live demo" in (tmp_path / "page.svg").read_text().replace("&#160;", " ")


def test_a_free_port_is_free() -> None:
    assert 1024 < free_port() < 65536
