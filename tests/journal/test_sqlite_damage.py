"""A journal's file of which something is damaged: its header, a page, its log. What can be recovered is."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from journal_fixtures import until
from journal_rows import START, entry, filled, flip, numbers

from stream.errors import JournalError
from stream.journal import Cursor, Query
from stream.journal.sqlite import SqliteJournal


def opened(path: Path, **options: int) -> tuple[list[int], SqliteJournal]:
    journal = SqliteJournal(path, **options)
    return numbers(journal), journal


def asides(path: Path) -> list[Path]:
    return [each for each in path.parent.glob("journal.sqlite.unreadable-*") if not each.name.endswith("-wal")]


HEADER = {
    "magic": 3,
    "page size": 16,
    "write version": 18,
    "read version": 19,
    "reserved": 20,
    "schema format": 47,
    "encoding": 59,
}


@pytest.mark.parametrize("what", HEADER)
def test_a_damaged_header_costs_nothing(tmp_path: Path, what: str) -> None:
    path = tmp_path / "journal.sqlite"
    expected = filled(path)
    flip(path, HEADER[what], 3)
    damaged = path.read_bytes()
    found, journal = opened(path)
    assert found == expected
    assert [aside.read_bytes() for aside in asides(path)] == [damaged], "the old file is as it was"
    assert journal.damage.told.startswith("expected a whole file, got a")
    assert "400 entries were recovered, 0 could not be read" in journal.damage.told
    assert journal.cursors() == {"mqtt": Cursor(delivered=START + 5, attempted=START + 399)}, "what is told again is marked"
    journal.write([entry(400)], {})
    assert numbers(journal, newest_first=True)[0] == 400
    assert (journal.num_aside, journal.damage.num_recovered) == (1, 1)
    journal.close()


def test_any_page_that_is_lost_whole_costs_its_own_rows_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    expected = filled(path)
    pages = path.stat().st_size // 4096
    whole = path.read_bytes()
    lost_most = 0
    for page in range(pages):
        path.write_bytes(whole[: page * 4096] + b"\x55" * 4096 + whole[(page + 1) * 4096 :])
        found, journal = opened(path)
        lost = sorted(set(expected) - set(found))
        assert lost == list(range(lost[0], lost[-1] + 1)) if lost else True
        assert len(lost) <= 4096 // 300
        assert journal.damage.num_recovered == 1
        assert journal.cursors()["mqtt"].delivered == START + 5, "the other page has it"
        assert numbers(journal, camera="front") == found
        journal.close()
        lost_most = max(lost_most, len(lost))
        assert len(asides(path)) <= 2
    assert lost_most > 1


def test_a_damaged_body_is_left_out_when_it_is_met_and_the_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    expected = filled(path)
    flip(path, path.read_bytes().index(b'"n": 77,') + 5)
    found, journal = opened(path)
    assert found == [number for number in expected if number != 77]
    assert (journal.damage.num_rows, journal.damage.num_recovered, asides(path)) == (1, 0, [])
    journal.close()


def killed(tmp_path: Path) -> Path:
    """A journal as `kill -9` leaves it: most of it in its write-ahead log."""
    path = tmp_path / "live" / "journal.sqlite"
    journal = SqliteJournal(path)
    for number in range(60):
        journal.write(
            [entry(number, 300)], {"mqtt": Cursor(delivered=START + number - 1, attempted=START + number)} if number else {}
        )
    shutil.copytree(tmp_path / "live", tmp_path / "killed")
    journal.close()
    return tmp_path / "killed" / "journal.sqlite"


@pytest.mark.parametrize("where", ["header", "salt", "page", "checksum", "last salt", "last page", "last checksum"])
def test_a_damaged_log_does_not_take_what_was_committed_behind_the_damage(tmp_path: Path, where: str) -> None:
    """SQLite itself takes the log up to there for all there is."""
    path = killed(tmp_path)
    log = path.with_name("journal.sqlite-wal")
    frames = [32 + 4120 * number for number in range((log.stat().st_size - 32) // 4120)]
    frame = frames[-1] if where.startswith("last") else frames[20]
    at = {"header": 17, "salt": frame + 9, "page": frame + 24 + 4000, "checksum": frame + 18}[where.removeprefix("last ")]
    flip(log, at, 2)
    damaged = log.read_bytes()
    found, journal = opened(path)
    assert found == list(range(60))
    assert journal.damage.num_recovered == 1
    assert "of the write-ahead log" in journal.damage.told
    assert journal.cursors() == {"mqtt": Cursor(delivered=START + 58, attempted=START + 59)}
    (aside,) = asides(path)
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == damaged
    journal.close()


@pytest.mark.parametrize("cut", [1, 2000, 4120, 4121, 9000])
def test_a_log_that_a_crash_cut_off_is_no_damage(tmp_path: Path, cut: int) -> None:
    path = killed(tmp_path)
    log = path.with_name("journal.sqlite-wal")
    log.write_bytes(log.read_bytes()[:-cut])
    found, journal = opened(path)
    assert found in (list(range(59)), list(range(58)))
    assert (journal.damage.told, asides(path)) == ("", [])
    journal.close()


def test_a_large_file_is_checked_while_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    expected = filled(path)
    data = path.read_bytes()
    key = data.rindex(b"event-123")  # in an index: nothing of it is read when all entries are
    flip(path, key)
    journal = SqliteJournal(path, checked_bytes=0)
    journal.last()

    def is_found() -> bool:
        journal.write([], {})
        return journal.damage.num_recovered == 1

    asyncio.run(asyncio.wait_for(until(is_found), 60))
    assert numbers(journal, id="event-123") == [123]
    assert numbers(journal) == expected
    journal.close()


def test_a_journal_of_before_there_were_checksums_is_read_written_and_recovered(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript("""
            pragma journal_mode = wal;
            create table entries (
                position integer primary key, camera text not null, kind text not null, id text not null, body text not null) strict;
            create index by_camera on entries (camera, position);
            create index by_kind on entries (kind, position);
            create index by_camera_and_kind on entries (camera, kind, position);
            create index by_id on entries (id, position);
            create table cursors (sink text primary key, delivered integer not null, attempted integer not null) strict;
        """)
        rows = [(one.position, one.camera, one.kind, one.id, json.dumps(one.body)) for one in map(entry, range(100))]
        connection.executemany("insert into entries values (?, ?, ?, ?, ?)", rows)
        connection.execute("insert into cursors values ('mqtt', ?, ?)", [START + 4, START + 5])
    found, journal = opened(path)
    assert found == list(range(100))
    assert journal.cursors() == {"mqtt": Cursor(delivered=START + 4, attempted=START + 5)}
    journal.write([entry(100)], {})
    journal.close()
    flip(path, 2)
    found, journal = opened(path)
    assert found == list(range(101))
    assert journal.cursors()["mqtt"].delivered == START + 4
    journal.close()


def test_a_damaged_place_of_a_sink_gives_way_to_an_older_one_and_what_comes_again_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    filled(path)
    journal = SqliteJournal(path)
    journal.write([], {"mqtt": Cursor(delivered=START + 300, attempted=START + 300)})
    journal.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update cursors set delivered = delivered + 64")
    _, journal = opened(path)
    assert journal.cursors() == {"mqtt": Cursor(delivered=START + 5, attempted=START + 399)}
    assert journal.damage.num_rows == 1
    assert journal.last() == START + 399
    journal.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update kept_cursors set attempted = attempted + 1")
    _, journal = opened(path)
    assert journal.cursors() == {"mqtt": Cursor(delivered=0, attempted=START + 399)}, "all of it may come again"
    journal.close()


def test_a_row_that_damage_moved_into_the_future_does_not_take_the_clock_there(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    filled(path, count=20)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update entries set position = position + (1 << 60) where position = ?", [START + 7])
    found, journal = opened(path)
    assert found == [number for number in range(20) if number != 7]
    assert journal.last() == START + 19
    journal.close()


def test_a_crash_while_a_file_is_recovered_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    expected = filled(path)
    shutil.copy(path, path.with_name("journal.sqlite.recovered"))  # made, and not yet in its place
    flip(path, 2)
    path.with_name("journal.sqlite.recovering").write_bytes(b"half of another")
    found, journal = opened(path)
    assert found == expected
    assert (len(asides(path)), journal.damage.told) == (1, "")
    journal.close()


def test_a_recovery_that_finds_no_room_leaves_the_old_file_and_is_not_tried_at_once_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.sqlite"
    filled(path)
    flip(path, 2)
    damaged = path.read_bytes()
    (tmp_path / "journal.sqlite.recovering").mkdir()  # stands for a disk that takes nothing
    journal = SqliteJournal(path)
    for _ in range(3):
        with pytest.raises(JournalError, match="expected to read and write it"):
            journal.page(Query())
    assert path.read_bytes() == damaged
    journal.close()
