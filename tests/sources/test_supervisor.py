"""What a camera's supervisor promises: it comes back, it says what it does, and it ends whatever hangs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from child_environment import child_environment
from clips import write_clip
from hypothesis import given
from hypothesis import strategies as st
from reader_family import readers_of
from rtsp_fixtures import RtspServer
from stopping import running
from supervised import WAIT_S, reader, supervised

from stream.errors import SourceError
from stream.sources import Backoff, CameraState, StateMachine, open_source
from stream.sources.sample import Sample
from stream.sources.states import LAWFUL
from stream.sources.supervisor import Patience

FAR = "rtsp://me:hunter2@cam.invalid/x"


def sample(number: int) -> Sample:
    return Sample(b"\0\0\0\1\x65", 3000 * number, None, Fraction(1, 90_000), 1000.0, None, True, "h264", 5, 64, 64)


class Script:
    """A connector that plays parts: each connection gives its samples, then does its last word."""

    waits = ends = False

    def __init__(self, *connections: list[Any]) -> None:
        self.skipped: Counter[str] = Counter()
        self.num_closed = 0
        self._connections = list(connections)
        self._items: list[Any] = []
        self._over = threading.Event()

    def connect(self) -> Script:
        if not self._connections:
            self._over.wait(WAIT_S)
            raise SourceError("closed")
        self._items = self._connections.pop(0)
        if self._items and isinstance(self._items[0], SourceError):
            raise self._items.pop(0)
        return self

    def get(self, timeout_s: float | None) -> Sample | None:
        item = self._items.pop(0) if self._items else None
        if isinstance(item, type | Exception):
            raise item
        return item

    def close(self) -> None:
        self.num_closed += 1
        if self.num_closed and not self._connections:
            self._over.set()


def states_of(*connections: list[Any], packets: int) -> tuple[list[CameraState], list[str]]:
    """Every state that a scripted camera goes through, with its reason, until it has given so many packets."""
    seen: list[tuple[CameraState, str]] = []
    machine = StateMachine(CameraState.CONNECTING, on_change=lambda state: seen.append((state, machine.reason)))
    with supervised(FAR, connector=Script(*connections), states=machine) as camera:
        for _ in range(packets):
            assert camera.mailbox.get(WAIT_S) is not None
    return [state for state, _ in seen], [reason for _, reason in seen]


@given(st.floats(0.01, 5), st.floats(0.01, 100), st.integers(1, 40))
def test_pauses_double_up_to_a_ceiling_and_are_fully_jittered(first_s: float, longest_s: float, attempts: int) -> None:
    drawn: list[tuple[float, float]] = []
    backoff = Backoff(first_s=first_s, longest_s=longest_s, uniform=lambda low, high: drawn.append((low, high)) or high)
    pauses = [backoff.pause_s() for _ in range(attempts)]
    assert all(low == 0.0 for low, _ in drawn)
    assert pauses[0] == min(first_s, max(first_s, longest_s))
    assert all(late == min(2 * early, max(first_s, longest_s)) for early, late in pairwise(pauses))


def test_a_good_minute_begins_the_pauses_anew_and_a_short_one_does_not() -> None:
    backoff = Backoff(first_s=1.0, longest_s=30.0, uniform=lambda low, high: high)
    assert [backoff.pause_s() for _ in range(3)] == [1.0, 2.0, 4.0]
    backoff.lasted(59.0)
    assert backoff.pause_s() == 8.0
    backoff.lasted(60.0)
    assert backoff.pause_s() == 1.0


def test_a_slow_camera_may_pause_as_it_always_did() -> None:
    slow = Patience(stale_s=60.0)
    for _ in range(10):
        slow.seen(5.0)
    assert slow.stall_s == pytest.approx(20.0, rel=0.1)
    quick = Patience(stale_s=60.0)
    quick.seen(1 / 15)
    assert quick.stall_s == 2.0
    assert Patience(stale_s=1.0).stall_s == 0.5
    assert Patience(stale_s=None).stall_s is None


@pytest.mark.parametrize("before", CameraState)
@pytest.mark.parametrize("after", CameraState)
def test_states_change_only_by_lawful_steps(before: CameraState, after: CameraState) -> None:
    machine = StateMachine(before)
    if after is before or after in LAWFUL[before]:
        machine.to(after, "because")
        assert (machine.state, machine.reason) == (after, "because")
    else:
        with pytest.raises(AssertionError):
            machine.to(after)


def test_a_camera_that_breaks_goes_offline_with_the_reason_and_comes_back() -> None:
    broken = [sample(0), SourceError("the connection broke")]
    states, reasons = states_of(broken, [sample(0), sample(1)], packets=3)
    assert states[:4] == [CameraState.LIVE, CameraState.OFFLINE, CameraState.CONNECTING, CameraState.LIVE]
    assert reasons[1] == "the connection broke"
    assert "the connection broke" in reasons[2]


def test_a_silent_camera_stalls_and_recovers_without_a_new_connection() -> None:
    states, reasons = states_of([sample(0), TimeoutError, sample(1)], packets=2)
    assert states[:3] == [CameraState.LIVE, CameraState.STALLED, CameraState.LIVE]
    assert reasons[1].startswith("no packet for")


def test_media_time_goes_on_over_connections_and_the_first_packet_is_marked() -> None:
    with supervised(FAR, connector=Script([sample(0), sample(1)], [sample(900_000)])) as camera:
        packets = [camera.mailbox.get(WAIT_S) for _ in range(3)]
    times = [packet.media_s for packet in packets if packet]
    assert times == sorted(times)
    assert times[2] < 5.0, "a new connection's clock begins anywhere"
    assert [packet.discontinuity for packet in packets if packet] == [False, False, True]


def test_a_file_is_read_once_and_the_mailbox_ends(golden: Path) -> None:
    path = str(golden / "macroblock" / "cbr_lowdelay.mp4")
    with supervised(path, can_wait=True) as camera:
        found = list(iter(lambda: camera.mailbox.get(WAIT_S), None))
    assert found == list(open_source(path, clock=lambda: 1000.0))
    assert (camera.last_error, camera.num_packets, camera.num_connections) == (None, 150, 1)


def test_a_file_at_full_speed_loses_nothing_to_a_slow_reader(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "long.mp4", num_frames=700)
    with supervised(str(path), can_wait=True) as camera:
        assert sum(1 for _ in iter(lambda: camera.mailbox.get(WAIT_S), None)) == 700
    assert camera.mailbox.num_dropped == 0


def test_a_paced_file_is_let_go_at_once(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "slow.mp4", fps=1, num_frames=30)
    with supervised(str(path), connector=reader(str(path), paced=True)) as camera:
        assert camera.mailbox.get(WAIT_S) is not None
    assert list(iter(lambda: camera.mailbox.get(WAIT_S), None)) == []


def test_what_cannot_be_opened_is_told_and_its_password_is_not(tmp_path: Path) -> None:
    with supervised(str(tmp_path / "missing.mp4")) as camera:
        assert camera.mailbox.get(WAIT_S) is None
    assert "no such file" in (camera.last_error or "")
    with closing(reader("rtsp://me:hunter2@127.0.0.1:1/x")) as refused, pytest.raises(SourceError) as caught:
        refused.connect()
    assert "hunter2" not in str(caught.value)


def test_waiting_for_a_publisher_ends_at_once() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with supervised(f"listen:rtsp://127.0.0.1:{port}/cam") as camera:
        camera.mailbox.close()
    assert camera.num_connections == 0


def test_a_peer_that_never_answers_is_ended_though_it_drips(tmp_path: Path) -> None:
    """One byte now and then keeps FFmpeg's own timeout from running out: the reader is killed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def drip() -> None:
            peer, _ = server.accept()
            with peer:
                while not stop.wait(0.05):
                    try:
                        peer.send(b"R")
                    except OSError:
                        return

        dripping = threading.Thread(target=drip)
        dripping.start()
        slow = reader(f"rtsp://me:hunter2@127.0.0.1:{server.getsockname()[1]}/x", timeout_s=0.3)
        try:
            with pytest.raises(SourceError, match=r"timeout_s|cannot be reached|no answer") as caught:
                slow.connect()
        finally:
            stop.set()
            dripping.join(WAIT_S)
            slow.close()
    assert "hunter2" not in str(caught.value)


def test_a_reader_that_is_killed_is_replaced(tmp_path: Path, rtsp_server: RtspServer) -> None:
    port = rtsp_server(write_clip(tmp_path / "clip.mp4", num_frames=150, fps=15))
    with supervised(f"rtsp://127.0.0.1:{port}/cam") as camera:
        assert camera.mailbox.get(WAIT_S) is not None
        [child] = readers_of(os.getpid())
        child.send_signal(signal.SIGKILL)
        marked = next(packet for packet in iter(lambda: camera.mailbox.get(WAIT_S), None) if packet.discontinuity)
    assert marked.is_key
    assert camera.num_connections == 2


def test_a_reader_that_is_frozen_is_ended_and_replaced(tmp_path: Path, rtsp_server: RtspServer) -> None:
    port = rtsp_server(write_clip(tmp_path / "clip.mp4", num_frames=150, fps=15))
    with supervised(f"rtsp://127.0.0.1:{port}/cam", stale_s=1.0) as camera:
        assert camera.mailbox.get(WAIT_S) is not None
        [child] = readers_of(os.getpid())
        child.send_signal(signal.SIGSTOP)
        assert next(packet for packet in iter(lambda: camera.mailbox.get(WAIT_S), None) if packet.discontinuity)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_no_reader_shows_a_password_to_other_users_or_outlives_its_owner(tmp_path: Path, rtsp_server: RtspServer) -> None:
    port = rtsp_server(write_clip(tmp_path / "clip.mp4", num_frames=150), user="me", password="hunter2")
    code = (
        "from supervised import supervised\nimport os, sys\n"
        f"with supervised('rtsp://me:hunter2@127.0.0.1:{port}/cam') as camera:\n"
        "    camera.mailbox.get(20)\n    print('ready', flush=True)\n    sys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    with running([sys.executable, "-c", code], stdin=pipe, stdout=pipe, env=child_environment()) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        readers = readers_of(owner.pid)
        assert len(readers) == 1
        assert "hunter2" not in " ".join(readers[0].cmdline())
        owner.kill()
    gone, alive = psutil.wait_procs(readers, timeout=WAIT_S)
    assert (len(gone), alive) == (1, [])


def test_a_restarted_camera_says_goodbye_so_that_no_session_is_left_behind(tmp_path: Path, rtsp_server: RtspServer) -> None:
    """A reader is told to stop, and serves again."""
    port = rtsp_server(write_clip(tmp_path / "clip.mp4", num_frames=150, fps=15))
    connector = reader(f"rtsp://127.0.0.1:{port}/cam")
    for _ in range(3):
        connection = connector.connect()
        assert connection.get(WAIT_S) is not None
        connection.close()
        assert connection.get(0.0) is None
    readers = readers_of(os.getpid())
    assert len(readers) == 1, "the same process served three times"
    connector.close()
    assert not readers[0].is_running()
