"""When a camera that sends is not well, and what is said of it."""

from __future__ import annotations

from collections import Counter

import pytest

from stream.camera.health import LATE_S, REMEMBERED_S, Health


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_losses_are_told_once_a_second_and_forgotten_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    clock, drops = Clock(), Counter[str]()
    health = Health("camera front", monotonic=clock)
    assert health.look(lambda: drops, 0.0) == (True, None)
    for _ in range(5):
        drops["damaged_frame"] += 1
        clock.now_s += 0.1
        assert health.look(lambda: Counter(drops), 0.0) == (False, None)
    clock.now_s += 0.6
    assert health.look(lambda: Counter(drops), 0.0) == (True, "lost in the last 10 s: damaged_frame 5")
    assert [record.getMessage() for record in caplog.records] == ["camera front: lost in the last second: damaged_frame 5"]
    clock.now_s += REMEMBERED_S + 1
    assert health.look(lambda: Counter(drops), 0.0) == (True, None)


def test_frames_that_come_late_make_a_camera_degraded_and_a_quiet_one_is_not() -> None:
    clock = Clock()
    health = Health("camera front", monotonic=clock)
    assert (
        health.look(Counter, LATE_S + 1)[1]
        == "frames are 6.0 s old when they are taken: they come late, or this machine is behind"
    )
    clock.now_s += 3600.0
    assert health.look(Counter, 0.2) == (True, None), "an hour of silence of a camera that sends on events alone"


def test_what_is_no_loss_degrades_nothing() -> None:
    clock = Clock()
    health = Health("camera front", monotonic=clock)
    health.look(Counter, 0.0)
    clock.now_s += 2.0
    assert health.look(lambda: Counter(no_picture=9), 0.0) == (True, None)
