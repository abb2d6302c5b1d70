"""Finding a time in a packet log: ranges, the index of a segment, and how moments are written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from packetlog_cases import GOP, SMALL, WALL_S, files, packet, packets, write

from stream.errors import PacketLogError
from stream.packetlog import PacketLog, PacketLogSettings, PacketLogWriter, Recorded, Start
from stream.packetlog.index import IndexBuilder, read_index, scan
from stream.packetlog.segments import segments_of
from stream.packetlog.when import moment
from stream.units import Packet


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


def test_an_index_is_plain_text(tmp_path: Path) -> None:
    write(tmp_path, packets(30))
    (segment,) = segments_of(tmp_path)
    told = json.loads(segment.index_path.read_text().splitlines()[0])
    assert [key[0] for key in told["keys"]] == [WALL_S, WALL_S + 1, WALL_S + 2]


def sessions(log: PacketLog) -> Iterator[str]:
    yield from (entry.session for entry in log.entries() if isinstance(entry, Start))


def test_a_recording_over_many_segments_is_one_recording(long_log: tuple[PacketLog, list[Packet]]) -> None:
    assert len(list(sessions(long_log[0]))) == 1
