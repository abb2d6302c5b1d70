"""A packet log keeps to its bounds: bytes, age, and where segments end."""

from __future__ import annotations

import os
import random
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from packetlog_cases import SMALL, Clock, files, packet, packets, read, size_of, write

from stream.packetlog import PacketLogSettings, PacketLogWriter, Recorded
from stream.packetlog.index import scan
from stream.packetlog.segments import segments_of


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
