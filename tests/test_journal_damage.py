"""A journal of which something is damaged: a row, a page, its header, its log. What can be read is read, and what cannot is told."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from journal_fixtures import KeepingSink, delivering, run, until
from redis_fixtures import RedisServer, redis_server  # noqa: F401
from service_fixtures import Start, checkpoint, model, start, video  # noqa: F401

from stream.errors import JournalError
from stream.journal import Cursor, Entry, Journal, Query
from stream.journal.redis_streams import RedisJournal
from stream.journal.sqlite import SqliteJournal

# ruff: noqa: F811

START = 1_700_000_000_000_000
BAD: dict[str, tuple[str, str | bytes]] = {
    "no JSON": ("boundary", "{secret"),
    "no object": ("boundary", '["secret"]'),
    "no kind of ours": ("secret", "{}"),
    "no text": ("boundary", b"{\xff\xfesecret}"),
    "too deep": ("boundary", "[" * 200_000),
    "nothing": ("boundary", ""),
}
"""Kind and body of rows that others wrote."""


def entry(number: int, size: int = 40) -> Entry:
    body = {"n": number, "fill": "x" * size}
    return Entry(position=START + number, kind="boundary", camera="front", id=f"event-{number}", body=body)


def numbers(journal: Journal, **query: object) -> list[int]:
    """Of all pages put together."""
    found: list[Entry] = []
    after: int | None = None
    while True:
        page = journal.page(Query(**{"limit": 7, **query, "after": after}))  # type: ignore[arg-type]
        assert page.next is None or len(page.entries) == 7
        found += page.entries
        after = page.next
        if after is None:
            return [int(one.body["n"]) for one in found]


def flip(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def sqlite_row(path: Path, number: int, kind: str, body: str | bytes) -> None:
    """As somebody else would put it in: without a checksum."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "insert into entries (position, camera, kind, id, body) values (?, 'front', ?, 'event-x', cast(? as text))",
            [START + number, kind, body],
        )


def redis_row(url: str, number: int, kind: str, body: str | bytes) -> None:
    place = f"{(START + number) // 1000}-{(START + number) % 1000}"
    with closing(redis.Redis.from_url(url)) as client:
        client.xadd("{ov2}:journal", {"c": "front", "k": kind, "i": "event-x", "b": body}, id=place)
        for index in (":camera:front", ":kind:boundary"):
            client.xadd("{ov2}:journal" + index, {"": ""}, id=place)
        client.rpush("{ov2}:journal:id:event-x", place)


Spoil = Callable[[int, str, "str | bytes"], None]


@pytest.fixture(params=["sqlite", "redis"])
def spoilt(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Journal, Spoil]]:
    """A journal, and what puts a row into it behind its back."""
    journal: Journal
    spoil: Spoil
    if request.param == "sqlite":
        path = tmp_path / "journal.sqlite"
        journal, spoil = SqliteJournal(path), lambda *row: sqlite_row(path, *row)
    else:
        url = request.getfixturevalue("redis_server").url
        journal, spoil = RedisJournal(url), lambda *row: redis_row(url, *row)
    yield journal, spoil
    journal.close()


@pytest.mark.parametrize("what", BAD)
def test_a_bad_row_is_left_out_of_every_page_and_counted_once(spoilt: tuple[Journal, Spoil], what: str) -> None:
    journal, spoil = spoilt
    journal.write([entry(number) for number in range(10)], {})
    for number in (10, 11, 12):
        spoil(number, *BAD[what])
    journal.write([entry(number) for number in range(20, 30)], {})
    expected = [*range(10), *range(20, 30)]
    assert numbers(journal) == numbers(journal, camera="front") == expected
    assert numbers(journal, newest_first=True) == expected[::-1]
    assert numbers(journal, since=START + 10, until=START + 12) == []
    assert journal.page(Query(id="event-x")).entries == ()
    assert journal.last() == START + 29
    assert journal.damage.num_rows == 3
    assert journal.damage.told == "3 damaged rows are left out"


@pytest.mark.parametrize("what", ["no JSON", "no kind of ours"])
def test_a_sink_gets_what_lies_behind_bad_rows(spoilt: tuple[Journal, Spoil], what: str) -> None:
    journal, spoil = spoilt
    journal.write([entry(0)], {"kept": Cursor(delivered=START)})
    for number in range(1, 101):
        spoil(number, *BAD[what])  # more than an outbox reads at once
    journal.write([entry(200)], {})
    sink = KeepingSink()

    async def work() -> None:
        async with delivering(journal, sink) as (writer, _):
            await until(lambda: writer.opened)
            writer.put("boundary", "front", "event-new", {"n": 201})
            await until(lambda: len(sink.got) == 2)

    run(work())
    assert sink.names == ["event-200", "event-new"]


def test_an_entry_that_a_sink_cannot_put_into_words_is_announced_and_passed_over(tmp_path: Path) -> None:
    class Wordless(KeepingSink):
        async def deliver(self, entry: Entry, *, duplicate: bool) -> None:
            if entry.kind == "boundary":
                assert entry.body["after"]["id"]
            await super().deliver(entry, duplicate=duplicate)

    sink = Wordless()

    async def work() -> None:
        async with delivering(tmp_path, sink) as (writer, _):
            writer.put("boundary", "front", "event-1", {})
            writer.put("question", "front", "event-2", {})
            await until(lambda: len(sink.got) == 2)

    run(work())
    assert sink.names[0] == "event-2"
    assert [one.kind for one in sink.entries] == ["question", "dropped"]


def test_a_dropped_row_in_words_of_others_does_not_end_an_outbox(tmp_path: Path) -> None:
    """What is dropped in its turn is counted from its own body."""
    from stream.journal import Losses

    losses = Losses("mqtt", "why")
    for body in (
        {},
        {"number": "many", "since": 1, "until": 2, "cameras": []},
        {"number": 3, "since": 1.0, "until": 2.0, "cameras": ["a"]},
    ):
        losses.add(Entry(position=START, kind="dropped", camera="", id="dropped-1", body=body))
    assert (losses.number, losses.body()["cameras"]) == (5, ["a"])


# A file of SQLite.


def filled(path: Path, count: int = 400, size: int = 300) -> list[int]:
    """A journal that was closed; its entries."""
    journal = SqliteJournal(path)
    journal.write([entry(number, size) for number in range(count)], {"mqtt": Cursor(delivered=START + 5, attempted=START + 9)})
    journal.retain(before=0, keep_after=0, max_bytes=1 << 40)
    journal.close()
    return list(range(count))


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


# The service.


def test_a_service_with_a_bad_row_answers_tells_it_and_says_nothing_of_what_the_row_holds(start: Start, video: Path) -> None:
    service = start({"front": {"url": str(video), "paced": False}})
    service.camera_when("front", lambda camera: camera["frames"] > 0)
    service.ask("front", question="who?", max_tokens=2)
    path = service.runner.service.config.data / "journal.sqlite"
    with closing(sqlite3.connect(path, timeout=60)) as connection, connection:
        for kind, body in BAD.values():
            connection.execute(
                "insert into entries (position, camera, kind, id, body) "
                "values ((select max(position) + 1 from entries), 'front', ?, 'secret', cast(? as text))",
                [kind, body],
            )
    service.ask("front", question="and now?", max_tokens=2)
    page = service.get("/v1/events?limit=1000")
    status = service.get("/v1/status").json()
    assert page.status_code == 200
    assert {"question", "answer"} <= {one["kind"] for one in page.json()["entries"]}
    assert "damaged rows are left out" in status["journal"]["degraded"]
    assert status["damaged"]["journal_entries"] == len(BAD)
    for answer in (page.text, json.dumps(status["journal"]), service.get("/v1/events?id=secret").text):
        assert "secret" not in answer
        assert str(path.parent) not in answer


def test_a_service_starts_although_events_in_its_journal_are_none_of_ours(start: Start, video: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    path = data / "journal.sqlite"
    filled(path, count=3)
    for number, body in enumerate(
        ('{"type": "new"}', '{"type": "new", "after": {"evidence": 7}}', "{}", '{"type": "new", "after": []}')
    ):
        sqlite_row(path, 10 + number, "watch", body)
    service = start({"front": {"url": str(video)}}, data=str(data))
    assert service.get("/v1/events").status_code == 200
