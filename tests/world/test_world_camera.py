"""The generated world as a camera: files, presets, a live publisher, the command."""

from __future__ import annotations

import socket
from fractions import Fraction
from pathlib import Path

import av
import pytest

from trainer.world import (
    CAMERAS,
    CameraError,
    CameraProcess,
    PublishError,
    TimeError,
    World,
    camera_profile,
    publish,
    write_file,
)

WORLD = World(900_001, duration_s=12)


def packets_of(path: Path) -> list[av.Packet[av.VideoStream]]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("fps", [10, 25])
def test_picture_k_is_at_k_over_fps(tmp_path: Path, suffix: str, fps: int) -> None:
    path = write_file(WORLD, tmp_path / f"clip{suffix}", width=160, height=90, fps=fps, start_s=1.0, duration_s=3.0)
    packets = packets_of(path)
    assert len(packets) == 3 * fps
    (tick_s,) = {packet.time_base for packet in packets}
    assert sorted(packet.pts or 0 for packet in packets) == [Fraction(k, fps) / tick_s for k in range(3 * fps)]


@pytest.mark.parametrize("name", list(CAMERAS))
def test_every_preset_encodes_as_it_says(tmp_path: Path, name: str) -> None:
    packets = packets_of(write_file(WORLD, tmp_path / "clip.mp4", width=320, height=180, camera=name))
    profile = camera_profile(name)
    gop = round(profile.gop_s * 10)
    pts = [packet.pts or 0 for packet in packets]
    assert [index for index, packet in enumerate(packets) if packet.is_keyframe] == list(range(0, 120, gop))
    assert (pts != sorted(pts)) == (profile.b_frames > 0)
    if profile.kbps:
        wanted = int(profile.options(width=320, height=180, fps=10)["b"].removesuffix("k"))
        assert sum(packet.size for packet in packets) * 8 / 12_000 == pytest.approx(wanted, rel=0.25)


def test_the_same_world_writes_the_same_bytes(tmp_path: Path) -> None:
    one, two = (write_file(WORLD, tmp_path / name, width=160, height=90, duration_s=2.0) for name in ("a.mp4", "b.mp4"))
    assert one.read_bytes() == two.read_bytes()


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="did you mean 'bframes'"):
        write_file(WORLD, tmp_path / "clip.mp4", camera="bframe")
    with pytest.raises(CameraError, match=r"\.mp4 or \.mkv, got 'clip\.avi'"):
        write_file(WORLD, tmp_path / "clip.avi")
    with pytest.raises(TimeError, match="make a longer world"):
        write_file(WORLD, tmp_path / "clip.mp4", start_s=10.0, duration_s=5.0)


@pytest.fixture
def free_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"rtsp://127.0.0.1:{probe.getsockname()[1]}/yard"


def listen(url: str) -> av.container.InputContainer:
    return av.open(url, options={"rtsp_flags": "listen", "listen_timeout": "30"})


def test_a_live_camera_sends_the_bytes_of_the_file(tmp_path: Path, free_url: str) -> None:
    with CameraProcess(900_001, free_url, seconds=2.0, width=160, height=90, connect_s=30.0) as camera:
        with listen(free_url) as container:
            live = [packet.size for packet in container.demux(video=0) if packet.size]
        assert camera.wait(30.0) == 0
    assert "20 pictures sent" in camera.output
    path = write_file(World(900_001, duration_s=2.0), tmp_path / "clip.mp4", width=160, height=90)
    assert live[1:] == [packet.size for packet in packets_of(path)][1:]


def test_a_camera_ends_well_when_the_peer_closes(free_url: str) -> None:
    with CameraProcess(900_001, free_url, seconds=12.0, width=160, height=90, connect_s=30.0) as camera:
        with listen(free_url) as container:
            assert next(container.demux(video=0)).size
        assert camera.wait(30.0) == 0
    assert "the peer closed" in camera.output


def test_a_camera_without_a_server_says_so_and_hides_the_password(free_url: str) -> None:
    with pytest.raises(PublishError, match="expected a server that listens") as caught:
        publish(WORLD, free_url.replace("//", "//user:secret@"), width=64, height=64, connect_s=0.0)
    assert "secret" not in str(caught.value)
    assert "user" not in str(caught.value)


def test_the_command_tells_the_story_and_saves_a_picture(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from trainer.world.__main__ import app

    told = CliRunner().invoke(app, ["story", "--seed", "900001", "--seconds", "12"])
    assert [line.split("  ")[-1] for line in told.output.splitlines()] == [event.sentence for event in WORLD.events]
    saved = CliRunner().invoke(app, ["picture", str(tmp_path / "yard.png"), "--seed", "900001", "--at-s", "3"])
    assert saved.exit_code == 0
    assert (tmp_path / "yard.png").stat().st_size > 50_000
