"""The memory of a camera: bounded, found again by time and by content, whole after a crash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from child_environment import child_environment
from hypothesis import given, settings
from hypothesis import strategies as st
from remembered import BEGIN, FOR_EVER, NOW, axis_summariser, filled
from repository import SUPPORT
from small_model import made_group
from stopping import running

from stream.errors import RecallError
from stream.memory import Memory, MemorySettings, Summariser
from stream.memory.record import pack, unpack
from stream.memory.segments import SUFFIX, SegmentFile
from stream.memory.summary import basis_of

WRITER = SUPPORT / "memory_writer.py"


def test_a_group_comes_back_as_it_was_but_for_what_jpeg_costs(tmp_path: Path) -> None:
    group = made_group(3, 7.0, canvases=3, size=(56, 84))
    smooth = np.broadcast_to(np.arange(84, dtype=np.uint8)[None, None, :, None] * 2, group.canvases.shape)
    object.__setattr__(group, "canvases", np.ascontiguousarray(smooth))
    with Memory(tmp_path, FOR_EVER) as memory:
        memory.put(group, num_tokens=40)
        memory.wait()
        (back,) = memory.read(memory.rows())
    for name in ("runs", "group_id", "start_s", "end_s", "wall_s", "closed_by", "cost"):
        assert getattr(back, name) == getattr(group, name)
    assert np.array_equal(back.positions, group.positions)
    assert np.abs(back.canvases.astype(int) - group.canvases).max() <= 6


def test_rows_come_in_order_of_time_and_inside_the_times_asked_for(tmp_path: Path) -> None:
    with Memory(tmp_path, FOR_EVER) as memory:
        for index in (2, 0, 1, 3):
            memory.put(made_group(index, float(index)), num_tokens=10)
        memory.wait()
        starts = [row.start - BEGIN for row in memory.rows(BEGIN + 1.5, BEGIN + 3.0)]
    assert starts == [1.0, 2.0]


def test_the_index_is_the_same_after_opening_again(tmp_path: Path) -> None:
    with filled(tmp_path, {7: (("dog",),)}) as memory:
        before, scores = memory.scored((("dog",),))
    with Memory(tmp_path, FOR_EVER, summariser=axis_summariser(), clock=lambda: NOW) as memory:
        after, again = memory.scored((("dog",),))
    assert [(row.start, row.end, row.num_tokens) for row in after] == [(row.start, row.end, row.num_tokens) for row in before]
    assert np.array_equal(scores, again)
    assert int(scores[:, 0].argmax()) == 7


def test_bytes_stay_under_the_bound_and_the_oldest_go_first(tmp_path: Path) -> None:
    bounds = MemorySettings(max_mb=1.0, max_age_days=36_500.0)
    with Memory(tmp_path, bounds) as memory:
        for index in range(150):
            memory.put(made_group(index, float(index), canvases=2, size=(84, 84)), num_tokens=10)
            memory.wait()
            assert sum(path.stat().st_size for path in tmp_path.glob(f"*{SUFFIX}")) <= bounds.max_bytes
        rows = memory.rows()
        assert memory.num_bytes > 0.8 * bounds.max_bytes
    assert len(rows) < 150
    assert [row.start - BEGIN for row in rows] == list(np.arange(150.0)[-len(rows) :])


def test_what_is_too_old_is_not_found_and_then_deleted(tmp_path: Path) -> None:
    now = [BEGIN + 100.0]
    bounds = MemorySettings(max_mb=1.0, max_age_days=1.0)
    with Memory(tmp_path, bounds, clock=lambda: now[0]) as memory:
        for index in range(40):
            memory.put(made_group(index, float(index), canvases=2, size=(84, 84)), num_tokens=10)
            memory.wait()
        files = len(list(tmp_path.glob(f"*{SUFFIX}")))
        assert files > 2
        now[0] += 2 * 86_400
        assert memory.rows() == []
        group = made_group(99, 2 * 86_400.0, canvases=2, size=(84, 84))
        memory.put(group, num_tokens=10)
        memory.wait()
        assert len(memory.rows()) == 1
        assert len(list(tmp_path.glob(f"*{SUFFIX}"))) == 1


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(0, 10_000), garbage=st.binary(max_size=40))
def test_a_torn_tail_is_cut_off_wherever_it_is_torn(tmp_path_factory: pytest.TempPathFactory, cut: int, garbage: bytes) -> None:
    path = tmp_path_factory.mktemp("torn") / f"1{SUFFIX}"
    records = [
        pack(made_group(index, float(index)), num_tokens=5, summary_KD=None, scale=0.0, quality=90) for index in range(4)
    ]
    whole = b"".join(records)
    cut %= len(whole) + 1
    path.write_bytes(whole[:cut] + garbage)
    ends = np.cumsum([len(record) for record in records])
    places = [place for place, _ in SegmentFile(path).scan()]
    assert len(places) == int((ends <= cut).sum())
    assert path.stat().st_size == (ends[len(places) - 1] if places else 0)


def version_1(record: bytes) -> bytes:
    """The same group as files of before had it: another mark, and no checksum of the head."""
    return b"OV2m" + record[4:24] + record[28:]


def groups_of(folder: Path) -> tuple[list[int], int]:
    """Ids of all groups that a memory gives back, and how often it says that something is damaged."""
    with Memory(folder, FOR_EVER) as memory:
        groups = [group.group_id for group in memory.read(memory.rows())]
        return groups, memory.dropped["memory_damaged"]


FLIPS = {
    "mark": (0, 3),
    "version": (3, 0),
    "length of the JSON": (5, 6),
    "length of the summary": (9, 2),
    "length of the body, a little": (13, 3),
    "length of the body, a lot": (14, 5),
    "length of the body, a byte or two": (12, 2),
    "checksum of the JSON": (17, 1),
    "checksum of the body": (22, 7),
    "checksum of the head, or JSON": (26, 4),
    "JSON": (60, 0),
    "summary": (-2000, 1),
    "body": (-700, 5),
    "last byte": (-1, 0),
}


@pytest.mark.parametrize("is_old", [False, True], ids=["version 2", "version 1"])
@pytest.mark.parametrize("hit", [0, 1, 3], ids=["first", "middle", "last"])
@pytest.mark.parametrize("where", FLIPS)
def test_a_flipped_bit_costs_one_group_and_is_told(tmp_path: Path, where: str, hit: int, is_old: bool) -> None:
    made = [made_group(index, float(index)) for index in range(4)]
    records = [pack(group, num_tokens=5, summary_KD=np.ones((16, 8), np.int8), scale=1.0, quality=90) for group in made]
    if is_old:
        records = [version_1(record) for record in records]
    file = tmp_path / f"0000000001{SUFFIX}"
    at, bit = FLIPS[where]
    at += len(records[hit]) if at < 0 else 0
    records[hit] = records[hit][:at] + bytes([records[hit][at] ^ 1 << bit]) + records[hit][at + 1 :]
    file.write_bytes(b"".join(records))
    others = [index for index in range(4) if index != hit]
    groups, num_damaged = groups_of(tmp_path)
    assert groups == others
    kept = file.read_bytes() + b"".join(path.read_bytes() for path in tmp_path.glob("*.damaged"))
    assert kept == b"".join(records), "no byte is lost"
    may_look_torn = is_old and hit == 3  # a length of version 1 that is too long looks like a crash: it is logged alone
    assert num_damaged == 1 or may_look_torn
    with Memory(tmp_path, FOR_EVER) as memory:
        memory.put(made_group(9, 9.0), num_tokens=5)
    assert groups_of(tmp_path)[0] == [*others, 9]


def test_what_a_crash_tore_is_not_believed_when_more_was_written_behind_it(tmp_path: Path) -> None:
    """As when the disk was too full to set the tail aside."""
    records = [
        pack(made_group(index, float(index)), num_tokens=5, summary_KD=None, scale=0.0, quality=90) for index in range(4)
    ]
    for cut in (10, 100, len(records[1]) - 1):
        (tmp_path / f"0000000001{SUFFIX}").write_bytes(records[0] + records[1][:cut] + records[2] + records[3])
        assert groups_of(tmp_path) == ([0, 2, 3], 1)


def test_only_so_many_tails_are_kept_beside_the_files(tmp_path: Path) -> None:
    record = pack(made_group(0, 0.0), num_tokens=5, summary_KD=None, scale=0.0, quality=90)
    for number in range(1, 8):
        (tmp_path / f"{number:010d}{SUFFIX}").write_bytes(record + record[:99])
        assert groups_of(tmp_path)[0] == [0] * number
    kept = sorted(path.name for path in tmp_path.glob("*.damaged"))
    assert kept == [f"{number:010d}{SUFFIX}-{len(record)}.damaged" for number in range(4, 8)]


def test_a_memory_killed_while_it_writes_opens_whole_and_goes_on(tmp_path: Path) -> None:
    with running([sys.executable, str(WRITER), str(tmp_path)], stdout=subprocess.PIPE, env=child_environment()) as writer:
        assert writer.stdout is not None
        written = [int(writer.stdout.readline()) for _ in range(4)][-1]
        writer.kill()
    with Memory(tmp_path, FOR_EVER) as memory:
        rows = memory.rows()
        assert len(rows) >= written
        assert [group.group_id for group in memory.read(rows)] == list(range(len(rows)))
        memory.put(made_group(7, 9999.0), num_tokens=10)
        memory.wait()
        assert memory.read(memory.rows()[-1:])[0].group_id == 7
        assert not memory.dropped


def test_a_damaged_record_is_left_out_and_counted(tmp_path: Path) -> None:
    with Memory(tmp_path, FOR_EVER) as memory:
        for index in range(3):
            memory.put(made_group(index, float(index)), num_tokens=10)
        memory.wait()
        rows = memory.rows()
        with rows[1].file.path.open("r+b") as file:
            file.seek(rows[1].place.offset + rows[1].place.num_bytes - 3)
            file.write(b"\0\xff\0")
        assert [group.group_id for group in memory.read(rows)] == [0, 2]
        assert memory.dropped == {"memory_damaged": 1}


def test_a_full_disk_is_counted_and_writing_goes_on_when_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Memory(tmp_path, FOR_EVER) as memory:
        memory.put(made_group(0, 0.0), num_tokens=10)
        memory.wait()
        monkeypatch.setattr(SegmentFile, "append", _no_space)
        memory.put(made_group(1, 1.0), num_tokens=10)
        memory.wait()
        monkeypatch.undo()
        memory.put(made_group(2, 2.0), num_tokens=10)
        memory.wait()
        assert [group.group_id for group in memory.read(memory.rows())] == [0, 2]
        assert memory.dropped == {"memory_disk": 1}


def _no_space(_file: SegmentFile, _record: bytes) -> None:
    raise OSError(28, "No space left on device")


def test_one_folder_serves_one_memory_at_a_time(tmp_path: Path) -> None:
    with Memory(tmp_path, FOR_EVER), pytest.raises(RecallError, match="another process"):
        Memory(tmp_path, FOR_EVER)
    Memory(tmp_path, FOR_EVER).close()


def test_a_record_of_other_bytes_is_refused() -> None:
    with pytest.raises(RecallError, match="expected a record"):
        unpack(b"nothing of the kind, but long enough")


def test_a_basis_keeps_what_words_find(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(6, 96))
    tokens = [(rng.normal(size=(40, 6)) @ directions).astype(np.float32) for _ in range(5)]
    basis_DB = basis_of(tokens, size=8)
    word_D = directions[0] / np.linalg.norm(directions[0])
    summariser = Summariser(
        basis_DB=basis_DB, words=("it",), words_WB=(word_D @ basis_DB)[None].astype(np.float32), seen_at=0.0
    )
    words_GKW = np.stack([summariser.word_scores(*summariser.summarise(one)) for one in tokens])
    scores = summariser.scores((("it",),), words_GKW)[:, 0]
    exact = [float((one @ word_D).max()) for one in tokens]
    assert np.corrcoef(scores, exact)[0, 1] > 0.5
    assert (scores <= np.array(exact) + 0.2).all()
