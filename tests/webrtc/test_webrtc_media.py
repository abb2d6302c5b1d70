"""Pictures over WebRTC, sent and watched by aiortc: they decode, their times are right, losses heal, publishers come back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from waiting import until
from webrtc_fixtures import publisher, reader, serve, watcher
from webrtc_peers import Moving, Publisher, Watcher, decoded, is_media
from webrtc_server import Reader, Server

from stream.sources.limits import IngestLimits
from stream.sources.sample import Sample
from stream.units import MEDIA_CLOCK_HZ
from stream.webrtc.door import WhipConnection

__all__ = ["publisher", "reader", "serve", "watcher"]

Serve = Callable[..., Server]
Publish = Callable[..., Publisher]
Read = Callable[..., Reader]
Watch = Callable[..., Watcher]


def connected(server: Server) -> WhipConnection:
    """The first publisher at the door."""
    while True:
        with contextlib.suppress(TimeoutError):
            return server.sessions.door("phone").connect()


def media_s(samples: list[Sample]) -> float:
    first, last = samples[0].pts, samples[-1].pts
    assert first is not None
    assert last is not None
    return (last - first) / MEDIA_CLOCK_HZ


def test_what_a_publisher_sends_arrives_whole_and_in_time(serve: Serve, publisher: Publish, reader: Read) -> None:
    server = serve()
    camera = reader(server)
    publisher(server, track=Moving(640, 480))
    samples = camera.wait(90)
    assert samples[0].is_key
    assert {(each.width, each.height, each.codec, each.breaks) for each in samples} == {(640, 480, "h264", False)}
    assert len(decoded(samples)) == len(samples)
    assert all(after.pts - before.pts == MEDIA_CLOCK_HZ / 30 for before, after in pairwise(samples))  # type: ignore[operator]
    assert abs(samples[-1].arrival_s - time.time()) < 5


def test_wall_time_comes_from_sender_reports(serve: Serve, publisher: Publish, reader: Read) -> None:
    server = serve()
    camera = reader(server)
    publisher(server)
    until(lambda: any(each.reported_s is not None for each in list(camera.samples)))
    camera.wait(len(camera.samples) + 10)
    reported = [each for each in camera.samples if each.reported_s is not None]
    assert all(abs(each.reported_s - each.arrival_s) < 0.5 for each in reported)  # type: ignore[operator]


def test_many_publishers_at_once_keep_to_their_own_cameras(serve: Serve, publisher: Publish, reader: Read) -> None:
    sizes = {"one": (160, 128), "two": (320, 240), "three": (192, 144)}
    server = serve(doors=tuple(sizes))
    cameras = {name: reader(server, name) for name in sizes}
    for name, size in sizes.items():
        publisher(server, f"/whip/{name}", track=Moving(*size))
    for name, camera in cameras.items():
        assert {(each.width, each.height) for each in camera.wait(30)} == {sizes[name]}
    assert server.sessions.figures()["publishers"] == 3


def test_a_publisher_that_vanishes_is_told_apart_from_one_that_leaves(serve: Serve, publisher: Publish, reader: Read) -> None:
    server = serve(idle_timeout_s=3.0)
    camera = reader(server)
    first = publisher(server)
    camera.wait(5)
    first.vanish()
    until(lambda: camera.ends)
    assert "the publisher sent nothing for 3 s (webrtc.idle_timeout_s)" in camera.ends[0]
    before = len(camera.samples)
    second = publisher(server)
    assert camera.wait(before + 30)[before].is_key
    second.close()
    until(lambda: camera.ends[1:] == [""])


def test_a_camera_that_closes_its_connection_ends_the_session(serve: Serve, publisher: Publish, reader: Read) -> None:
    server = serve()
    publisher(server)
    connection = connected(server)
    assert connection.get(10) is not None
    connection.close()
    until(lambda: server.sessions.figures()["publishers"] == 0)


def test_pictures_that_nobody_takes_are_dropped_and_counted(serve: Serve, publisher: Publish) -> None:
    server = serve(queue_pictures=8)
    phone = publisher(server)
    asked = phone.count_keyframe_wishes()
    connection = connected(server)
    until(lambda: connection.skipped["slow_reader"] > 20)
    assert asked
    samples = [connection.get(10) for _ in range(3)]
    assert samples[0] is not None
    assert samples[0].breaks


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_lost_packets_are_sent_again_or_a_keyframe_is_and_pictures_go_on(
    serve: Serve, publisher: Publish, reader: Read, share: float
) -> None:
    server = serve()
    camera = reader(server)
    phone = publisher(server, track=Moving(640, 480))
    camera.wait(10)
    phone.lose(share)
    before = len(camera.samples)
    samples = camera.wait(before + 120)[before:]
    assert media_s(samples) < 12, "most pictures arrive, whatever is lost"
    for chain in chains(samples):
        assert len(decoded(chain)) == len(chain)


def test_a_loss_that_is_not_mended_leads_to_a_keyframe(serve: Serve, publisher: Publish, reader: Read) -> None:
    server = serve(loss_patience_s=0.2)
    camera = reader(server)
    phone = publisher(server)
    camera.wait(10)
    asked = phone.count_keyframe_wishes()

    async def deaf(number: int) -> None: ...

    phone.sender._retransmit = deaf
    lose_one_picture(phone)
    before = len(camera.samples)
    until(lambda: any(each.breaks for each in camera.samples[before:]))
    assert asked
    broken = next(each for each in camera.samples[before:] if each.breaks)
    assert broken.is_key
    connection = next(iter(server.sessions._publishers.values())).connection
    assert connection.skipped["after_loss"] > 0
    assert len(decoded([broken])) == 1


def lose_one_picture(phone: Publisher) -> None:
    """The next three packets of pictures never arrive, nor do they when asked for."""
    transport, left = phone.sender.transport.transport, [3]
    send = transport._send

    async def most(data: bytes) -> None:
        if left[0] and is_media(data):
            left[0] -= 1
            return
        await send(data)

    transport._send = most


def chains(samples: list[Sample]) -> list[list[Sample]]:
    """Runs that decode by themselves: from a keyframe until something is missing."""
    runs: list[list[Sample]] = []
    for sample in samples:
        if sample.is_key:
            runs.append([])
        elif sample.breaks and runs:
            return runs
        if runs:
            runs[-1].append(sample)
    return runs


def test_a_viewer_sees_the_publisher_without_encoding_anew(
    serve: Serve, publisher: Publish, reader: Read, watcher: Watch
) -> None:
    server = serve()
    assert watcher(server).answer.status_code == 409, "not live yet"
    camera = reader(server)
    publisher(server)
    camera.wait(20)
    viewer = watcher(server)
    assert viewer.answer.status_code == 201
    assert "a=sendonly" in viewer.answer.text
    until(lambda: len(viewer.frames) > 30)
    assert {(frame.width, frame.height) for frame in viewer.frames} == {(320, 240)}
    assert server.sessions.figures() == {"publishers": 1, "viewers": 1}
    assert server.request("DELETE", viewer.answer.headers["location"]).status_code == 200
    assert server.sessions.figures()["viewers"] == 0


def test_a_viewer_goes_on_when_the_publisher_comes_back(serve: Serve, publisher: Publish, reader: Read, watcher: Watch) -> None:
    server = serve()
    camera = reader(server)
    first = publisher(server)
    camera.wait(10)
    viewer = watcher(server)
    until(lambda: len(viewer.frames) > 5)
    first.delete()
    publisher(server)
    until(lambda: camera.num_connections == 2)
    seen = len(viewer.frames)
    until(lambda: len(viewer.frames) > seen + 30)


def test_viewers_too_many_are_told_to_come_back_and_one_that_closes_makes_room(
    serve: Serve, publisher: Publish, reader: Read, watcher: Watch
) -> None:
    server = serve(max_viewers=1)
    camera = reader(server)
    publisher(server)
    camera.wait(5)
    first = watcher(server)
    second = watcher(server).answer
    assert (second.status_code, "retry-after" in second.headers) == (503, True)
    until(lambda: len(first.frames) > 1)
    first.loop.run(first.peer.close())
    until(lambda: server.sessions.figures()["viewers"] == 0)
    assert watcher(server).answer.status_code == 201


def test_a_viewer_that_lost_a_picture_has_the_publisher_make_a_keyframe(
    serve: Serve, publisher: Publish, reader: Read, watcher: Watch
) -> None:
    server = serve()
    camera = reader(server)
    phone = publisher(server)
    camera.wait(5)
    viewer = watcher(server)
    until(lambda: len(viewer.frames) > 5)
    asked = phone.count_keyframe_wishes()
    ssrc = next(iter(viewer.receiver._RTCRtpReceiver__active_ssrc))
    viewer.loop.run(viewer.receiver._send_rtcp_pli(ssrc))
    until(lambda: asked)


def test_a_camera_of_another_codec_is_refused_to_viewers(serve: Serve, watcher: Watch) -> None:
    server = serve()
    view = server.sessions.view("yard")
    view.codec, view._pushed_s = "hevc", time.monotonic()
    answer = watcher(server, "yard").answer
    assert answer.status_code == 409
    assert "needs H.264, got hevc" in answer.json()["error"]["message"]


@pytest.mark.parametrize("endless", [False, True])
def test_a_publisher_whose_picture_never_ends_is_sent_away_and_its_camera_is_told(
    serve: Serve, publisher: Publish, reader: Read, endless: bool
) -> None:
    """After good pictures, and when not one has come."""
    server = serve(limits=IngestLimits(max_access_unit_mb=0.1))
    camera = reader(server)
    phone = publisher(server, endless=endless)
    if not endless:
        camera.wait(5)
        phone.never_end()
    until(lambda: camera.ends)
    assert camera.ends[0].startswith("camera phone: expected pictures of at most 0.1 MiB")
    assert "ingest.max_access_unit_mb" in camera.ends[0]
    assert phone.delete().status_code == 404, "its session has ended"
    publisher(server)
    camera.wait(len(camera.samples) + 5)
