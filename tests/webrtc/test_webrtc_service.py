"""WebRTC through the whole service: groups of a publisher, a live view of a camera, tokens, and an orderly stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx
from service_fixtures import RunningService, Start, checkpoint, model, start, video
from waiting import until
from webrtc_fixtures import publisher, watcher
from webrtc_peers import Publisher, Watcher

__all__ = ["checkpoint", "model", "publisher", "start", "video", "watcher"]

WHIP = {"url": "whip", "stale_s": 3.0}


def test_a_publisher_makes_groups_and_after_it_was_killed_the_next_one_does(
    start: Start, publisher: Callable[..., Publisher]
) -> None:
    service = start({"phone": WHIP})
    service.camera_when("phone", lambda now: now["reason"] == "waiting for a publisher")
    first = publisher(service)
    service.camera_when("phone", lambda now: now["groups"] > 1)
    first.vanish()
    service.camera_when("phone", lambda now: now["state"] == "connecting")
    groups = service.camera("phone")["groups"]
    publisher(service)
    now = service.camera_when("phone", lambda now: now["groups"] > groups + 1)
    assert (now["state"], now["reconnects"]) == ("live", 1)
    assert service.get("/v1/status").json()["webrtc"] == {"publishers": 1, "viewers": 0}
    assert now["frame_age_ms"] < 2000


def test_any_camera_can_be_watched(start: Start, watcher: Callable[..., Watcher], video: Path) -> None:
    service = start({"yard": {"url": str(video)}})
    service.camera_when("yard", lambda now: now["frames"] > 0)
    viewer = watcher(service, "yard")
    until(lambda: len(viewer.frames) > 10)
    assert (viewer.frames[0].width, viewer.frames[0].height) == (160, 96)


def test_refusals_are_told_and_what_only_reads_needs_no_token(start: Start, publisher: Callable[..., Publisher]) -> None:
    service = start({"phone": WHIP}, server={"port": 0, "tokens": ["secret"]})
    for path in ("/whip/phone", "/whep/phone", "/v1/cameras/phone/ask"):
        assert httpx.post(service.url + path, timeout=60).status_code == 401
    assert service.get("/v1/cameras").status_code == 200
    assert service.get("/v1/status").json()["refused"] == {"unauthorized": 3}
    assert publisher(service, token="secret").answer.status_code == 201


def test_a_service_with_publishers_and_viewers_stops_in_time(
    start: Start, publisher: Callable[..., Publisher], watcher: Callable[..., Watcher]
) -> None:
    service: RunningService = start({"phone": WHIP, "tablet": WHIP})
    publisher(service)
    service.camera_when("phone", lambda now: now["frames"] > 5)
    watcher(service)
    began_s = time.monotonic()
    assert service.end() == 0
    assert time.monotonic() - began_s < 5
