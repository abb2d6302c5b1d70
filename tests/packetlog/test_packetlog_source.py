"""A packet log as a camera: at the speed asked for, unchanged, and closed in time."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from packetlog_cases import WALL_S, packets, unmarked
from packetlog_fixtures import log

from stream.errors import SourceError
from stream.packetlog import PacketLog
from stream.packetlog.connect import AsRecorded, RecordedSample, ReplayConnector, parse_replay
from stream.packetlog.replay import paced
from stream.sources import CameraState, Mailbox, StateMachine, Supervisor
from stream.units import Packet

__all__ = ["log"]


class Virtual:
    """A clock that goes on when it is slept on."""

    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


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


def test_marks_of_a_replay_are_those_of_the_recording(log: PacketLog) -> None:
    assert unmarked(log.packets()) == list(log.packets(start=WALL_S))
