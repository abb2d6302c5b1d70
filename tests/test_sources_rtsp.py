"""Real RTSP: GStreamer's server that we pull from, an FFmpeg publisher that pushes to us, and everything that goes wrong."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from clips import write_clip
from conftest import RtspServer
from rtsp_publisher import publish

from stream.errors import CodecError, SourceError
from stream.sources import Mailbox, PacketPump, PumpState, open_source
from stream.units import Packet

WAIT_S = 20.0
SAME = ("data", "pts_s", "media_s", "size_bytes", "is_key", "codec", "width", "height", "discontinuity")
"""What may not depend on the way a packet came."""


def content(packet: Packet) -> tuple[object, ...]:
    return tuple(getattr(packet, name) for name in SAME)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
    mailbox = Mailbox()
    pump = PacketPump(f"listen:{url}", mailbox, timeout_s=WAIT_S)
    pump.start()
    publish(clip, url)
    pushed = [mailbox.get(WAIT_S) for _ in range(40)]
    pump.stop()
    assert pump.join(WAIT_S)
    assert [content(p) for p in pushed if p] == [content(p) for p in read(str(clip))]


def test_a_second_publisher_goes_on_in_media_time(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", num_frames=10)
    url = f"rtsp://127.0.0.1:{free_port()}/cam"
    mailbox = Mailbox()
    pump = PacketPump(url, mailbox, listen=True, timeout_s=WAIT_S)
    pump.start()
    publish(clip, url)
    publish(clip, url)
    packets = [mailbox.get(WAIT_S) for _ in range(20)]
    pump.stop()
    assert pump.join(WAIT_S)
    times = [packet.media_s for packet in packets if packet]
    assert times == sorted(times)
    assert [index for index, packet in enumerate(packets) if packet and packet.discontinuity] == [10]
    assert pump.num_connections == 2


def test_a_pump_that_waits_for_a_publisher_stops_at_once() -> None:
    url = f"rtsp://127.0.0.1:{free_port()}/cam"
    pump = PacketPump(url, Mailbox(), listen=True, timeout_s=600)
    pump.start()
    while True:  # until the port listens
        pump.stop()
        if pump.join(0.05):
            break
    assert pump.state is PumpState.STOPPED
    assert pump.last_error is None


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
    ("path", "error", "words"),
    [
        ("nowhere", SourceError, "has no such path (404)"),
        ("jpeg", CodecError, "expected H.264 or H.265, got mjpeg"),
        ("audio", SourceError, "may have no video track"),
    ],
)
def test_what_a_camera_cannot_give_is_named(
    tmp_path: Path, rtsp_server: RtspServer, path: str, error: type[Exception], words: str
) -> None:
    port = rtsp_server(write_clip(tmp_path / "clip.mp4", num_frames=5))
    with pytest.raises(error, match=re.escape(words)):
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
    with open_source(f"rtsp://127.0.0.1:{port}/cam", timeout_s=1.0) as source:
        packets = iter(source)
        next(packets)
        rtsp_server.freeze()
        with pytest.raises(SourceError, match=r"no packet within 1 s|the connection broke"):
            list(packets)


def test_a_camera_that_leaves_is_waited_for(tmp_path: Path, rtsp_server: RtspServer) -> None:
    """The stream ends; the pump waits, and the mailbox stays open."""
    port = rtsp_server(write_clip(tmp_path / "clip.mp4", num_frames=5))
    mailbox = Mailbox()
    pump = PacketPump(f"rtsp://127.0.0.1:{port}/cam", mailbox, timeout_s=WAIT_S)
    pump.start()
    for _ in range(6):  # one more than the clip holds: it has been opened again
        assert mailbox.get(WAIT_S) is not None
    pump.stop()
    assert pump.join(WAIT_S)
    assert mailbox.num_dropped == 0
