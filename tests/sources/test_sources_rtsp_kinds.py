"""Real RTSP in all its kinds: what carries it, who may see it, where the parameter sets are, how long a session lives."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import pytest
from certificates import Certificate
from clips import write_clip
from rtsp_fixtures import RtspServer
from rtsp_publisher import publish

from stream.codec.decode import Decoder
from stream.codec.h264.annexb import TYPE_MASK, NalType, join_annexb, split_annexb
from stream.errors import SourceError
from stream.sources import open_source
from stream.sources.options import OpenOptions, Transport
from stream.sources.policy import SourcePolicy
from stream.units import Packet

WAIT_S = 20.0
NUM_FRAMES = 12
LOST_AT_THE_END = {"auto": 0, "tcp": 0, "http": 0, "udp": 2}
"""Pictures still on their way when the server says goodbye beside them."""


def clip_in(folder: Path, **options: object) -> Path:
    return write_clip(folder / "clip.mp4", **{"num_frames": NUM_FRAMES, "fps": 15, "bf": "2", **options})  # type: ignore[arg-type]


def read(url: str, *, policy: SourcePolicy | None = None, **options: object) -> list[Packet]:
    with open_source(url, policy=policy, options=OpenOptions(timeout_s=WAIT_S, **options)) as source:  # type: ignore[arg-type]
        return list(source)


def said(url: str, **options: object) -> str:
    with pytest.raises(SourceError) as caught:
        read(url, **options)
    seen = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert "word" not in seen.replace("user or password", "")
    return str(caught.value)


# What carries it


@pytest.mark.parametrize("transport", ["auto", "tcp", "udp", "http"])
def test_every_transport_gives_the_same_packets(tmp_path: Path, rtsp_server: RtspServer, transport: Transport) -> None:
    clip = clip_in(tmp_path)
    pulled = read(f"rtsp://127.0.0.1:{rtsp_server(clip)}/cam", transport=transport)
    recorded = read(str(clip))
    assert len(pulled) >= len(recorded) - LOST_AT_THE_END[transport]
    assert [(p.data, p.pts_s) for p in pulled] == [(p.data, p.pts_s) for p in recorded[: len(pulled)]]


def test_a_camera_without_tcp_is_read_over_udp(tmp_path: Path, rtsp_server: RtspServer) -> None:
    port = rtsp_server(clip_in(tmp_path), "--transport", "udp")
    assert len(read(f"rtsp://127.0.0.1:{port}/cam")) >= NUM_FRAMES - LOST_AT_THE_END["udp"]
    assert "the camera does not send over tcp; set transport: auto" in said(f"rtsp://127.0.0.1:{port}/cam", transport="tcp")


def test_a_camera_without_udp_says_so(tmp_path: Path, rtsp_server: RtspServer) -> None:
    port = rtsp_server(clip_in(tmp_path), "--transport", "tcp")
    assert "the camera does not send over udp" in said(f"rtsp://127.0.0.1:{port}/cam", transport="udp")


def test_low_latency_over_udp_loses_nothing_on_a_clean_line(tmp_path: Path, rtsp_server: RtspServer) -> None:
    port = rtsp_server(clip_in(tmp_path))
    packets = read(f"rtsp://127.0.0.1:{port}/cam", transport="udp", low_latency=True)
    assert packets[0].is_key
    assert len(packets) >= NUM_FRAMES - LOST_AT_THE_END["udp"]


def test_an_audio_track_beside_the_video_is_left_alone(tmp_path: Path, rtsp_server: RtspServer) -> None:
    clip = clip_in(tmp_path)
    port = rtsp_server(clip)
    with open_source(f"rtsp://127.0.0.1:{port}/talking", timeout_s=WAIT_S) as source:
        packets = list(islice(source, NUM_FRAMES - 2))  # the sound goes on, so the last ones wait for what follows them
    assert [p.data for p in packets] == [p.data for p in read(str(clip))][: NUM_FRAMES - 2]


# Who may see it


@pytest.mark.parametrize("flags", [(), ("--digest",)])
@pytest.mark.parametrize("transport", ["tcp", "http"])
def test_credentials_with_odd_characters_open(
    tmp_path: Path, rtsp_server: RtspServer, flags: tuple[str, ...], transport: Transport
) -> None:
    port = rtsp_server(clip_in(tmp_path), *flags, user="me", password="w@rd:/?#%1")
    url = f"rtsp://me:w%40rd%3A%2F%3F%23%251@127.0.0.1:{port}/cam"
    assert len(read(url, transport=transport)) == NUM_FRAMES
    assert "refused the user or password" in said(f"rtsp://me:wrong-word@127.0.0.1:{port}/cam", transport=transport)


def test_rtsps_needs_a_certificate_that_is_trusted(tmp_path: Path, rtsp_server: RtspServer, certificate: Certificate) -> None:
    port = rtsp_server(clip_in(tmp_path), "--tls", str(certificate.both))
    url = f"rtsps://127.0.0.1:{port}/cam"
    assert len(read(url, tls_ca_file=certificate.public)) == NUM_FRAMES
    assert len(read(url, tls_verify=False)) == NUM_FRAMES
    assert "set tls_ca_file to its authority, or tls_verify: false" in said(url)
    assert "tls_ca_file: expected a PEM file" in said(url, tls_ca_file=tmp_path / "missing.pem")
    assert "expected a video track, found none" in said(url.replace("rtsps", "rtsp"), tls_verify=False)


def test_rtsps_carries_credentials(tmp_path: Path, rtsp_server: RtspServer, certificate: Certificate) -> None:
    port = rtsp_server(clip_in(tmp_path), "--tls", str(certificate.both), "--digest", user="me", password="word")
    assert len(read(f"rtsps://me:word@127.0.0.1:{port}/cam", tls_ca_file=certificate.public)) == NUM_FRAMES
    assert "refused the user" in said(f"rtsps://me:wrong-word@127.0.0.1:{port}/cam", tls_ca_file=certificate.public)


def test_no_log_line_of_ffmpeg_shows_a_password(
    tmp_path: Path, rtsp_server: RtspServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    port = rtsp_server(clip_in(tmp_path), user="me", password="right-word")
    with caplog.at_level(logging.DEBUG):
        read(f"rtsp://me:right-word@127.0.0.1:{port}/cam")
        said(f"rtsp://me:wrong-word@127.0.0.1:{port}/cam")
        said("rtsp://me:wrong-word@127.0.0.1:1/cam")
    shown = caplog.text + "".join(capfd.readouterr())
    assert "-word" not in shown


def test_a_policy_that_lists_the_camera_opens_it_at_its_address(tmp_path: Path, rtsp_server: RtspServer) -> None:
    port = rtsp_server(clip_in(tmp_path), user="me", password="word")
    url = f"rtsp://me:word@localhost:{port}/cam"
    assert len(read(url, policy=SourcePolicy(hosts=("127.0.0.0/8", "::1"), schemes=("rtsp",)))) == NUM_FRAMES
    with pytest.raises(SourceError, match=r"rtsp://\*\*\*@localhost:\d+/cam: localhost is not among ingest\.hosts"):
        read(url, policy=SourcePolicy(hosts=("192.0.2.0/24",)))


# Where the parameter sets are


@pytest.mark.parametrize("sets", ["in-band", "sdp"])
def test_parameter_sets_in_the_description_alone_are_enough(tmp_path: Path, rtsp_server: RtspServer, sets: str) -> None:
    """The canonical packets are the same, with the sets in front of every keyframe."""
    clip = clip_in(tmp_path)
    port = rtsp_server(clip, "--sets", sets)
    assert [p.data for p in read(f"rtsp://127.0.0.1:{port}/cam")] == [p.data for p in read(str(clip))]


def test_parameter_sets_that_come_once_are_enough(tmp_path: Path, rtsp_server: RtspServer) -> None:
    """In front of the first keyframe, never again."""
    clip = write_transport_stream(tmp_path / "once.ts", [clip_in(tmp_path, g="4", bf="0")], sets_once=True)
    pulled = read(f"rtsp://127.0.0.1:{rtsp_server(clip, '--sets', 'once')}/cam")
    keys = [packet for packet in pulled if packet.is_key]
    assert (len(pulled), len(keys)) == (NUM_FRAMES, NUM_FRAMES // 4)
    assert all(packet.data[4] & TYPE_MASK == NalType.SPS for packet in keys)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_size_that_changes_in_band_is_a_discontinuity(tmp_path: Path, rtsp_server: RtspServer, transport: Transport) -> None:
    port = rtsp_server(two_sizes(tmp_path))
    packets = read(f"rtsp://127.0.0.1:{port}/cam", transport=transport)
    assert len(packets) >= 2 * NUM_FRAMES - LOST_AT_THE_END[transport]
    assert [p.width for p in packets] == ([160] * NUM_FRAMES + [320] * NUM_FRAMES)[: len(packets)]
    assert [index for index, p in enumerate(packets) if p.discontinuity] == [NUM_FRAMES]
    times = [p.media_s for p in packets]
    assert times == sorted(times)


def two_sizes(folder: Path) -> Path:
    """A camera that was set to another size in the middle."""
    sizes = {"width": 160, "height": 96}, {"width": 320, "height": 192}
    parts = [write_clip(folder / f"{size['width']}.mp4", num_frames=NUM_FRAMES, fps=15, bf="0", **size) for size in sizes]
    return write_transport_stream(folder / "both.ts", parts)


def write_transport_stream(path: Path, clips: list[Path], *, sets_once: bool = False) -> Path:
    """The packets of H.264 clips, one clip behind the other; parameter sets before every keyframe, or before the first alone."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=15)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number, packet in enumerate(packet for clip in clips for packet in open_source(str(clip))):
            units = split_annexb(packet.data)
            if sets_once and number:
                units = [unit for unit in units if unit[0] & TYPE_MASK not in (NalType.SPS, NalType.PPS)]
            muxed = av.Packet(join_annexb(units))
            muxed.stream, muxed.time_base, muxed.pts, muxed.is_keyframe = stream, Fraction(1, 15), number, packet.is_key
            muxed.dts = muxed.pts
            out.mux(muxed)
    return path


# Other codecs


@pytest.mark.parametrize(
    ("name", "codec", "payloader", "options"),
    [
        (
            "clip.mp4",
            "libx265",
            "h265parse ! rtph265pay config-interval=-1",
            {"x265-params": "log-level=none:pools=1:keyint=4"},
        ),
        ("clip.mkv", "libvpx", "rtpvp8pay", {"g": "4", "deadline": "realtime"}),
        ("clip.mkv", "libvpx-vp9", "vp9parse ! rtpvp9pay", {"g": "4", "deadline": "realtime"}),
    ],
)
def test_cameras_of_other_codecs_are_read(
    tmp_path: Path, rtsp_server: RtspServer, name: str, codec: str, payloader: str, options: dict[str, str]
) -> None:
    clip = write_clip(tmp_path / name, codec=codec, num_frames=NUM_FRAMES, fps=15, **options)
    packets = read(f"rtsp://127.0.0.1:{rtsp_server(clip, '--payloader', payloader)}/cam")
    assert len(packets) == NUM_FRAMES
    assert sum(packet.is_key for packet in packets) == NUM_FRAMES // 4
    assert {(packet.width, packet.height) for packet in packets} == {(160, 96)}


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_publisher_of_either_codec_is_listened_to(tmp_path: Path, codec: str) -> None:
    options = {"x265-params": "log-level=none:pools=1:keyint=4"} if codec == "libx265" else {}
    clip = write_clip(tmp_path / "clip.mp4", codec=codec, num_frames=NUM_FRAMES, fps=15, **options)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        url = f"rtsp://127.0.0.1:{probe.getsockname()[1]}/cam"
    publisher = threading.Thread(target=publish, args=(clip, url))
    publisher.start()
    packets = read(f"listen:{url}")
    publisher.join(WAIT_S)
    assert [(slices(p), p.is_key) for p in packets] == [(slices(p), p.is_key) for p in read(str(clip))]


def slices(packet: Packet) -> list[bytes]:
    """Without parameter sets and messages, which containers of H.265 repeat as they like."""
    if packet.codec == "h264":
        return [packet.data]
    return [nal for nal in split_annexb(packet.data) if nal[0] >> 1 < 32]


@pytest.mark.parametrize("interval", [0, -1])
def test_h265_is_decoded_wherever_its_parameter_sets_are(tmp_path: Path, rtsp_server: RtspServer, interval: int) -> None:
    """In the session description alone, or in the stream."""
    options = {"x265-params": "log-level=none:pools=1:keyint=4:bframes=0:open-gop=0"}
    clip = write_clip(tmp_path / "clip.mp4", codec="libx265", num_frames=NUM_FRAMES, fps=15, **options)
    port = rtsp_server(clip, "--payloader", f"h265parse ! rtph265pay config-interval={interval}")
    decoder = Decoder()
    packets = read(f"rtsp://127.0.0.1:{port}/cam")
    assert len([frame for packet in packets[4:] for frame in decoder.push(packet)] + decoder.flush()) == NUM_FRAMES - 4
    assert not decoder.skipped


def test_an_mjpeg_camera_is_read(tmp_path: Path, rtsp_server: RtspServer) -> None:
    port = rtsp_server(clip_in(tmp_path))
    with open_source(f"rtsp://127.0.0.1:{port}/jpeg", timeout_s=WAIT_S) as source:
        packets = list(islice(source, 5))
    assert source.codec == "mjpeg"
    assert all(packet.is_key and packet.data[:2] == b"\xff\xd8" for packet in packets)
    assert packets[4].media_s == pytest.approx(0.4, abs=0.05)


# How long a session lives


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_session_outlives_the_servers_timeout(tmp_path: Path, rtsp_server: RtspServer, transport: Transport) -> None:
    """The server ends sessions after 2 s without a word; ours goes on for 7."""
    clip = write_clip(tmp_path / "clip.mp4", num_frames=42, fps=6, bf="0")
    port = rtsp_server(clip, "--session-timeout", "2")
    assert len(read(f"rtsp://127.0.0.1:{port}/cam", transport=transport)) >= 42 - LOST_AT_THE_END[transport]
    assert len(rtsp_server.kept_alive()) >= 3


# What a hostile or broken camera does


@contextmanager
def camera_that_says(*answers: bytes) -> Iterator[int]:
    """Answers each request with the next of `answers`, then stays silent. Gives its port."""
    done = threading.Event()

    def serve(listening: socket.socket) -> None:
        peer, _ = listening.accept()
        with peer:
            for answer in answers:
                if not peer.recv(4096):
                    break
                peer.sendall(answer)
            done.wait(WAIT_S)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            done.set()
            thread.join(WAIT_S)


OPTIONS_OK = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: DESCRIBE, SETUP, PLAY\r\n\r\n"
SDP_FOLLOWS = b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Type: application/sdp\r\n"
BROKEN = {
    "a description of a gigabyte that never comes": SDP_FOLLOWS + b"Content-Length: 1000000000\r\n\r\nv=0\r\n",
    "no RTSP at all": b"HELO stranger\r\n\r\n" * 10,
    "half an answer": b"RTSP/1.0 200 OK\r\nCSe",
    "a redirect to a file": b"RTSP/1.0 302 Found\r\nCSeq: 2\r\nLocation: file:///etc/passwd\r\n\r\n",
    "a description without a track": SDP_FOLLOWS + b"Content-Length: 5\r\n\r\nv=0\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_camera_that_answers_nonsense_ends_in_an_error_in_time(name: str) -> None:
    with camera_that_says(OPTIONS_OK, BROKEN[name]) as port, pytest.raises(SourceError) as caught:
        open_source(f"rtsp://me:word@127.0.0.1:{port}/cam", timeout_s=1.0)
    assert str(caught.value).startswith(f"rtsp://***@127.0.0.1:{port}/cam: ")


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE"])
def test_a_redirect_of_a_camera_is_not_followed(tmp_path: Path, rtsp_server: RtspServer, method: str) -> None:
    """Not even to a camera: its host was never checked."""
    elsewhere = f"rtsp://127.0.0.1:{rtsp_server(clip_in(tmp_path))}/cam"
    moved = f"RTSP/1.0 302 Found\r\nCSeq: {1 if method == 'OPTIONS' else 2}\r\nLocation: {elsewhere}\r\n\r\n".encode()
    answers = (moved,) if method == "OPTIONS" else (OPTIONS_OK, moved)
    with camera_that_says(*answers) as port:
        assert "sends us to another address, which is not followed" in said(f"rtsp://127.0.0.1:{port}/cam")
    assert rtsp_server.kept_alive() == []
