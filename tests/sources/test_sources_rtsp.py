"""Real RTSP: GStreamer's server that we pull from, an FFmpeg publisher that pushes to us, and everything that goes wrong."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from clips import write_clip
from ports import free_port
from rtsp_fixtures import RtspServer
from rtsp_publisher import publish
from supervised import supervised

from stream.errors import SourceError
from stream.sources import open_source
from stream.units import Packet

WAIT_S = 60.0
SAME = ("data", "pts_s", "media_s", "size_bytes", "is_key", "codec", "width", "height", "discontinuity")
"""What may not depend on the way a packet came."""


def content(packet: Packet) -> tuple[object, ...]:
    return tuple(getattr(packet, name) for name in SAME)


def read(url: str) -> list[Packet]:
    with open_source(url, timeout_s=WAIT_S) as source:
        return list(source)


CLIPS = {
    "b_frames": {"fps": 25, "bf": "3"},
    "no_b_frames_30": {"fps": 30, "bf": "0"},
    "film_rate": {"fps": 24, "bf": "2", "width": 186, "height": 122},
    "slices": {"fps": 15, "bf": "0", "x264-params": "slices=4"},
}


@pytest.mark.parametrize("name", CLIPS)
def test_a_pulled_camera_gives_the_packets_of_the_file(tmp_path: Path, rtsp_server: RtspServer, name: str) -> None:
    clip = write_clip(tmp_path / "clip.mp4", num_frames=20, **CLIPS[name])
    port = rtsp_server(clip)
    pulled = read(f"rtsp://127.0.0.1:{port}/cam")
    assert [content(p) for p in pulled] == [content(p) for p in read(str(clip))]


@pytest.mark.parametrize("name", CLIPS)
def test_a_publisher_gives_the_packets_of_the_file(tmp_path: Path, name: str) -> None:
    """Also where FFmpeg leaves the first time out."""
    clip = write_clip(tmp_path / "clip.mp4", num_frames=40, **CLIPS[name])
    url = f"rtsp://127.0.0.1:{free_port()}/cam"
    with supervised(f"listen:{url}") as camera:
        publish(clip, url)
        pushed = [camera.mailbox.get(WAIT_S) for _ in range(40)]
    assert [content(p) for p in pushed if p] == [content(p) for p in read(str(clip))]


def test_a_second_publisher_goes_on_in_media_time(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", num_frames=10)
    url = f"rtsp://127.0.0.1:{free_port()}/cam"
    with supervised(f"listen:{url}") as camera:
        publish(clip, url)
        publish(clip, url)
        packets = [camera.mailbox.get(WAIT_S) for _ in range(20)]
    times = [packet.media_s for packet in packets if packet]
    assert times == sorted(times)
    assert [index for index, packet in enumerate(packets) if packet and packet.discontinuity] == [10]
    assert camera.num_connections == 2


def test_no_publisher_is_an_error_after_the_timeout() -> None:
    with pytest.raises(SourceError, match=r"no publisher came within 0\.2 s"):
        open_source(f"rtsp://127.0.0.1:{free_port()}/cam", listen=True, timeout_s=0.2)


def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SourceError, match="the port to listen on is in use"):
            open_source(f"rtsp://127.0.0.1:{port}/cam", listen=True, timeout_s=2)


def test_the_right_password_opens_and_a_wrong_one_says_so(tmp_path: Path, rtsp_server: RtspServer) -> None:
    port = rtsp_server(write_clip(tmp_path / "clip.mp4", num_frames=5), user="me", password="right-word")
    assert len(read(f"rtsp://me:right-word@127.0.0.1:{port}/cam")) == 5
    for userinfo in ("me:wrong-word@", ""):
        with pytest.raises(SourceError, match="refused the user or password") as caught:
            open_source(f"rtsp://{userinfo}127.0.0.1:{port}/cam", timeout_s=WAIT_S)
        seen = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
        assert "word" not in seen.replace("user or password", "")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere", "has no such path (404)"),
        ("audio", "may have no video track"),
    ],
)
def test_what_a_camera_cannot_give_is_named(tmp_path: Path, rtsp_server: RtspServer, path: str, words: str) -> None:
    port = rtsp_server(write_clip(tmp_path / "clip.mp4", num_frames=5))
    with pytest.raises(SourceError, match=re.escape(words)):
        open_source(f"rtsp://me:word@127.0.0.1:{port}/{path}", timeout_s=WAIT_S)


def test_an_unreachable_camera_is_named_without_its_password() -> None:
    with pytest.raises(SourceError, match="connection refused") as caught:
        open_source(f"rtsp://me:hunter2@127.0.0.1:{free_port()}/cam", timeout_s=2)
    assert str(caught.value).startswith("rtsp://***@127.0.0.1")
    assert "hunter2" not in repr(caught.value)


def test_a_silent_camera_ends_in_the_timeout() -> None:
    silence = pytest.raises(SourceError, match=r"no answer within 0\.3 s")
    with socket.create_server(("127.0.0.1", 0)) as silent, silence:
        open_source(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam", timeout_s=0.3)


def test_a_camera_that_falls_silent_is_an_error(tmp_path: Path, rtsp_server: RtspServer) -> None:
    """It keeps the connection open, and sends nothing any more."""
    port = rtsp_server(write_clip(tmp_path / "clip.mp4", fps=5, num_frames=50))
    with open_source(f"rtsp://127.0.0.1:{port}/cam", timeout_s=WAIT_S, stale_s=1.0) as source:
        packets = iter(source)
        next(packets)
        rtsp_server.freeze()
        with pytest.raises(SourceError, match=r"no packet within 1 s|the connection broke"):
            list(packets)


def test_a_camera_that_leaves_is_waited_for(tmp_path: Path, rtsp_server: RtspServer) -> None:
    """The stream ends; the supervisor connects again, and the mailbox stays open."""
    port = rtsp_server(write_clip(tmp_path / "clip.mp4", num_frames=5))
    with supervised(f"rtsp://127.0.0.1:{port}/cam") as camera:
        for _ in range(6):  # one more than the clip holds: it has been opened again
            assert camera.mailbox.get(WAIT_S) is not None
    assert camera.mailbox.num_dropped == 0
