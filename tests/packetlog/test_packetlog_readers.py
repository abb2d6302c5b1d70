"""Readers beside the writer: they see each packet once, and a hole as a hole."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from packetlog_cases import SMALL, files, packets, read, unmarked, write

from stream.packetlog import PacketLog, PacketLogWriter, Recorded
from stream.packetlog.entries import Hole
from stream.packetlog.log import _after
from stream.packetlog.segments import Segment, segments_of


def test_readers_follow_a_writer_and_see_each_packet_once(tmp_path: Path) -> None:
    """Two threads read again and again while the log is written and its oldest segments go."""
    sent = packets(3000)
    finished = threading.Event()

    def reads() -> int:
        longest = 0
        while True:
            is_last = finished.is_set()  # one more time when all is written
            log = PacketLog(tmp_path)
            covers = log.range()
            found = list(log.packets(None if covers is None else covers.end_s - 3.0))
            numbers = [each.pts // 9000 for each in found]
            assert unmarked(found) == [sent[number] for number in numbers]
            for (before, now), each in zip(pairwise(numbers), found[1:], strict=True):
                assert now == before + 1 or (now > before and each.discontinuity)
            longest = max(longest, len(found))
            if is_last:
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
