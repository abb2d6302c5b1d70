"""The door between a publisher and a camera's thread, and the view between a camera and who watches it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from webrtc_bits import KEY, PLAIN, PPS, SPS, Clock

from stream.errors import SourceError
from stream.sources.sample import Sample
from stream.units import MEDIA_CLOCK_HZ, Packet
from stream.webrtc.door import WhipConnection, WhipDoor
from stream.webrtc.live import LiveView, Viewer

WAIT_S = 60.0


def sample(index: int, *, key: bool = False, num_bytes: int = 100) -> Sample:
    data = (KEY if key else PLAIN) + bytes([1]) * num_bytes
    return Sample(data, index, None, Fraction(1, MEDIA_CLOCK_HZ), 0.0, None, key, "h264", len(data), 320, 240)


def connection(**more: object) -> WhipConnection:
    given = {"max_samples": 8, "count": Counter, "monotonic": Clock(), **more}
    return WhipConnection("phone", **given)  # type: ignore[arg-type]


def test_a_slow_reader_loses_the_oldest_up_to_a_keyframe_and_one_is_asked_for() -> None:
    asked = []
    slow = connection(ask_key=lambda: asked.append(1))
    for index in range(9):
        slow.put(sample(index, key=index in (0, 5)))
    got = [slow.get(0) for _ in range(4)]
    assert [each.pts for each in got if each] == [5, 6, 7, 8]
    assert got[0] is not None
    assert got[0].breaks
    assert slow.skipped == {"slow_reader": 5}
    assert asked


def test_a_reader_that_lost_all_goes_on_at_the_next_keyframe() -> None:
    slow = connection()
    for index in range(20):
        slow.put(sample(index, key=index in (0, 15)))
    first = slow.get(0)
    assert first is not None
    assert (first.pts, first.breaks) == (15, True)
    assert slow.skipped == {"slow_reader": 15}


def test_the_end_comes_after_what_was_there_and_a_failure_is_told() -> None:
    lost, left = connection(), connection()
    for one in (lost, left):
        one.put(sample(0, key=True))
    lost.end("the connection was lost")
    left.end()
    assert lost.get(0) is not None
    with pytest.raises(SourceError, match="camera phone: the connection was lost"):
        lost.get(0)
    assert left.get(0) is not None
    assert left.get(0) is None


def test_nothing_in_time_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        connection().get(0.01)


def test_closing_the_door_ends_every_wait_at_once() -> None:
    door, closed = WhipDoor("phone"), []
    inside = connection(on_close=lambda: closed.append(1))
    door.offer(inside)
    assert door.connect() is inside
    results: list[object] = []

    def wait_for_sample() -> None:
        results.append(inside.get(None))

    def wait_for_publisher() -> None:
        with pytest.raises(SourceError):
            door.connect()
        results.append(None)

    threads = [threading.Thread(target=each) for each in (wait_for_sample, wait_for_publisher)]
    for thread in threads:
        thread.start()
    door.close()
    for thread in threads:
        thread.join(WAIT_S)
    assert results == [None, None]
    assert closed == [1]
    inside.close()
    assert closed == [1]


def packet(index: int, *, key: bool = False, num_bytes: int = 100, pts_s: float | None = None) -> Packet:
    at = index / 10
    return Packet(
        data=sample(index, key=key, num_bytes=num_bytes).data,
        pts=index,
        dts=None,
        time_base=Fraction(1, 10),
        pts_s=at if pts_s is None else pts_s,
        media_s=at,
        wall_s=at,
        is_key=key,
        codec="h264",
        size_bytes=num_bytes,
        width=320,
        height=240,
    )


def live_view(**more: object) -> LiveView:
    given = {"kept_s": 5.0, "kept_bytes": 100_000, "viewer_packets": 8, "monotonic": Clock(), **more}
    return LiveView("yard", **given)  # type: ignore[arg-type]


async def drained(viewer: Viewer, num: int) -> list[tuple[int, int]]:
    """(packet, ticks) of the next so many."""
    got = [await viewer.get() for _ in range(num)]
    return [(each.packet.pts, each.ticks) for each in got if each is not None]


def test_a_viewer_begins_at_the_last_keyframe_and_catches_up_quickly() -> None:
    async def watch() -> list[tuple[int, int]]:
        view = live_view()
        for index in range(6):
            view.push(packet(index, key=index in (0, 2)))
        viewer = view.attach()
        view.push(packet(6))
        return await drained(viewer, 5)

    assert asyncio.run(watch()) == [(2, 44_730), (3, 44_820), (4, 44_910), (5, 45_000), (6, 54_000)]


def test_a_long_way_from_a_keyframe_is_not_kept_and_a_keyframe_is_asked_for() -> None:
    async def watch(view: LiveView) -> list[tuple[int, int]]:
        asked = []
        view.want_key = lambda: asked.append(1)
        for index in range(60):
            view.push(packet(index, key=index == 0))
        viewer = view.attach()
        assert asked == [1]
        view.push(packet(60))
        view.push(packet(61, key=True))
        return [(number, 0) for number, _ in await drained(viewer, 1)]

    assert asyncio.run(watch(live_view())) == [(61, 0)]
    assert asyncio.run(watch(live_view(kept_s=100.0, kept_bytes=2000))) == [(61, 0)]


def test_a_slow_viewer_skips_to_the_next_keyframe() -> None:
    async def watch() -> tuple[list[tuple[int, int]], int]:
        view = live_view()
        viewer = view.attach()
        for index in range(30):
            view.push(packet(index, key=index in (0, 25)))
        await asyncio.sleep(0)
        return await drained(viewer, 2), viewer.num_skipped

    got, num_skipped = asyncio.run(watch())
    assert [number for number, _ in got] == [25, 26]
    assert num_skipped == 25


def test_a_viewer_that_waits_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    async def watch() -> object:
        view = live_view()
        viewer = view.attach()
        waiting = asyncio.create_task(viewer.get())
        await asyncio.sleep(0)
        view.detach(viewer)
        view.push(packet(0, key=True))
        return await waiting

    assert asyncio.run(watch()) is None


def test_b_frames_are_told_once_and_still_sent(caplog: pytest.LogCaptureFixture) -> None:
    async def watch() -> int:
        view = live_view()
        viewer = view.attach()
        for index in range(6):
            view.push(packet(index, key=index == 0, pts_s=index / 10 - 0.05))
        return len(await drained(viewer, 6))

    assert asyncio.run(watch()) == 6
    assert [record.message for record in caplog.records].count(caplog.records[0].message) == 1
    assert "B-frames" in caplog.text


def test_a_view_knows_the_profile_of_its_stream() -> None:
    view = live_view()
    view.push(replace(packet(0, key=True), data=SPS + PPS + KEY))
    assert view.profile == "42c0"
