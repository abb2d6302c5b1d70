"""Workers: they give what a tokenizer in the same process gives, at any moment; one that dies or hangs costs its own cameras what was open."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import psutil
import pytest
from child_environment import child_environment
from ov2_bench.camera_path import digest
from published import published
from reader_family import WORKER, is_over, readers_of
from stopping import running
from waiting import until

from ov2.canvas import CanvasGroup
from stream.camera.remote_tokenizer import RemoteTokenizer
from stream.camera.tokenizing import CameraTokenizer, LocalTokenizer, Tokenized, TokenizingSettings
from stream.camera.worker_process import MOST_APART, WorkerProcess
from stream.camera.workers import Workers
from stream.events.event import Change
from stream.sources import open_source
from stream.sources.forked import can_fork
from stream.tokenizer.settings import settings_from
from stream.units import Packet
from trainer.world import World, write_file

SECONDS, FPS = 12.0, 10
SETTINGS = {
    "published": published(max_pixels=24_000, token_rate=60.0, t_max_s=3.0),
    "activity": settings_from({"token_rate": 60.0, "t_still_s": 1.0, "calm_s": 1.0}),
}
OWNER = """
from stream.camera.workers import Workers
workers = Workers(2, num_cameras=2)
workers.start()
"""


@pytest.fixture(scope="module")
def packets(tmp_path_factory: pytest.TempPathFactory) -> list[Packet]:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_file(World(900_005, duration_s=SECONDS), path, width=320, height=180, fps=FPS)
    with open_source(str(path), clock=lambda: 1000.0) as source:
        return list(source)


@contextmanager
def remote(worker: WorkerProcess, preset: str = "published", name: str = "front") -> Iterator[RemoteTokenizer]:
    tokenizer = RemoteTokenizer(TokenizingSettings(name=name, tokenizer=SETTINGS[preset]), worker)
    tokenizer.began_anew()
    try:
        yield tokenizer
    finally:
        tokenizer.end()
        tokenizer.close()


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    made = WorkerProcess("worker", hangs_s=2.0)
    yield made
    made.end()


def process_of(worker: WorkerProcess) -> psutil.Process:
    """The process that a start of this worker adds to those of this one."""
    before = {each.pid for each in readers_of(os.getpid(), WORKER)}
    worker.start()
    [found] = [each for each in readers_of(os.getpid(), WORKER) if each.pid not in before]
    return found


def shown(group: CanvasGroup | None) -> object:
    """All of a group, comparable."""
    return (digest(group), group.wall_s) if group is not None else None


def all_of(done: Tokenized) -> tuple[list[object], list[tuple[str, object]]]:
    """What became of packets, comparable: ids of events are random, ages depend on the clock."""
    return [shown(group) for group in done.groups], [_shown(change) for change in done.changes]


def _shown(change: Change) -> tuple[str, object]:
    return change.type, replace(change.after, id="", frame_age_ms=0.0)


def at_any_moment(tokenizer: CameraTokenizer, packets: Sequence[Packet], seed: int) -> list[object]:
    """Packets in batches, looks in between, all drawn."""
    rng, told, start = random.Random(seed), list[object](), 0
    while start < len(packets):
        num = rng.randint(1, 9)
        batch = [(packet, rng.choice([1.0, 1.0, 2.5])) for packet in packets[start : start + num]]
        told.append(all_of(tokenizer.push(batch)))
        start += num
        if rng.random() < 0.5:
            told.append(shown(tokenizer.peek()))
        if rng.random() < 0.2:
            picture = tokenizer.newest_picture(200)
            told.append(picture.tobytes() if picture is not None else None)
        if rng.random() < 0.1:
            told.append(all_of(tokenizer.calm()))
    return [*told, all_of(tokenizer.flush()), shown(tokenizer.peek()), tokenizer.figures]


def pushed(tokenizer: CameraTokenizer, packets: Sequence[Packet]) -> Tokenized:
    """One by one."""
    done = [tokenizer.push([(packet, 1.0)]) for packet in packets]
    return Tokenized([group for each in done for group in each.groups], [change for each in done for change in each.changes])


def local(preset: str = "published") -> LocalTokenizer:
    return LocalTokenizer(TokenizingSettings(name="front", tokenizer=SETTINGS[preset]))


@pytest.mark.parametrize("preset", SETTINGS)
@pytest.mark.parametrize("seed", range(3))
def test_a_worker_tells_what_a_tokenizer_of_this_process_tells_at_any_moment(
    packets: list[Packet], worker: WorkerProcess, preset: str, seed: int
) -> None:
    expected = at_any_moment(local(preset), packets, seed)
    with remote(worker, preset) as tokenizer:
        assert at_any_moment(tokenizer, packets, seed) == expected


def test_cameras_of_one_worker_do_not_meet(packets: list[Packet], worker: WorkerProcess) -> None:
    expected = all_of(pushed(local(), packets))
    with remote(worker, name="front") as front, remote(worker, name="back") as back:
        done: dict[str, list[Tokenized]] = {"front": [], "back": []}
        for index, packet in enumerate(packets):
            done["front"].append(front.push([(packet, 1.0)]))
            done["back"].append(back.push([(packets[index - index % 2], 1.0)]))
        front_groups = [shown(group) for each in done["front"] for group in each.groups]
    assert front_groups == expected[0]


def test_an_error_of_ours_costs_one_packet_and_is_told(packets: list[Packet], worker: WorkerProcess) -> None:
    bad = replace(packets[3], data=None)  # type: ignore[arg-type]
    with remote(worker) as tokenizer:
        done = tokenizer.push([(packet, 1.0) for packet in [*packets[:3], bad, *packets[3:20]]])
        [skipped] = done.skipped
        assert skipped.kind == "TypeError"
        assert "in push" in skipped.traceback
        assert tokenizer.peek() is not None
        with pytest.raises(RuntimeError, match="unsupported operand"):
            tokenizer.newest_picture("wide")  # type: ignore[arg-type]
        assert tokenizer.peek() is not None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_hangs_costs_what_is_open_and_is_told_once(
    packets: list[Packet], worker: WorkerProcess, how: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    died, half = process_of(worker), len(packets) // 2
    with remote(worker) as front, remote(worker) as back:
        first = pushed(front, packets[:half])
        pushed(back, packets[:half])
        num_groups = front.figures.num_groups
        assert num_groups == len(first.groups) > 0
        died.send_signal(how)
        with caplog.at_level(logging.ERROR):
            for tokenizer in (front, back):
                assert pushed(tokenizer, packets[half : half + 1]).groups == []
                assert tokenizer.peek() is None
        assert is_over(died)
        assert [front.figures.dropped, back.figures.dropped] == [{"worker": 1}] * 2
        assert worker.num_lost == 1
        [record] = caplog.records
        assert ("no answer within 2 s" if how is signal.SIGSTOP else "exit status -9") in record.message
        until(front.began_anew)
        until(back.began_anew)
        assert not front.began_anew()
        again, alone = pushed(front, packets), pushed(local(), packets)
        assert [group.group_id for group in again.groups] == [num_groups + group.group_id for group in alone.groups]
        assert [group.canvases.tobytes() for group in again.groups] == [group.canvases.tobytes() for group in alone.groups]
        peek, expected = front.peek(), local().peek()
        assert peek is not None
        assert peek.group_id == front.figures.num_groups == num_groups + len(again.groups)
        assert expected is None


class Deadly:
    """Where it is read, the process ends, or hangs: as FFmpeg could with a packet."""

    def __init__(self, *what: object) -> None:
        self._what = what

    def __reduce__(self) -> tuple[object, ...]:
        return self._what[0], self._what[1:]


@pytest.mark.parametrize("deadly", [Deadly(os.abort), Deadly(time.sleep, 3600.0)], ids=["dies", "hangs"])
def test_a_camera_that_its_worker_dies_at_has_another_to_itself(
    packets: list[Packet], worker: WorkerProcess, deadly: Deadly
) -> None:
    with remote(worker) as front, remote(worker) as back:
        pushed(front, packets[:5])
        pushed(back, packets[:5])
        front.push([(deadly, 1.0)])  # type: ignore[list-item]
        pushed(back, packets[5:6])
        assert (worker.num_lost, len(worker.apart)) == (1, 1)
        until(front.began_anew)
        until(back.began_anew)
        expected = all_of(pushed(local(), packets))
        assert all_of(pushed(front, packets[:40]))[0] == all_of(pushed(local(), packets[:40]))[0]
        front.push([(deadly, 1.0)])  # type: ignore[list-item]
        assert (worker.num_lost, worker.apart[0].num_lost, len(worker.apart)) == (1, 1, 1)
        assert all_of(pushed(back, packets)) == expected, "nothing of it is noticed"
        until(front.began_anew)
        assert len(worker.apart) == 1, "it stays there"


def test_where_a_worker_dies_at_one_camera_after_the_other_they_are_not_why(worker: WorkerProcess) -> None:
    def died_at(tokenizer: RemoteTokenizer, num_before: int) -> bool:
        """Not while a worker that has just died is waited for."""
        tokenizer.began_anew()
        tokenizer.push([(Deadly(os.abort), 1.0)])  # type: ignore[list-item]
        return worker.num_lost > num_before

    for num_before in range(MOST_APART + 1):
        with remote(worker) as tokenizer:
            until(partial(died_at, tokenizer, num_before))
    assert (worker.num_lost, len(worker.apart)) == (MOST_APART + 1, MOST_APART)


def test_cameras_of_another_worker_notice_nothing(packets: list[Packet], worker: WorkerProcess) -> None:
    other, half = WorkerProcess("other"), len(packets) // 2
    died = process_of(worker)
    with remote(worker) as front, remote(other) as back:
        pushed(front, packets[:half])
        before = pushed(back, packets[:half])
        died.kill()
        pushed(front, packets[half : half + 1])
        after = pushed(back, packets[half:])
        groups = [shown(group) for group in before.groups + after.groups]
        assert groups == all_of(pushed(local(), packets))[0]
        assert (worker.num_lost, other.num_lost, back.figures.dropped) == (1, 0, {})
    other.end()


def test_an_event_that_a_worker_takes_along_has_ended(packets: list[Packet], worker: WorkerProcess) -> None:
    died = process_of(worker)
    with remote(worker, "activity") as tokenizer:
        told: list[Change] = []
        rest = iter(packets)
        while not told or told[-1].type == "end":
            told += tokenizer.push([(next(rest), 1.0)]).changes
        died.kill()
        [end] = tokenizer.push([(next(rest), 1.0)]).changes
        assert (end.type, end.before, end.after.id) == ("end", told[-1].after, told[-1].after.id)
        assert end.after.end_time == end.before.frame_time
        assert tokenizer.calm().changes == [], "it is told once"


@pytest.mark.skipif(not can_fork(), reason="this system cannot fork workers from a template")
def test_an_owner_that_is_killed_leaves_no_worker_though_one_should_be_stopped() -> None:
    code = OWNER + "import sys\nprint('ready', flush=True)\nsys.stdin.read()"
    pipe = subprocess.PIPE
    with running([sys.executable, "-c", code], stdin=pipe, stdout=pipe, env=child_environment()) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        workers = readers_of(owner.pid, WORKER)
        assert len(workers) == 2
        workers[0].suspend()
        owner.kill()
    gone, alive = psutil.wait_procs(workers, timeout=60.0)
    assert (len(gone), alive) == (2, [])


def test_where_the_system_cannot_fork_a_worker_is_a_program(
    packets: list[Packet], worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    process = process_of(worker)
    assert process.parent() == psutil.Process()
    with remote(worker) as tokenizer:
        assert all_of(pushed(tokenizer, packets[:40])) == all_of(pushed(local(), packets[:40]))
    worker.end()
    assert is_over(process)


def test_a_worker_that_was_ended_gives_nothing_more_and_waits_for_nobody(packets: list[Packet], worker: WorkerProcess) -> None:
    with remote(worker) as tokenizer:
        pushed(tokenizer, packets[:5])
        worker.end()
        assert tokenizer.push([(packets[5], 1.0)]) == Tokenized([], [])
        assert not tokenizer.began_anew()
    assert worker.num_lost == 0


def test_workers_are_as_many_as_cores_and_no_more_than_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    def planned(cores: int, cameras: int, num: int | None = None) -> int:
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
        workers = Workers(num, num_cameras=cameras)
        return len({worker for _ in range(64) if (worker := workers.next()) is not None})

    assert [planned(1, 4), planned(2, 4), planned(8, 40), planned(8, 3), planned(8, 3, 5), planned(8, 3, 0)] == [
        1,
        2,
        8,
        3,
        5,
        0,
    ]
