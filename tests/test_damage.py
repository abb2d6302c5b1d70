"""Flipped bits in the data folder of a real service: it starts, at most the damaged record is lost, and it says so."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from ov2_cli.bench.damage import Flip, apply, damage, files_by_kind, flip_bits, summary
from service_fixtures import WAIT_S, RunningService, Start, checkpoint, model, over, start, video  # noqa: F401
from waiting import until

from stream.serve.snapshots import Snapshots

# ruff: noqa: F811

FLIPS = 60
"""In each folder; `ov2 bench attack` does a thousand."""
CERTAIN = {"sentence": "something is there", "threshold": 1e-12, "release": 1e-13, "confirm": 1}


def config(video: Path) -> dict[str, Any]:
    return {
        "front": {"url": str(video), "record": {"folder": "recordings/front"}, "tokenizer": {"t_min_s": 0.5, "t_max_s": 0.5}}
    }


@pytest.fixture(scope="module")
def folders(model: Any, video: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The data folder of a service while it runs, as a kill leaves it, and after it has stopped."""
    root = tmp_path_factory.mktemp("damage")
    service = RunningService({"cameras": config(video), "server": {"port": 0}, "data": str(root / "stopped")}, model)
    try:
        for name in ("dog", "cat"):
            httpx.put(f"{service.url}/v1/cameras/front/watches/{name}", json=CERTAIN, timeout=WAIT_S).raise_for_status()
        service.camera_when("front", over)
        for number in range(20):
            service.ask("front", question=f"who is there, number {number}?", max_tokens=2)
        until(lambda: service.get("/v1/status").json()["journal"]["pending"] == 0)
        until(lambda: list((root / "stopped" / "memory" / "front").glob("*.groups")))
        shutil.copytree(root / "stopped", root / "killed")
    finally:
        service.end()
    return {"killed": root / "killed", "stopped": root / "stopped"}


def test_every_kind_of_file_is_hit(folders: dict[str, Path]) -> None:
    kinds = {kind for folder in folders.values() for kind in files_by_kind(folder)}
    assert kinds - {"other"} == {
        "journal",
        "journal_log",
        "journal_shm",
        "memory",
        "packet_index",
        "packets",
        "snapshot",
        "watches",
        "watches_copy",
    }


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_flipped_bit_costs_at_most_the_record_that_it_hits_and_is_told(folders: dict[str, Path], how: str) -> None:
    outcomes = flip_bits(folders[how], flips=FLIPS, seed=11)
    assert [failure for outcome in outcomes for failure in outcome.failures] == []
    rows = summary(outcomes)
    assert sum(row["flips"] for row in rows.values()) == FLIPS
    assert rows["snapshot"]["told"] == rows["snapshot"]["lost"] > 0, "flips do hit something"


def test_the_check_of_the_flips_sees_what_is_lost_untold(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that shows a damaged picture, or loses it and keeps silent, is caught."""
    monkeypatch.setattr(Snapshots, "get", lambda self, name: self._path(name).read_bytes())
    outcomes = flip_bits(folders["stopped"], flips=FLIPS, seed=11)
    wrong = [outcome for outcome in outcomes if outcome.failures]
    assert wrong
    assert {outcome.flip.kind for outcome in wrong} == {"snapshot"}


def hit(folder: Path, kind: str, *, at: float, bit: int = 1) -> None:
    """Flip a bit in the first file of a kind, at a share of its length."""
    path = files_by_kind(folder)[kind][0]
    apply(folder, Flip(path, kind, int(at * (folder / path).stat().st_size), bit))


def test_a_service_starts_on_a_folder_of_which_everything_is_damaged_and_tells_it(
    folders: dict[str, Path], start: Start, video: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(folders["stopped"], data)
    for kind, at in {"journal": 0.0, "watches": 0.5, "snapshot": 0.5, "memory": 0.01, "packets": 0.5}.items():
        hit(data, kind, at=at)
    for path in files_by_kind(data).get("other", ()):
        apply(data, Flip(path, "other", 0, 1))
    service = start(config(video), data=str(data))
    entries = service.get("/v1/events?limit=1000").json()["entries"]
    assert sum(one["kind"] == "question" for one in entries) == 20
    pictures = {one["id"] for one in entries if one["kind"] in ("watch", "boundary")}
    answers = [service.get(f"/v1/events/{name}/snapshot.jpg").status_code for name in sorted(pictures)]
    assert 200 in answers
    assert 404 in answers
    assert {one["name"] for one in service.get("/v1/watches").json()} == {"dog", "cat"}
    service.camera_when("front", over)
    assert service.get("/v1/cameras/front/clip.mp4?start=-3600&end=-0.1").status_code == 200
    told = service.get("/v1/status").json()
    damaged = {kind: count for kind, count in told["damaged"].items() if count}
    assert damaged.keys() >= {"journal_files", "watch_files", "snapshots", "memory", "packets"}, told["damaged"]
    assert "is kept as journal.sqlite.unreadable-" in told["journal"]["degraded"]
    assert told["journal"]["set_aside"] == 1
    assert str(data) not in service.get("/v1/status").text


def test_flips_are_drawn_from_the_seed_alone(folders: dict[str, Path], tmp_path: Path) -> None:
    drawn = []
    for number in range(2):
        shutil.copytree(folders["stopped"], tmp_path / str(number))
        drawn.append([damage(tmp_path / str(number), rng) for rng in [random.Random(3)] for _ in range(5)])
    assert drawn[0] == drawn[1]
    for flip in drawn[1]:
        apply(tmp_path / "1", flip)
    names = [path.relative_to(folders["stopped"]) for path in folders["stopped"].rglob("*") if path.is_file()]
    assert all((folders["stopped"] / name).read_bytes() == (tmp_path / "1" / name).read_bytes() for name in names), (
        "twice is as before"
    )
