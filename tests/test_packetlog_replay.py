"""A replay is the live run again: the same packets, the same groups and canvases, bit for bit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import av
import pytest
from packetlog_cases import WALL_S, packets, read, unmarked, wait_until

from stream.errors import SourceError
from stream.packetlog import PacketLog, PacketLogSettings, PacketLogWriter, Start
from stream.packetlog.connect import AsRecorded, RecordedSample, ReplayConnector, parse_replay
from stream.packetlog.replay import paced, tokenized
from stream.serve.recording import Recorder, RecordSettings
from stream.sources import CameraState, Mailbox, StateMachine, Supervisor, open_source
from stream.tokenizer.budget import group_line
from stream.tokenizer.settings import TokenizerSettings, settings_from
from stream.tokenizer.tokenizer import Tokenizer
from stream.units import Packet
from trainer.world import World, write_file

SECONDS = 6.0
SETTINGS = TokenizerSettings(max_pixels=24_000, token_rate=60.0, t_max_s=3.0)
Lines = list[dict[str, Any]]


@pytest.fixture(scope="module", params=["default", "bframes"])
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_file(World(900_005, duration_s=SECONDS), path, width=320, height=180, camera=str(request.param))


def behind(number: int) -> float:
    """How much the groups are widened: a model that falls behind, and catches up."""
    return 1.0 if number < 10 else 1.0 + 0.05 * (number % 40)


def live(packets_: Iterable[Packet], recorder: Recorder, widen: Callable[[int], float]) -> tuple[Lines, list[Packet]]:
    """What a camera's thread does."""
    tokenizer, groups, seen = Tokenizer(SETTINGS), [], []
    for number, packet in enumerate(packets_):
        factor = widen(number)
        tokenizer.widen(factor)
        recorder.put(packet, factor)
        groups += tokenizer.push(packet)
        seen.append(packet)
    groups += tokenizer.flush()
    assert recorder.close()
    return [group_line(group, index) for index, group in enumerate(groups)], seen


def replayed(folder: Path) -> Lines:
    def tokenizer_of(start: Start | None) -> Tokenizer:
        assert start is not None
        assert start.tokenizer is not None
        return Tokenizer(settings_from(start.tokenizer))

    return [group_line(group, index) for index, group in enumerate(tokenized(PacketLog(folder).entries(), tokenizer_of))]


def recorder(folder: Path) -> Recorder:
    return Recorder("front", RecordSettings(folder=folder, segment_bytes=1 << 16), SETTINGS)


def ov2(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ov2_cli", *arguments], capture_output=True, text=True, timeout=110, check=False
    )


# The very same groups


def test_a_live_rtsp_run_and_its_replay_give_the_same_groups(
    film: Path, tmp_path: Path, rtsp_server: Callable[..., int]
) -> None:
    with open_source(f"rtsp://127.0.0.1:{rtsp_server(film)}/cam", timeout_s=30.0) as source:
        groups, seen = live(source, recorder(tmp_path), behind)
    assert len(groups) >= 3
    assert read(tmp_path) == seen
    assert replayed(tmp_path) == groups
    done = ov2("replay", str(tmp_path), "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == groups, done.stderr


def test_a_replay_widens_where_the_live_run_did(film: Path, tmp_path: Path) -> None:
    with open_source(str(film)) as source:
        groups, seen = live(source, recorder(tmp_path / "widened"), behind)
    plain, _ = live(seen, recorder(tmp_path / "plain"), lambda number: 1.0)
    assert groups != plain
    assert replayed(tmp_path / "widened") == groups
    assert replayed(tmp_path / "plain") == plain


def test_a_replay_does_all_else_that_was_done_to_the_tokenizer(film: Path, tmp_path: Path) -> None:
    tokenizer, groups, recording = Tokenizer(SETTINGS), [], recorder(tmp_path)
    with open_source(str(film)) as source:
        for number, packet in enumerate(source):
            recording.put(packet, 1.0)
            groups += tokenizer.push(packet)
            if number == 20:
                recording.steer("force")
                groups += tokenizer.force()
            if number == 30:
                recording.steer("advance", packet.media_s + 4.0)
                groups += tokenizer.advance(packet.media_s + 4.0)
            if number == 45:
                recording.steer("flush")
                groups += tokenizer.flush()
    groups += tokenizer.flush()
    recording.close()
    assert {"forced", "end"} <= {group.closed_by for group in groups}
    assert replayed(tmp_path) == [group_line(group, index) for index, group in enumerate(groups)]


def test_each_recording_of_a_log_is_tokenized_by_itself(film: Path, tmp_path: Path) -> None:
    with open_source(str(film)) as source:
        groups, seen = live(source, recorder(tmp_path), lambda number: 1.0)
    live(seen, recorder(tmp_path), lambda number: 1.0)
    assert replayed(tmp_path) == [{**line, "index": index} for index, line in enumerate(groups + groups)]


# As a source


class Virtual:
    """A clock that goes on when it is slept on."""

    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def log(tmp_path: Path) -> PacketLog:
    with PacketLogWriter(tmp_path / "log") as writer:
        for packet in packets(100):
            writer.put(packet)
    return PacketLog(tmp_path / "log")


@pytest.mark.parametrize(("speed", "takes_s"), [(0.0, 0.0), (1.0, 9.9), (4.0, 9.9 / 4)])
def test_packets_come_at_the_speed_that_was_asked_for(log: PacketLog, speed: float, takes_s: float) -> None:
    clock = Virtual()
    for _ in paced(log.entries(), speed, monotonic=clock, sleep=clock.sleep):
        pass
    assert clock.now_s - 50.0 == pytest.approx(takes_s)


def taken(connector: ReplayConnector, timekeeper: AsRecorded) -> list[Packet]:
    connection = connector.connect()
    found = []
    while (sample := connection.get(10.0)) is not None:
        found.append(timekeeper.packet(sample))
    connection.close()
    return found


def test_a_camera_configured_as_a_replay_gets_the_recorded_packets(log: PacketLog) -> None:
    connector = ReplayConnector(parse_replay(f"replay:{log.folder}?speed=0"))
    assert (connector.ends, connector.waits) == (True, False)
    assert taken(connector, AsRecorded()) == packets(100)
    some = ReplayConnector(parse_replay(f"replay:{log.folder}?speed=0&start=2.5&end=-5"))
    assert taken(some, AsRecorded()) == packets(30, first=20)


def test_a_supervisor_carries_a_replay_unchanged_to_its_end(log: PacketLog) -> None:
    mailbox, states = Mailbox(max_packets=8), StateMachine(CameraState.CONNECTING)
    connector = ReplayConnector(parse_replay(f"replay:{log.folder}?speed=0"))
    supervisor = Supervisor(connector, mailbox, AsRecorded(), states, name="front", can_wait=True)
    supervisor.start()
    found = []
    while (packet := mailbox.get(30.0)) is not None:
        found.append(packet)
    assert supervisor.join(30.0)
    assert found == packets(100)
    assert (mailbox.num_dropped, supervisor.last_error) == (0, None)


def test_a_replay_played_again_goes_on_in_time_and_says_so(log: PacketLog) -> None:
    connector, timekeeper = ReplayConnector(parse_replay(f"replay:{log.folder}?speed=0")), AsRecorded()
    first = taken(connector, timekeeper)
    timekeeper.reconnect(1.0)
    second = taken(connector, timekeeper)
    assert first == packets(100)
    assert [number for number, each in enumerate(second) if each.discontinuity] == [0]
    assert [each.media_s for each in first + second] == sorted(each.media_s for each in first + second)
    assert [each.data for each in second] == [each.data for each in first]


def test_a_replay_may_tell_the_time_of_the_replay(log: PacketLog) -> None:
    clock = Virtual()
    connector = ReplayConnector(parse_replay(f"replay:{log.folder}?speed=0&wall=now"), clock=clock)
    found = taken(connector, AsRecorded("now"))
    assert found == [replace(packet, wall_s=50.0) for packet in packets(100)]


def test_waiting_for_a_replay_ends_in_time_and_by_close(log: PacketLog) -> None:
    connector = ReplayConnector(parse_replay(f"replay:{log.folder}?speed=0.001"))
    connection = connector.connect()
    assert connection.get(10.0) is not None
    with pytest.raises(TimeoutError):
        connection.get(0.01)
    waiting = threading.Thread(target=connection.get, args=(None,))
    waiting.start()
    connector.close()
    waiting.join(10.0)
    assert not waiting.is_alive()
    assert connection.get(None) is None
    with pytest.raises(SourceError, match="closed"):
        connector.connect()


def test_a_replay_tells_what_the_log_has_lost(log: PacketLog) -> None:
    (path,) = log.folder.glob("*.ov2log")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    connection = ReplayConnector(parse_replay(f"replay:{log.folder}?speed=0")).connect()
    found = []
    while (sample := connection.get(10.0)) is not None:
        assert isinstance(sample, RecordedSample)
        found.append(sample.packet)
    assert connection.skipped == {"log_damaged": 1}
    assert len(found) == 99
    assert sum(each.discontinuity for each in found) == 1


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("replay:", "expected the folder"),
        ("replay:/x?speed=fast", "speed: expected a number"),
        ("replay:/x?speed=-1", "speed: expected a number"),
        ("replay:/x?wall=yesterday", "wall: expected recorded or now"),
        ("replay:/x?sped=1", "expected speed, wall, start or end"),
        ("replay:/no/such/folder", "No such file"),
        ("replay:/tmp?start=never", "expected epoch seconds"),
    ],
)
def test_a_replay_that_cannot_be_is_refused_by_name(url: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        ReplayConnector(parse_replay(url)).connect()


# The service's recorder


def test_a_recorder_that_cannot_record_counts_and_never_raises(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    recording = Recorder("front", RecordSettings(folder=tmp_path / "file"), SETTINGS)
    for packet in packets(3):
        recording.put(packet, 1.0)
    recording.steer("flush")
    assert "expected a folder" in (recording.refused or "")
    assert recording.drops == {"log_refused": 3}
    assert recording.close()


def test_a_recorder_cuts_clips_while_it_records(film: Path, tmp_path: Path) -> None:
    recording = recorder(tmp_path / "log")
    with open_source(str(film)) as source:
        sent = list(source)
    for packet in sent:
        recording.put(packet, 1.0)
    wait_until(lambda: any((tmp_path / "log").glob("*.ov2log")) and len(read(tmp_path / "log")) == len(sent))
    clip = recording.clip("-2", "-0.5", tmp_path / "clip.mp4")
    assert clip.start_s <= sent[-1].wall_s - 2 <= clip.end_s - 1
    with av.open(str(clip.path)) as container:
        assert len(list(container.decode(video=0))) == clip.num_frames
    assert recording.close()
    assert recording.drops == {}


def test_the_recorders_settings_are_those_of_the_log(tmp_path: Path) -> None:
    given = RecordSettings(folder=tmp_path, max_bytes=5 << 20, max_age_s=60.0).log_settings
    assert given == PacketLogSettings(max_bytes=5 << 20, max_age_s=60.0)
    assert asdict(RecordSettings(folder=tmp_path).log_settings) == asdict(PacketLogSettings())


# The commands


def test_recording_a_camera_that_is_killed_keeps_what_came(film: Path, tmp_path: Path, rtsp_server: Callable[..., int]) -> None:
    """The real command, a real camera, a real kill -9."""
    with open_source(str(film)) as source:
        sent = list(source)
    folder, url = tmp_path / "front", f"rtsp://127.0.0.1:{rtsp_server(film)}/cam"
    with subprocess.Popen([sys.executable, "-m", "ov2_cli", "record", url, "--out", str(folder)]) as command:
        wait_until(lambda: any(folder.glob("*.ov2log")) and len(read(folder)) > 10)
        command.kill()
    found = read(folder)
    assert len(found) > 10
    assert [(each.data, each.pts_s, each.is_key) for each in found] == [
        (each.data, each.pts_s, each.is_key) for each in sent[: len(found)]
    ]


def test_a_file_recorded_and_replayed_gives_the_groups_of_the_file(film: Path, tmp_path: Path) -> None:
    done = ov2("record", str(film), "--out", str(tmp_path / "front"), "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert (told["camera"], told["drops"], told["error"]) == ("front", {}, None)
    assert told["packets"] == told["log"]["num_packets"] > 50
    setting = ("--json", "--set", "max_pixels=24000", "--set", "token_rate=60")
    assert ov2("replay", str(tmp_path / "front"), *setting).stdout == ov2("tokenize", str(film), *setting).stdout != ""


def test_a_configuration_records_its_cameras_into_folders_of_their_own(film: Path, tmp_path: Path) -> None:
    config = tmp_path / "ov2.yaml"
    config.write_text(f"cameras:\n  front: {{url: {film}}}\n  back: {{url: {film}}}\n  shed: {{url: x, enabled: false}}\n")
    done = ov2("record", str(config), "--out", str(tmp_path / "logs"), "--seconds", "2", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["camera"] for line in lines] == ["front", "back"], done.stderr
    for name in ("front", "back"):
        assert 1.5 <= read(tmp_path / "logs" / name)[-1].media_s < 2.0


def test_recording_ends_in_order_when_it_is_told_to(tmp_path: Path, film: Path, rtsp_server: Callable[..., int]) -> None:
    folder, url = tmp_path / "front", f"rtsp://127.0.0.1:{rtsp_server(film)}/cam"
    command = subprocess.Popen(
        [sys.executable, "-m", "ov2_cli", "record", url, "--out", str(folder), "--json"], stdout=subprocess.PIPE, text=True
    )
    wait_until(lambda: any(folder.glob("*.ov2log")))
    command.send_signal(signal.SIGTERM)
    told, _ = command.communicate(timeout=60)
    assert command.returncode == 0
    assert json.loads(told)["packets"] == len(read(folder)) > 0
    assert any(folder.glob("*.index"))


def test_an_unreachable_camera_is_told_without_its_password(tmp_path: Path) -> None:
    done = ov2("record", "rtsp://me:hunter2@127.0.0.1:9/x", "--out", str(tmp_path), "--seconds", "1", "--timeout-s", "1")
    assert done.returncode == 1
    assert "connection refused" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_a_bad_time_is_one_line(log: PacketLog, tmp_path: Path) -> None:
    for arguments in (
        ("replay", str(log.folder), "--start", "x"),
        ("clip", str(log.folder), str(tmp_path / "o.mp4"), "--start", "x", "--end", "1"),
    ):
        done = ov2(*arguments)
        assert done.returncode == 2
        assert "expected epoch seconds" in done.stderr
        assert "Traceback" not in done.stderr


def test_marks_of_a_replay_are_those_of_the_recording(log: PacketLog) -> None:
    assert unmarked(log.packets()) == list(log.packets(start=WALL_S))
