"""Recording on a disk that is slow, full or gone: what it costs, and what is told."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from packetlog_cases import SMALL, VICTIM, packet, packets, read, unmarked, write
from waiting import WAIT_S, until

from stream.packetlog import PacketLog, PacketLogSettings, PacketLogWriter, Recorded, Start
from stream.packetlog.rolling import RollingFiles
from stream.packetlog.segments import segments_of


def test_a_slow_disk_never_holds_up_the_camera_and_leaves_a_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, gate = threading.Event(), threading.Event()
    append = RollingFiles.append

    def slow(self: RollingFiles, entries: list[Recorded]) -> object:
        reached.set()
        gate.wait(WAIT_S)
        return append(self, entries)

    monkeypatch.setattr(RollingFiles, "append", slow)
    sent = packets(100)
    with PacketLogWriter(tmp_path, PacketLogSettings(queue_packets=8)) as writer:
        writer.put(sent[0])
        assert reached.wait(WAIT_S), "the disk is at it: from now on the queue takes eight, and drops"
        for each in sent[1:99]:
            writer.put(each)
        num_dropped = writer.drops["log_queue"]
        assert num_dropped >= 80
        gate.set()
        assert writer.wait_for_room(sent[99], WAIT_S)
        writer.put(sent[99])
    log = PacketLog(tmp_path)
    found = list(log.packets())
    assert unmarked(found) == [*sent[: 99 - num_dropped], sent[99]]
    assert [each.discontinuity for each in found] == [False] * (99 - num_dropped) + [True]
    assert (writer.num_packets, log.num_missing) == (100 - num_dropped, num_dropped)


def test_a_full_disk_costs_what_it_cannot_take_and_recording_goes_on_by_itself(tmp_path: Path) -> None:
    """A real limit of the system, met in the middle of a record."""
    done = subprocess.run(
        [sys.executable, str(VICTIM), "disk", str(tmp_path)], capture_output=True, text=True, timeout=110, check=True
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
        until(lambda: writer.num_packets == 1)
        full.set()
        writer.restart({"token_rate": 30.0})
        writer.put(two)
        until(lambda: writer.drops["log_disk"] == 1)
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
            until(lambda: not writer._backlog._entries or writer.drops["log_disk"] >= 30)  # a batch each
    told = [record.getMessage() for record in caplog.records]
    assert len(told) <= 3 + (time.monotonic() - began_s)
    assert all("No space left on device" in text for text in told)
    assert sum(int(text.split(": ")[1].split()[0]) for text in told) == number


def test_a_folder_that_somebody_deletes_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    with PacketLogWriter(folder) as writer:
        writer.put(packet(0))
        until(lambda: bool(segments_of(folder)))
        shutil.rmtree(folder)
        number = 1
        while not folder.exists():
            writer.put(packet(number))
            number += 1
            until(lambda: not writer._backlog._entries)
        writer.put(packet(number))
    assert read(folder)[-1] == packet(number)


def test_a_packet_that_fits_no_segment_is_dropped_and_leaves_a_hole(tmp_path: Path) -> None:
    one, two = packets(2)
    writer = write(tmp_path, [one, packet(1, size=1 << 20), two], SMALL)
    assert writer.drops == {"log_too_large": 1}
    assert read(tmp_path) == [one, replace(two, discontinuity=True)]
