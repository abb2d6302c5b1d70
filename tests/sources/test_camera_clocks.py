"""A camera's clocks over a real RTSP connection: its time of day an hour off, its line late, its timestamps that wrap and jump."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from clips import write_clip
from rtsp_fixtures import RtspServer
from rtsp_relay import RtspRelay

from stream.sources import open_source
from stream.sources.address import parse_address
from stream.sources.assemble import Assembler
from stream.sources.mediaclock import MediaClock
from stream.sources.opening import open_container
from stream.sources.options import OpenOptions
from stream.sources.policy import SourcePolicy
from stream.sources.timekeeper import Timekeeper
from stream.sources.untimed import TimeFinder
from stream.sources.wallclock import Live
from stream.units import MEDIA_CLOCK_HZ, Packet

WAIT_S = 60.0
FPS = 15
SECONDS = 12
"""Long enough for two sender reports: the second comes within 9.3 s (RFC 3550 6.2: 5 s, half of that at first, times 1.5 / 1.22)."""
HOUR_S = 3600
RIGHT_S = 0.5
"""How well wall time has to be known where the camera sends reports."""

JUMP = HOUR_S * MEDIA_CLOCK_HZ
CAMERAS: dict[str, dict[str, object]] = {
    "late": {"delay_s": 2.0},
    "an hour ahead": {"ntp_shift_s": lambda number: HOUR_S},
    "an hour behind": {"ntp_shift_s": lambda number: -HOUR_S},
    "sets its clock": {"ntp_shift_s": lambda number: HOUR_S if number else 0},
    "wraps": {"rtp_start": (1 << 32) - 4 * MEDIA_CLOCK_HZ},
    "jumps ahead": {"rtp_shift": lambda at_s: JUMP if at_s > SECONDS / 2 else 0},
    "jumps back": {"rtp_shift": lambda at_s: -JUMP if at_s > SECONDS / 2 else 0},
}


class Seen(NamedTuple):
    """A packet, when it came, and what was thought of the clocks then."""

    packet: Packet
    arrival_s: float
    source: str
    clock_wrong: bool
    late_s: float = 0.0
    """How long after the most punctual of them it came; pictures are sent evenly."""

    @property
    def age_s(self) -> float:
        return self.arrival_s - self.packet.wall_s

    @property
    def age_on_time_s(self) -> float:
        """Its age if it had come as soon as it could: what a busy machine held up says nothing of clocks."""
        return self.age_s - self.late_s


class Watched(NamedTuple):
    """A camera that was watched to the end."""

    seen: list[Seen]
    wall: Live
    media: MediaClock

    @property
    def reported(self) -> list[Seen]:
        """From the first sender report on."""
        told = [each for each in self.seen if each.source == "sender report"]
        assert len(told) > 2 * FPS
        return told


@pytest.fixture(scope="module")
def rtsp_server() -> Iterator[RtspServer]:
    server = RtspServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_clip(path, fps=FPS, num_frames=SECONDS * FPS, bf="2", g=str(FPS))


@pytest.fixture(scope="module")
def cameras(film: Path, rtsp_server: RtspServer) -> Iterator[dict[str, Watched]]:
    """All of them at once, each behind a relay of its own: GStreamer plays the film at its own speed."""
    port = rtsp_server(film)
    relays = {name: RtspRelay(port, **clocks) for name, clocks in CAMERAS.items()}  # type: ignore[arg-type]
    with ThreadPoolExecutor(len(relays)) as threads:
        running = {name: threads.submit(watch, relay.port) for name, relay in relays.items()}
        yield {name: watched.result() for name, watched in running.items()}
    for relay in relays.values():
        relay.close()
        assert relay.num_reports


def watch(port: int) -> Watched:
    """The whole film, over RTSP."""
    watched, finder = Watched([], Live(), MediaClock()), TimeFinder()
    keeper = Timekeeper(watched.wall, watched.media)
    address = parse_address(f"rtsp://127.0.0.1:{port}/cam")
    with closing(open_container(address, OpenOptions(timeout_s=WAIT_S), SourcePolicy())) as opened:
        stream = opened.container.streams.video[0]
        assembler = Assembler(stream, time.time)
        for demuxed in opened.container.demux(stream):
            for packet in finder.push(demuxed):
                for sample in assembler.push(packet):
                    packet_ = keeper.packet(sample)
                    watched.seen.append(Seen(packet_, sample.arrival_s, watched.wall.source, watched.wall.clock_wrong))
    began_s = [each.arrival_s - number / FPS for number, each in enumerate(watched.seen)]
    watched.seen[:] = [each._replace(late_s=late_s - min(began_s)) for each, late_s in zip(watched.seen, began_s, strict=True)]
    return watched


@pytest.mark.parametrize("name", CAMERAS)
def test_no_clock_turns_time_back_or_ahead_of_the_arrival(cameras: dict[str, Watched], name: str) -> None:
    seen = cameras[name].seen
    assert len(seen) == SECONDS * FPS
    assert all(a.packet.media_s <= b.packet.media_s for a, b in pairwise(seen))
    assert all(each.age_s >= 0.0 for each in seen)
    assert seen[-1].packet.media_s == pytest.approx(SECONDS, abs=0.5)


def test_a_camera_that_sends_reports_is_dated_by_its_own_clock(cameras: dict[str, Watched]) -> None:
    """Every picture is held on the way for two seconds: arrivals alone cannot tell, reports do."""
    camera = cameras["late"]
    assert all(each.age_s >= 2.0 - RIGHT_S for each in camera.reported)
    assert all(each.age_on_time_s <= 2.0 + RIGHT_S for each in camera.reported)
    assert not camera.wall.clock_wrong


@pytest.mark.parametrize(("name", "shift_s"), [("an hour ahead", HOUR_S), ("an hour behind", -HOUR_S)])
def test_a_camera_whose_clock_is_an_hour_off_is_dated_right_and_told(
    cameras: dict[str, Watched], name: str, shift_s: int
) -> None:
    camera = cameras[name]
    assert all(each.age_on_time_s <= RIGHT_S for each in camera.reported)
    assert camera.seen[-1].clock_wrong
    assert camera.wall.num_reanchors == 1
    assert camera.wall.clock_offset_s == pytest.approx(-shift_s, abs=RIGHT_S)


def test_a_camera_that_sets_its_clock_while_we_watch_is_dated_right_throughout(cameras: dict[str, Watched]) -> None:
    """Its media time has nothing to do with that."""
    camera = cameras["sets its clock"]
    assert all(each.age_on_time_s <= RIGHT_S for each in camera.reported)
    assert camera.wall.clock_offset_s == pytest.approx(-HOUR_S, abs=RIGHT_S)
    assert not any(each.packet.discontinuity for each in camera.seen)
    assert camera.media.num_jumps == 0


def test_rtp_timestamps_that_wrap_change_nothing(cameras: dict[str, Watched], film: Path) -> None:
    camera = cameras["wraps"]
    with open_source(str(film)) as packets:
        assert [each.packet.pts_s for each in camera.seen] == [packet.pts_s for packet in packets]
    assert not any(each.packet.discontinuity for each in camera.seen)
    assert camera.media.num_jumps == 0


@pytest.mark.parametrize("name", ["jumps ahead", "jumps back"])
def test_rtp_timestamps_that_jump_an_hour_are_marked_once(cameras: dict[str, Watched], name: str) -> None:
    camera = cameras[name]
    assert sum(each.packet.discontinuity for each in camera.seen) == 1
    assert all(each.age_on_time_s <= RIGHT_S for each in camera.seen)
    assert camera.media.num_jumps == 1
