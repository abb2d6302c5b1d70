"""Records on disk: bit for bit when whole, never believed when not."""

from __future__ import annotations

import io
import random
import struct
import tempfile
from contextlib import suppress
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packetlog_cases import any_packet, packets, read, unmarked

from stream.errors import PacketLogError
from stream.packetlog import PacketLog, PacketLogWriter, Recorded, Start, Steer
from stream.packetlog.entries import (
    Kind,
    packet_parts,
    parse_packet,
    parse_start,
    parse_steer,
    parse_widen,
    start_payload,
    steer_payload,
    widen_payload,
)
from stream.packetlog.framing import RecordReader, frame, segment_header
from stream.packetlog.segments import segment_in, segments_of
from stream.units import Packet

SEED = 0x1234ABCD


@given(any_packet)
def test_a_packet_comes_back_bit_for_bit(packet: Packet) -> None:
    assert parse_packet(b"".join(packet_parts(packet))) == packet


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_refused(payload: bytes) -> None:
    for parse in (parse_packet, parse_start, parse_widen, parse_steer):
        with suppress(PacketLogError):
            parse(payload)


def test_what_steered_the_tokenizer_comes_back() -> None:
    start = Start(camera="front", session="a1", version="0.1.0", began_s=1.5, tokenizer={"token_rate": 60.0, "quota": None})
    assert parse_start(start_payload(start)) == start
    assert parse_widen(widen_payload(1 / 3)) == 1 / 3
    assert [parse_steer(steer_payload(each)) for each in (Steer("advance", 0.1), Steer("force"), Steer("flush"))] == [
        Steer("advance", 0.1),
        Steer("force"),
        Steer("flush"),
    ]


def test_a_packet_whose_ticks_fit_no_record_is_refused_by_name() -> None:
    (one,) = packets(1)
    object.__setattr__(one, "pts", 2**70)
    with pytest.raises(PacketLogError, match="fit a record"):
        packet_parts(one)


def segment(payloads: list[bytes], seed: int = SEED) -> bytes:
    return segment_header(seed) + b"".join(frame(Kind.PACKET, n, seed, each) for n, each in enumerate(payloads))


def records(data: bytes, seed: int = SEED) -> tuple[list[tuple[bytes, bool]], RecordReader]:
    reader = RecordReader(io.BytesIO(data), seed)
    found = []
    while (record := reader.read()) is not None:
        found.append((record.payload, record.follows))
    return found, reader


@given(st.lists(st.binary(max_size=60), max_size=8), st.data())
def test_a_file_cut_anywhere_gives_its_whole_records(payloads: list[bytes], data: st.DataObject) -> None:
    whole = segment(payloads)
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    found, _ = records(cut)
    assert found == [(payload, True) for payload in payloads[: len(found)]]
    assert len(segment(payloads[: len(found) + 1])) > len(cut) or len(found) == len(payloads)


@settings(max_examples=300)
@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=8), st.data())
def test_flipped_bits_cost_the_records_they_hit_and_no_other(payloads: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(segment(payloads))
    hit = set(data.draw(st.lists(st.integers(20, len(whole) - 1), max_size=4)))
    for at in hit:
        whole[at] ^= data.draw(st.integers(1, 255))
    ends = [len(segment(payloads[: n + 1])) for n in range(len(payloads))]
    untouched = [n for n, end in enumerate(ends) if not any((ends[n - 1] if n else 20) <= at < end for at in hit)]
    found, reader = records(bytes(whole))
    assert [payload for payload, _ in found] == [payloads[n] for n in untouched]
    assert [follows for _, follows in found] == [n == 0 or n - 1 in untouched for n in untouched]
    if untouched and untouched[-1] > min(set(range(len(payloads))) - set(untouched), default=99):
        assert reader.num_damaged


def test_records_of_an_older_file_are_not_believed_though_they_add_up() -> None:
    """What a file system may show behind the end of a file after a power cut."""
    old = frame(Kind.PACKET, 1, SEED + 1, b"yesterday")
    found, _ = records(segment([b"today"]) + old)
    assert found == [(b"today", True)]


def test_a_record_inside_a_packet_is_not_believed() -> None:
    inner = frame(Kind.PACKET, 1, SEED + 1, b"forged")
    data = bytearray(segment([b"x" * 10 + inner, b"next"]))
    data[30] ^= 1  # damage the outer one: the reader looks for the next inside it
    found, _ = records(bytes(data))
    assert found == [(b"next", False)]


def test_a_reader_goes_on_where_the_file_grew() -> None:
    whole = segment([b"one", b"two"])
    file = io.BytesIO(whole[:-2])
    reader = RecordReader(file, SEED)
    first, none = reader.read(), reader.read()
    file.seek(0, io.SEEK_END)
    file.write(whole[-2:])
    second = reader.read()
    assert first is not None
    assert none is None
    assert second is not None
    assert (second.payload, second.follows) == (b"two", True)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["cut", "flip", "both"]))
def test_a_damaged_log_never_raises_and_never_gives_wrong_packets(seed: int, harm: str) -> None:
    """A log's names and sizes differ from run to run, so chance is drawn by a seed."""
    sent, chance = packets(40), random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with PacketLogWriter(folder) as writer:
            for number, each in enumerate(sent):
                writer.put(each, widen=1.0 + number // 15)
        for path in sorted(folder.iterdir()):
            damage(path, chance, harm)
        log = PacketLog(folder)
        given_ = [entry for entry in log.entries() if isinstance(entry, Recorded)]
        around = list(log.packets(start=sent[20].wall_s))
        log.range()
    numbers = [sent.index(each) for each in unmarked(entry.packet for entry in given_)]
    assert numbers == sorted(set(numbers))
    for before, now, entry in zip(numbers, numbers[1:], given_[1:], strict=False):
        assert entry.packet.discontinuity or now == before + 1
    assert set(unmarked(around)) <= set(sent)


def damage(path: Path, chance: random.Random, harm: str) -> None:
    data = bytearray(path.read_bytes())
    if harm != "flip":
        del data[chance.randrange(len(data) + 1) :]
    if harm != "cut":
        for _ in range(chance.randrange(6)):
            if data:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(bytes(data))


def test_a_damaged_header_loses_nothing(tmp_path: Path) -> None:
    sent = packets(30)
    with PacketLogWriter(tmp_path) as writer:
        for each in sent:
            writer.put(each)
    (one,) = segments_of(tmp_path)
    data = bytearray(one.path.read_bytes())
    data[3:18] = bytes(15)
    one.path.write_bytes(bytes(data))
    assert read(tmp_path) == sent


def test_a_newer_format_is_refused_by_name_by_readers_and_writers(tmp_path: Path) -> None:
    newer = struct.pack("<8sHHI", b"OV2PLOG\n", 2, 0, SEED)
    path = segment_in(tmp_path, 3, SEED).path
    path.write_bytes(newer + struct.pack("<I", crc32(newer)) + b"what only the future knows")
    for open_ in (PacketLog, PacketLogWriter):
        with pytest.raises(PacketLogError, match=rf"{path.name}.*version 1.*got 2.*update"):
            open_(tmp_path)


def test_an_unknown_kind_of_record_is_skipped(tmp_path: Path) -> None:
    sent = packets(3)
    parts = [b"".join(packet_parts(each)) for each in sent]
    data = segment_header(SEED) + b"".join(
        (
            frame(Kind.PACKET, 0, SEED, parts[0]),
            frame(200, 1, SEED, b"of a newer version"),
            frame(Kind.PACKET, 2, SEED, parts[1]),
            frame(Kind.PACKET, 3, SEED, parts[2]),
        )
    )
    segment_in(tmp_path, 0, SEED).path.write_bytes(data)
    assert read(tmp_path) == sent
