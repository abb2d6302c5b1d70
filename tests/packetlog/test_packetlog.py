"""A packet log gives back what was recorded, in order, bit for bit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from packetlog_cases import packets, read, unmarked, write

from stream.errors import PacketLogError, SettingsError
from stream.packetlog import PacketLog, PacketLogSettings, PacketLogWriter, Recorded, Start, Steer
from stream.packetlog.segments import segments_of


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
    with PacketLogWriter(tmp_path), pytest.raises(PacketLogError, match=rf"process {os.getpid()} records into it"):
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
