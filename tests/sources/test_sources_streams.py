"""MPEG-TS over UDP and TCP from plain sockets, files that loop, cameras that are silent by design."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice, pairwise
from pathlib import Path

import pytest
from clips import write_clip
from ports import free_udp_port
from published import published

from stream.errors import SourceError
from stream.sources import open_source
from stream.sources.options import OpenOptions
from stream.tokenizer.tokenizer import Tokenizer
from stream.units import Packet

WAIT_S = 60.0
DATAGRAM_BYTES = 7 * 188
"""Seven transport packets, as encoders send them."""
NULL_PACKET = b"\x47\x1f\xff\x10" + bytes(184)
KNOCK_S = 0.05


@contextmanager
def running(target: object, *args: object) -> Iterator[None]:
    thread = threading.Thread(target=target, args=args)  # type: ignore[arg-type]
    thread.start()
    try:
        yield
    finally:
        thread.join(WAIT_S)
        assert not thread.is_alive()


def send_datagrams(data: bytes, port: int) -> None:
    """As soon as somebody listens: until then the kernel answers that nobody does."""
    with socket.socket(type=socket.SOCK_DGRAM) as sending:
        sending.connect(("127.0.0.1", port))
        sending.settimeout(KNOCK_S)
        while True:
            try:
                sending.send(NULL_PACKET)
                sending.recv(1)
            except ConnectionRefusedError:
                time.sleep(KNOCK_S)  # or it would take the interpreter from the one who is about to listen
            except TimeoutError:
                break
        for start in range(0, len(data), DATAGRAM_BYTES):
            sending.send(data[start : start + DATAGRAM_BYTES])


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_transport_stream_over_udp_gives_its_packets(tmp_path: Path, codec: str) -> None:
    options = {"x265-params": "log-level=none:pools=1"} if codec == "libx265" else {}
    clip, port = write_clip(tmp_path / "clip.ts", codec=codec, num_frames=30, **options), free_udp_port()
    with (
        running(send_datagrams, clip.read_bytes(), port),
        open_source(f"udp://127.0.0.1:{port}", options=OpenOptions(timeout_s=WAIT_S, stale_s=2.0)) as source,
    ):
        packets = list(islice(source, 28))
        with pytest.raises(SourceError, match=r"no packet within 2 s \(stale_s\)"):
            list(source)
    with open_source(str(clip)) as recorded:
        assert [p.data for p in packets] == [p.data for p in recorded][:28]


def test_nothing_over_udp_is_an_error_in_time() -> None:
    with pytest.raises(SourceError, match=r"udp://127.0.0.1:\d+: no answer within 0\.3 s"):
        open_source(f"udp://127.0.0.1:{free_udp_port()}", timeout_s=0.3)


def test_a_transport_stream_over_tcp_gives_its_packets(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.ts", num_frames=30)

    def serve(listening: socket.socket) -> None:
        peer, _ = listening.accept()
        with peer:
            peer.sendall(clip.read_bytes())

    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        running(serve, listening),
        open_source(f"tcp://127.0.0.1:{listening.getsockname()[1]}", timeout_s=WAIT_S) as source,
    ):
        packets = list(source)
    with open_source(str(clip)) as recorded:
        assert [p.data for p in packets] == [p.data for p in recorded]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("srt://127.0.0.1:5000", "SRT is not in the FFmpeg of the installed PyAV"),
        ("whip", "whip is not read by FFmpeg; `ov2 serve` opens it as a camera"),
        ("replay:/nowhere", "replay is not read by FFmpeg"),
    ],
)
def test_what_this_door_does_not_open_says_who_does(url: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        open_source(url)


# Files that loop


def loop(path: Path, num_packets: int, **options: object) -> list[Packet]:
    with open_source(str(path), options=OpenOptions(loop=True), clock=lambda: 1000.0, **options) as source:  # type: ignore[arg-type]
        return list(islice(source, num_packets))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.h264"])
def test_time_goes_on_when_a_file_begins_again(tmp_path: Path, name: str) -> None:
    clip = write_clip(tmp_path / name, num_frames=10, fps=10, bf="2")
    packets = loop(clip, 25)
    assert [index for index, p in enumerate(packets) if p.discontinuity] == [10, 20]
    assert [p.data for p in packets] == (3 * [p.data for p in packets[:10]])[:25]
    times = [p.media_s for p in packets]
    assert times == sorted(times)
    shown = sorted(p.pts_s for p in packets[:20])
    assert name == "clip.h264" or all(  # which tells no times
        later - earlier == pytest.approx(0.1, abs=0.002) for earlier, later in pairwise(shown)
    )
    assert all(p.wall_s == pytest.approx(1000 + p.pts_s) for p in packets)


def test_samples_of_a_loop_go_on_in_time_too(tmp_path: Path) -> None:
    """For an owner who keeps the time himself."""
    clip = write_clip(tmp_path / "clip.mp4", num_frames=10, fps=10, bf="0")
    with open_source(str(clip), options=OpenOptions(loop=True)) as source:
        samples = list(islice(source.samples(), 30))
    ticks = [sample.pts for sample in samples]
    assert all(b - a == ticks[1] - ticks[0] for a, b in pairwise(ticks))
    assert [index for index, sample in enumerate(samples) if sample.breaks] == [10, 20]


def test_a_paced_loop_takes_its_own_time(tmp_path: Path) -> None:
    now_s = [50.0]
    clip = write_clip(tmp_path / "clip.mp4", num_frames=10, fps=10, bf="0")
    with open_source(
        str(clip),
        options=OpenOptions(loop=True, paced=True),
        monotonic=lambda: now_s[0],
        sleep=lambda seconds: now_s.__setitem__(0, now_s[0] + seconds),
    ) as source:
        given_s = [now_s[0] for _ in islice(source, 25)]
    assert given_s == [pytest.approx(50 + index / 10) for index in range(25)]


def test_groups_of_a_loop_end_where_the_file_does(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", num_frames=30, fps=10)
    tokenizer = Tokenizer(published(max_pixels=28 * 28 * 24))
    groups = [group for packet in loop(clip, 75) for group in tokenizer.push(packet)]
    assert [round(group.end_s, 2) for group in groups if group.closed_by == "discontinuity"] == [3.0, 6.0]


def test_a_file_without_a_picture_does_not_loop_for_ever(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", num_frames=10)
    data = clip.read_bytes()
    clip.write_bytes(data[: data.index(b"mdat") + 4])
    assert loop(clip, 5) == []


def test_one_picture_loops_at_a_step_of_its_own(tmp_path: Path) -> None:
    packets = loop(write_clip(tmp_path / "clip.mp4", num_frames=1), 4)
    assert [p.media_s for p in packets] == [0.0, 0.04, 0.08, 0.12]


# Silence


PAUSE_S = 4.0


@pytest.mark.parametrize(("stale_s", "num_packets"), [(None, 60), ("timeout_s", 40), (1.0, 40)])
def test_silence_is_an_error_only_where_packets_were_to_come(tmp_path: Path, stale_s: float | None, num_packets: int) -> None:
    """A camera that sends on events alone is quiet for longer than opening may take; it is waited for, others are not."""
    clip = write_clip(tmp_path / "clip.ts", num_frames=60)
    half = clip.read_bytes().index(packet_starts(clip, 45)) // 188 * 188
    given_up = threading.Event()

    def serve(listening: socket.socket) -> None:
        peer, _ = listening.accept()
        with peer:
            peer.sendall(clip.read_bytes()[:half])
            if not given_up.wait(PAUSE_S):
                peer.sendall(clip.read_bytes()[half:])

    packets: list[Packet] = []
    with socket.create_server(("127.0.0.1", 0)) as listening, running(serve, listening):
        url, options = f"tcp://127.0.0.1:{listening.getsockname()[1]}", OpenOptions(timeout_s=2.0, stale_s=stale_s)
        with open_source(url, options=options) as source, suppress(SourceError):
            packets.extend(source)
        given_up.set()
    assert len(packets) == 60 if num_packets == 60 else 40 <= len(packets) < 60


def packet_starts(clip: Path, number: int) -> bytes:
    """The first bytes of a picture, as they stand in the file."""
    with open_source(str(clip)) as source:
        return list(source)[number].data[:40]


@pytest.mark.parametrize("wrong", [{"timeout_s": 0}, {"stale_s": -1}, {"timeout_s": float("nan")}, {"transport": "smoke"}])
def test_an_option_out_of_range_is_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(SourceError, match=f"{next(iter(wrong))}: expected"):
        OpenOptions(**wrong)  # type: ignore[arg-type]
