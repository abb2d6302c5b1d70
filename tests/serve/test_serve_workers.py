"""The service's workers: one that dies is told and started again, and what was recorded meanwhile can be replayed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from reader_family import WORKER, readers_of
from service_fixtures import RunningService, Start, checkpoint, model, over, start, write_video  # noqa: F401

from stream.packetlog import PacketLog
from stream.packetlog.entries import Start as Began

# ruff: noqa: F811


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_video(tmp_path_factory.mktemp("film") / "film.mp4", seconds=8.0))


def workers_of(service: RunningService) -> dict[str, Any]:
    return dict(service.get("/v1/status").json()["workers"])


def test_a_worker_that_dies_is_told_and_started_again_and_its_cameras_go_on(start: Start, film: str, tmp_path: Path) -> None:
    before = {each.pid for each in readers_of(os.getpid(), WORKER)}
    looped = {"url": film, "loop": True, "tokenizer": {"t_max_s": 2.0}}
    folder = tmp_path / "log"
    service = start(
        {"front": {**looped, "record": {"folder": str(folder)}}, "back": looped}, ingest={"workers": 1}, data=str(tmp_path)
    )
    for name in ("front", "back"):
        service.camera_when(name, lambda status: status["groups"] >= 1)
    assert workers_of(service) == {"running": 1, "lost": 0}
    [process] = [each for each in readers_of(os.getpid(), WORKER) if each.pid not in before]
    process.kill()
    for name in ("front", "back"):
        told = service.camera_when(name, lambda status: status["drops"].get("worker", 0) >= 1)
        service.camera_when(name, lambda status: status["state"] == "degraded" and "worker" in status["reason"])
        service.camera_when(name, lambda status, groups=told["groups"]: status["groups"] > groups + 1)
    told = workers_of(service)
    assert told["lost"] == 1
    assert told["running"] in (1, 2)  # the camera at whose request it died, if it was at one, has a worker of its own
    answer = service.ask("front", question="who?", max_tokens=2).json()
    assert answer["window"]["end_s"] > answer["window"]["start_s"]
    service.end()
    assert len([each for each in PacketLog(folder).entries() if isinstance(each, Began)]) == 2
    assert not [each for each in readers_of(os.getpid(), WORKER) if each.pid not in before]


def test_without_workers_cameras_are_tokenized_in_the_service_and_tell_the_same(start: Start, film: str) -> None:
    told = []
    for workers in (0, 2):
        before = len(readers_of(os.getpid(), WORKER))
        service = start(
            {"front": {"url": film, "paced": False}, "back": {"url": film, "paced": False}}, ingest={"workers": workers}
        )
        told.append([service.camera_when(name, over) for name in ("front", "back")])
        assert workers_of(service) == {"running": workers, "lost": 0}
        assert len(readers_of(os.getpid(), WORKER)) == before + workers
        service.end()
    ours, theirs = ([{**status, "frame_age_ms": None} for status in each] for each in told)
    assert ours == theirs
    assert ours[0]["groups"] >= 1
