"""A packet log as it is written and read: bounds, crashes, full disks, many readers."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from packetlog_cases import GOP, WALL_S, packet, packets, read, unmarked, wait_until

from stream.errors import PacketLogError, SettingsError
from stream.packetlog import PacketLog, PacketLogSettings, PacketLogWriter, Recorded, Start, Steer
from stream.packetlog.index import IndexBuilder, read_index, scan
from stream.packetlog.log import _after
from stream.packetlog.record import Hole
from stream.packetlog.rolling import RollingFiles
from stream.packetlog.segments import Segment, segments_of
from stream.packetlog.when import moment
from stream.units import Packet

VICTIM = Path(__file__).parent / "packetlog_victim.py"
SMALL = PacketLogSettings(max_bytes=1 << 20, segment_bytes=1 << 16)
KILL_ROUNDS = 3


def write(folder: Path, sent: list[Packet], settings: PacketLogSettings | None = None) -> PacketLogWriter:
    with PacketLogWriter(folder, settings) as writer:
        for each in sent:
            writer.wait_for_room(each)
            writer.put(each)
    return writer


def files(folder: Path, settings: PacketLogSettings = SMALL, clock: Clock | None = None) -> RollingFiles:
    start = Start(camera="front", session="s", version="", began_s=0.0)
    return RollingFiles(folder, settings, start, clock=clock or Clock())


class Clock:
    """Virtual time that goes on when told."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


# What is recorded


def test_packets_come_back_in_order_bit_for_bit(tmp_path: Path) -> None:
    sent = packets(200)
    writer = write(tmp_path, sent)
    assert read(tmp_path) == sent
    assert (writer.num_packets, writer.drops) == (200, {})


def test_what_steered_the_tokenizer_stands_where_it_was(tmp_path: Path) -> None:
    one, two, three = packets(3)
    with PacketLogWriter(tmp_path, camera="front", tokenizer={"token_rate": 60.0}) as writer:
        writer.put(one)
        writer.put(two, widen=2.5)
        writer.steer("advance", 0.75)
        writer.put(three, widen=2.5)
        writer.restart({"token_rate": 30.0})
        writer.put(one)
    found = list(PacketLog(tmp_path).entries())
    first, second = (entry for entry in found if isinstance(entry, Start))
    assert found == [
        first,
        Recorded(one),
        Recorded(two, 2.5),
        Steer("advance", 0.75),
        Recorded(three, 2.5),
        second,
        Recorded(one),
    ]
    assert (first.camera, first.tokenizer, second.tokenizer) == ("front", {"token_rate": 60.0}, {"token_rate": 30.0})


def test_another_recording_in_the_same_folder_is_a_discontinuity(tmp_path: Path) -> None:
    write(tmp_path, packets(20))
    write(tmp_path, packets(20, first=20))
    found = read(tmp_path)
    assert unmarked(found) == packets(40)
    assert [number for number, each in enumerate(found) if each.discontinuity] == [20]
    assert len(segments_of(tmp_path)) == 2


def test_two_writers_in_one_folder_are_refused(tmp_path: Path) -> None:
    with PacketLogWriter(tmp_path), pytest.raises(PacketLogError, match="another process records into it"):
        PacketLogWriter(tmp_path)
    PacketLogWriter(tmp_path).close()


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(PacketLogError, match="No such file"):
        PacketLog(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(PacketLogError, match="expected a folder"):
        PacketLogWriter(tmp_path / "file")
    assert PacketLog(tmp_path).range() is None
    assert read(tmp_path) == []


@pytest.mark.parametrize(
    ("setting", "value"), [("max_bytes", 100), ("segment_s", 0), ("max_age_s", float("nan")), ("queue_packets", True)]
)
def test_a_setting_out_of_range_is_named(setting: str, value: float) -> None:
    with pytest.raises(SettingsError, match=rf"record\.{setting}: expected a number of at least"):
        PacketLogSettings(**{setting: value})


# Finding a time


@pytest.fixture
def long_log(tmp_path: Path) -> tuple[PacketLog, list[Packet]]:
    """100 seconds over several segments."""
    sent = packets(1000)
    write(tmp_path, sent, SMALL)
    assert len(segments_of(tmp_path)) > 4
    return PacketLog(tmp_path), sent


def test_a_range_begins_with_the_key_frame_at_or_before_its_start(long_log: tuple[PacketLog, list[Packet]]) -> None:
    log, sent = long_log
    for start, end in ((0.0, 3.0), (5.0, 5.0), (7.77, 40.0), (99.0, 200.0), (-10.0, 0.0)):
        first = max(0, int(start * 10) // GOP * GOP)
        last = min(999, int(end * 10))
        assert list(log.packets(WALL_S + start, WALL_S + end)) == sent[first : last + 1], (start, end)
    assert list(log.packets(end=WALL_S + 1.0)) == sent[:11]


def test_reading_from_a_key_frame_knows_the_start_and_the_widening_there(tmp_path: Path) -> None:
    with PacketLogWriter(tmp_path, SMALL, camera="front") as writer:
        for number, each in enumerate(packets(1000)):
            writer.put(each, widen=1.0 + number // 100)
            writer.wait_for_room(each)
    for number in (0, 90, 100, 105, 450, 999):
        start, first, *_ = PacketLog(tmp_path).entries(start=WALL_S + number / 10)
        assert isinstance(start, Start)
        assert isinstance(first, Recorded)
        key = number // GOP * GOP
        assert (start.camera, first) == ("front", Recorded(packet(key), 1.0 + key // 100))


def test_the_range_is_that_of_the_first_and_last_packet(long_log: tuple[PacketLog, list[Packet]]) -> None:
    log, sent = long_log
    covers = log.range()
    assert covers is not None
    assert (covers.start_s, covers.end_s, covers.num_packets) == (sent[0].wall_s, sent[-1].wall_s, 1000)


def test_a_reader_that_looks_again_reads_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rolling, seen = files(tmp_path, PacketLogSettings()), []
    see = IndexBuilder.see
    monkeypatch.setattr(IndexBuilder, "see", lambda self, record: (seen.append(record.number), see(self, record)))
    log = PacketLog(tmp_path)
    for number in range(5):
        rolling.append([Recorded(each) for each in packets(100, first=100 * number)])
        covers = log.range()
        assert covers is not None
        assert (covers.end_s, covers.num_packets) == (packet(100 * number + 99).wall_s, 100 * (number + 1))
        assert next(log.packets(covers.end_s)) == packet(100 * number + 90)
    assert seen == list(range(501))  # the start, and each packet once
    rolling.close()
    for segment in segments_of(tmp_path):
        segment.path.unlink()
    assert log.range() is None
    assert not log._indexes
    assert not log._scans


@pytest.mark.parametrize("harm", ["missing", "stale", "nonsense", "flipped"])
def test_an_index_that_is_missing_or_wrong_is_made_again(long_log: tuple[PacketLog, list[Packet]], harm: str) -> None:
    log, sent = long_log
    for segment in segments_of(log.folder):
        path, data = segment.index_path, segment.index_path.read_bytes()
        assert read_index(segment) == scan(segment)
        path.unlink()
        if harm == "stale":
            path.write_bytes(segments_of(log.folder)[0].path.read_bytes()[:50])
        elif harm == "nonsense":
            path.write_bytes(b"[]\n00000000\n")
        elif harm == "flipped":
            path.write_bytes(data.replace(b"1", b"2", 1))
    assert list(PacketLog(log.folder).packets(WALL_S + 42.0, WALL_S + 60.0)) == sent[420:601]
    PacketLogWriter(log.folder, SMALL).close()
    assert all(read_index(segment) == scan(segment) for segment in segments_of(log.folder))


def test_moments_are_written_in_four_ways(long_log: tuple[PacketLog, list[Packet]]) -> None:
    covers = long_log[0].range()
    assert moment("1763663264.5", covers) == 1763663264.5
    assert moment("2026-11-20T18:27:44Z", covers) == moment("2026-11-20 18:27:44", covers) == 1795199264.0
    assert moment("2026-11-20T19:27:44+01:00", covers) == 1795199264.0
    assert moment("+90", covers) == moment("90", covers) == WALL_S + 90
    assert moment("-30", covers) == WALL_S + 99.9 - 30
    for text in ("yesterday", "nan", "inf", ""):
        with pytest.raises(PacketLogError, match="expected epoch seconds"):
            moment(text, covers)
    with pytest.raises(PacketLogError, match="found none"):
        moment("-30", None)


# Bounds


def test_the_folder_never_takes_more_than_its_bound(tmp_path: Path) -> None:
    rolling, largest = files(tmp_path), 0
    for at in range(0, 6000, 60):
        assert (
            rolling.append([Recorded(each) for each in packets(60, first=at, size=random.Random(at).randrange(2000))]).error
            is None
        )
        largest = max(largest, size_of(tmp_path))
        assert size_of(tmp_path) == rolling.num_bytes <= SMALL.max_bytes
    rolling.close()
    assert largest > SMALL.max_bytes * 3 // 4
    assert rolling.num_deleted > 10
    found = read(tmp_path)
    assert found[-1] == packet(5999, size=len(found[-1].data) - 5)
    assert all(b.pts == a.pts + 9000 for a, b in pairwise(found))
    assert found[0].is_key
    assert not any(each.discontinuity for each in found)


def test_segments_end_at_key_frames_and_without_them_at_twice_their_size(tmp_path: Path) -> None:
    rolling = files(tmp_path / "keys")
    rolling.append([Recorded(each) for each in packets(2000)])
    rolling.close()
    heads = [scan(segment) for segment in segments_of(tmp_path / "keys")]
    assert len(heads) > 5
    assert all(head.keys[0].wall_s == head.first_wall_s for head in heads)
    rolling = files(tmp_path / "none")
    rolling.append([Recorded(replace(each, is_key=False)) for each in packets(2000)])
    rolling.close()
    sizes = [segment.path.stat().st_size for segment in segments_of(tmp_path / "none")]
    assert len(sizes) > 3
    assert all(SMALL.segment_limit_bytes < size <= SMALL.hard_limit_bytes for size in sizes[:-1])


def test_segments_end_by_time(tmp_path: Path) -> None:
    clock = Clock(1000.0)
    rolling = files(tmp_path, replace(SMALL, segment_s=10.0), clock)
    for each in packets(450):
        clock.now_s = 1000.0 + each.media_s
        rolling.append([Recorded(each)])
    rolling.close()
    assert [scan(segment).num_packets for segment in segments_of(tmp_path)] == [100, 100, 100, 100, 50]


def test_segments_that_are_too_old_go(tmp_path: Path) -> None:
    clock = Clock(time.time())
    rolling = files(tmp_path, replace(SMALL, segment_s=10.0, max_age_s=60.0), clock)
    rolling.append([Recorded(each) for each in packets(50)])
    rolling.finish()
    rolling.append([Recorded(each) for each in packets(50, first=50)])
    rolling.finish()
    old, young = segments_of(tmp_path)
    os.utime(old.path, (clock.now_s - 59, clock.now_s - 59))
    rolling.shed()
    assert segments_of(tmp_path) == [old, young]
    clock.now_s += 2.0
    rolling.shed()
    assert segments_of(tmp_path) == [young]
    assert not old.index_path.exists()
    rolling.close()


def test_opening_a_log_that_is_larger_than_its_bound_brings_it_down(tmp_path: Path) -> None:
    write(tmp_path, packets(4000), PacketLogSettings(max_bytes=16 << 20, segment_bytes=1 << 16))
    assert size_of(tmp_path) > SMALL.max_bytes
    PacketLogWriter(tmp_path, SMALL).close()
    assert size_of(tmp_path) <= SMALL.max_bytes
    assert read(tmp_path)[-1] == packet(3999)


# Trouble


def test_a_slow_disk_never_holds_up_the_camera_and_leaves_a_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    append = RollingFiles.append

    def slow(self: RollingFiles, entries: list[Recorded]) -> object:
        gate.wait(30.0)
        return append(self, entries)

    monkeypatch.setattr(RollingFiles, "append", slow)
    sent = packets(100)
    with PacketLogWriter(tmp_path, PacketLogSettings(queue_packets=8)) as writer:
        for each in sent[:99]:
            writer.put(each)
        num_dropped = writer.drops["log_queue"]
        assert num_dropped >= 80
        gate.set()
        assert writer.wait_for_room(sent[99], 30.0)
        writer.put(sent[99])
    log = PacketLog(tmp_path)
    found = list(log.packets())
    assert unmarked(found) == [*sent[: 99 - num_dropped], sent[99]]
    assert [each.discontinuity for each in found] == [False] * (99 - num_dropped) + [True]
    assert (writer.num_packets, log.num_missing) == (100 - num_dropped, num_dropped)


def test_a_full_disk_costs_what_it_cannot_take_and_recording_goes_on_by_itself(tmp_path: Path) -> None:
    """A real limit of the system, met in the middle of a record."""
    done = subprocess.run(
        [sys.executable, str(VICTIM), "disk", str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    num_sent, num_kept, num_dropped, *reasons = done.stdout.split()
    assert reasons == ["log_disk"]
    assert "packets are not recorded (File too large)" in done.stderr
    log = PacketLog(tmp_path)
    found = list(log.packets())
    assert (len(found), log.num_missing) == (int(num_kept), int(num_dropped))
    assert len(found) + log.num_missing == int(num_sent)
    numbers = [each.pts // 9000 for each in found]
    assert unmarked(found) == [packet(number, size=3_000) for number in numbers]
    assert [b.discontinuity for b in found[1:]] == [now != before + 1 for before, now in pairwise(numbers)]
    assert log.num_damaged == 0


def test_the_start_of_a_recording_survives_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_, full = os.write, threading.Event()

    def fails(fd: int, data: bytes) -> int:
        if full.is_set():
            raise OSError(28, "No space left on device")
        return write_(fd, data)

    monkeypatch.setattr("stream.packetlog.segmentfile.os.write", fails)
    one, two, three = packets(3)
    with PacketLogWriter(tmp_path, tokenizer={"token_rate": 60.0}) as writer:
        writer.put(one)
        wait_until(lambda: writer.num_packets == 1)
        full.set()
        writer.restart({"token_rate": 30.0})
        writer.put(two)
        wait_until(lambda: writer.drops["log_disk"] == 1)
        full.clear()
        writer.put(three)
    first, _, second, last = PacketLog(tmp_path).entries()
    assert isinstance(first, Start)
    assert isinstance(second, Start)
    assert (first.tokenizer, second.tokenizer) == ({"token_rate": 60.0}, {"token_rate": 30.0})
    assert last == Recorded(replace(three, discontinuity=True))


def test_trouble_is_told_once_a_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stream.packetlog.segmentfile.os.write", fails)
    began_s = time.monotonic()
    with caplog.at_level(logging.WARNING), PacketLogWriter(tmp_path) as writer:
        number = 0
        while writer.drops["log_disk"] < 30:
            writer.put(packet(number))
            number += 1
            wait_until(lambda: not writer._backlog._entries or writer.drops["log_disk"] >= 30)  # a batch each
    told = [record.getMessage() for record in caplog.records]
    assert len(told) <= 3 + (time.monotonic() - began_s)
    assert all("No space left on device" in text for text in told)
    assert sum(int(text.split(": ")[1].split()[0]) for text in told) == number


def test_a_folder_that_somebody_deletes_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with PacketLogWriter(folder) as writer:
        writer.put(packet(0))
        wait_until(lambda: bool(segments_of(folder)))
        shutil.rmtree(folder)
        number = 1
        while not folder.exists():
            writer.put(packet(number))
            number += 1
            wait_until(lambda: not writer._backlog._entries)
        writer.put(packet(number))
    assert read(folder)[-1] == packet(number)


def test_a_packet_that_fits_no_segment_is_dropped_and_leaves_a_hole(tmp_path: Path) -> None:
    one, two = packets(2)
    writer = write(tmp_path, [one, packet(1, size=1 << 20), two], SMALL)
    assert writer.drops == {"log_too_large": 1}
    assert read(tmp_path) == [one, replace(two, discontinuity=True)]


@pytest.mark.parametrize(("size", "soonest_s"), [(150_000, 0.2), (2_000, 1.4)])
def test_a_process_killed_in_mid_write_loses_a_second_at_most_and_the_rest_is_bit_for_bit(
    tmp_path: Path, size: int, soonest_s: float
) -> None:
    """Large packets are cut in the middle; small ones would wait longest for the disk."""
    chance = random.Random(size)
    killed: dict[str, tuple[int, int]] = {}
    for number in range(KILL_ROUNDS):
        command = [sys.executable, str(VICTIM), "camera", str(tmp_path), str(number), str(size)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
            assert victim.stdout is not None
            lines = [victim.stdout.readline()]
            due_s = float(lines[0].split()[1]) + soonest_s + chance.uniform(0.0, 0.8)
            while float(lines[-1].split()[1]) < due_s:
                lines.append(victim.stdout.readline())
            victim.kill()
            killed_s = time.time()
            lines += victim.stdout.readlines()
        at = [float(line.split()[1]) for line in lines if line.endswith("\n")]
        killed[str(number)] = (sum(one < killed_s - 1.0 for one in at), len(at) + 1)
    found: dict[str, list[Packet]] = {}
    for entry in PacketLog(tmp_path).entries():
        if isinstance(entry, Start):
            found[name := entry.camera] = []
        elif isinstance(entry, Recorded):
            found[name].append(entry.packet)
    for name, (least, most) in killed.items():
        recorded = found.get(name, [])
        assert least <= len(recorded) <= most
        assert recorded == packets(len(recorded), size=size, seed=int(name))
    PacketLogWriter(tmp_path).close()
    again = [entry.packet for entry in PacketLog(tmp_path).entries() if isinstance(entry, Recorded)]
    assert again == [each for one in found.values() for each in one]


def test_half_a_batch_on_the_disk_is_cut_where_its_last_whole_record_ends(tmp_path: Path) -> None:
    """The same, killed surely in the middle of a write: the header's, the start's, then a batch's."""
    num_torn = 0
    for number in range(6):
        done = subprocess.run(
            [sys.executable, str(VICTIM), "torn", str(tmp_path / str(number)), str(number), "2000"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
        num_sent = len(done.stdout.splitlines())
        found = read(tmp_path / str(number))
        assert num_sent - 110 < len(found) <= num_sent + 1
        assert found == packets(len(found), size=2_000, seed=number)
        write(tmp_path / str(number), packets(1))
        log = PacketLog(tmp_path / str(number))
        assert unmarked(log.packets()) == [*found, packet(0)]
        num_torn += log.num_damaged
    assert num_torn >= 4


def test_a_torn_tail_marks_nothing_of_the_recording_after_it(tmp_path: Path) -> None:
    write(tmp_path, packets(5))
    (torn,) = segments_of(tmp_path)
    torn.path.write_bytes(torn.path.read_bytes()[:-7])
    write(tmp_path, packets(5, first=5))
    log = PacketLog(tmp_path)
    assert [entry.packet for entry in log.entries() if isinstance(entry, Recorded)] == packets(4) + packets(5, first=5)
    assert (log.num_damaged, log.damaged_bytes > 400) == (1, True)


# Readers beside the writer


def test_readers_follow_a_writer_and_see_each_packet_once(tmp_path: Path) -> None:
    """Two threads read again and again while the log is written and its oldest segments go."""
    sent = packets(3000)
    finished = threading.Event()

    def reads() -> int:
        longest = 0
        while not finished.is_set():
            log = PacketLog(tmp_path)
            covers = log.range()
            found = list(log.packets(None if covers is None else covers.end_s - 3.0))
            numbers = [each.pts // 9000 for each in found]
            assert unmarked(found) == [sent[number] for number in numbers]
            for (before, now), each in zip(pairwise(numbers), found[1:], strict=True):
                assert now == before + 1 or (now > before and each.discontinuity)
            longest = max(longest, len(found))
        return longest

    with ThreadPoolExecutor(2) as threads:
        reading = [threads.submit(reads) for _ in range(2)]
        with PacketLogWriter(tmp_path, SMALL) as writer:
            for each in sent:
                writer.wait_for_room(each)
                writer.put(each)
        finished.set()
        assert all(each.result() > 10 for each in reading)
    assert writer.num_segments_deleted


def test_one_pass_goes_on_into_segments_that_did_not_exist_when_it_began(tmp_path: Path) -> None:
    rolling = files(tmp_path)
    rolling.append([Recorded(each) for each in packets(100)])
    reading = PacketLog(tmp_path).packets()
    found = [next(reading) for _ in range(50)]
    rolling.append([Recorded(each) for each in packets(500, first=100)])
    found += reading
    rolling.close()
    assert len(segments_of(tmp_path)) > 2
    assert found == packets(600)


@pytest.mark.parametrize(("looked_first", "num_read"), [(True, 100), (False, 500)])
def test_a_reader_never_skips_what_a_segment_got_before_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_first: bool, num_read: int
) -> None:
    """The writer ends a segment right before or right after a reader at its end looks for the next one."""
    rolling, looks = files(tmp_path), []

    def after(folder: Path, segment: Segment) -> Segment | None:
        following = _after(folder, segment)
        if not looks:
            rolling.append([Recorded(each) for each in packets(400, first=100)])
        looks.append(segment)
        return following if looked_first else _after(folder, segment)

    monkeypatch.setattr("stream.packetlog.log._after", after)
    rolling.append([Recorded(each) for each in packets(100)])
    assert read(tmp_path) == packets(num_read)
    rolling.close()


def test_a_segment_that_goes_under_a_reader_is_a_discontinuity(tmp_path: Path) -> None:
    write(tmp_path, packets(1000), SMALL)
    reading = PacketLog(tmp_path).packets()
    found = [next(reading)]
    for segment in segments_of(tmp_path)[1:3]:
        segment.path.unlink()
    found += reading
    numbers = [each.pts // 9000 for each in found]
    assert [number for number, each in zip(numbers, found, strict=True) if each.discontinuity] == [
        b for a, b in pairwise(numbers) if b != a + 1
    ]
    assert len(found) < 1000


def test_a_hole_that_the_writer_left_is_a_discontinuity(tmp_path: Path) -> None:
    rolling = files(tmp_path)
    one, two = packets(2)
    rolling.append([Recorded(one), Hole(7), Recorded(two)])
    rolling.close()
    log = PacketLog(tmp_path)
    assert list(log.packets()) == [one, replace(two, discontinuity=True)]
    assert log.num_missing == 7


def test_an_index_is_plain_text(tmp_path: Path) -> None:
    write(tmp_path, packets(30))
    (segment,) = segments_of(tmp_path)
    told = json.loads(segment.index_path.read_text().splitlines()[0])
    assert [key[0] for key in told["keys"]] == [WALL_S, WALL_S + 1, WALL_S + 2]


def sessions(log: PacketLog) -> Iterator[str]:
    yield from (entry.session for entry in log.entries() if isinstance(entry, Start))


def test_a_recording_over_many_segments_is_one_recording(long_log: tuple[PacketLog, list[Packet]]) -> None:
    assert len(list(sessions(long_log[0]))) == 1
