"""The demo, as a newcomer runs it: camera process, service, MQTT client, questions, report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ov2_bench.testbed.ports import free_port
from ov2_cli.demo.screen import save_picture, sparkline
from ov2_cli.demo.script import plan_questions
from ov2_cli.demo.state import State
from ov2_command import ov2

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
    assert "<svg" in (out / "screen.svg").read_text()


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


def test_the_sparkline_marks_where_groups_were_cut() -> None:
    state = State(seed=1, seconds=10)
    state.bins = [(0.0, 10), (0.5, 20), (1.0, 5)]
    state.groups = [{"end_s": 1.0}]
    assert str(sparkline(state)).count("╎") == 1


def test_the_page_is_saved_as_a_picture_even_before_anything_came(tmp_path: Path) -> None:
    save_picture(State(seed=1, seconds=10), tmp_path / "page.svg")
    assert "OV2 Live demo" in (tmp_path / "page.svg").read_text().replace("&#160;", " ")


def test_a_free_port_is_free() -> None:
    assert 1024 < free_port() < 65536
