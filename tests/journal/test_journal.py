"""The journal: one suite for SQLite and Redis Streams, the clock, and what each survives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis_fixtures import RedisServer, redis_server  # noqa: F401

from stream.errors import JournalError, SettingsError
from stream.journal import Cursor, Entry, Journal, Query, SteadyClock, journal_at
from stream.journal.live import LiveState
from stream.journal.redis_streams import RedisJournal
from stream.journal.sqlite import SqliteJournal

# ruff: noqa: F811

START = 1_700_000_000_000_000
KINDS = ("boundary", "watch", "question")


def entry(number: int, *, camera: str = "front", kind: str = "boundary", size: int = 0) -> Entry:
    body = {"n": number, "text": 'Grüße, "quoted"\nand a new line', "fill": "x" * size}
    return Entry(position=START + number, kind=kind, camera=camera, id=f"event-{number // 3}", body=body)


def numbers(entries: tuple[Entry, ...]) -> list[int]:
    return [int(found.body["n"]) for found in entries]


Make = Callable[[], Journal]


@pytest.fixture
def make_sqlite(tmp_path: Path) -> Make:
    return lambda: SqliteJournal(tmp_path / "deep" / "journal.sqlite")


@pytest.fixture
def make_redis(redis_server: RedisServer) -> Make:
    return lambda: RedisJournal(redis_server.url)


@pytest.fixture(params=["make_sqlite", "make_redis"])
def make(request: pytest.FixtureRequest) -> Make:
    """Opens the same journal again and again."""
    if request.param == "make_redis":
        request.getfixturevalue("redis_server")
    return request.getfixturevalue(request.param)


@pytest.fixture
def journal(make: Make) -> Iterator[Journal]:
    made = make()
    yield made
    made.close()


def test_a_new_journal_is_empty(journal: Journal) -> None:
    assert journal.last() == 0
    assert journal.cursors() == {}
    assert journal.page(Query()).entries == ()
    assert journal.count(0) == 0


def test_what_was_written_is_read_back_as_it_was_after_a_restart(make: Make, journal: Journal) -> None:
    written = [entry(n, camera="frönt door", kind=KINDS[n % 3]) for n in range(5)]
    journal.write(written, {"mqtt": Cursor(delivered=START + 2, attempted=START + 4)})
    journal.close()
    again = make()
    assert again.page(Query()).entries == tuple(written)
    assert again.cursors() == {"mqtt": Cursor(delivered=START + 2, attempted=START + 4)}
    assert again.last() == START + 4
    again.close()


def test_the_last_position_counts_cursors_too(journal: Journal) -> None:
    journal.write([entry(1)], {"mqtt": Cursor(delivered=START + 9)})
    assert journal.last() == START + 9


def test_writing_the_same_again_keeps_it_once(journal: Journal) -> None:
    journal.write([entry(0), entry(1)], {})
    journal.write([entry(0), entry(1), entry(2)], {})
    assert numbers(journal.page(Query()).entries) == [0, 1, 2]


def test_a_count_is_of_what_lies_behind(journal: Journal) -> None:
    journal.write([entry(n) for n in range(7)], {})
    assert [journal.count(START + n) for n in (-1, 0, 5, 6)] == [7, 6, 1, 0]


def test_all_entries_of_an_event_are_found_by_its_id(journal: Journal) -> None:
    journal.write([entry(n, camera="front" if n % 2 else "back") for n in range(9)], {})
    assert numbers(journal.page(Query(id="event-1")).entries) == [3, 4, 5]
    assert numbers(journal.page(Query(id="event-1", newest_first=True, limit=2)).entries) == [5, 4]
    assert numbers(journal.page(Query(id="event-1", camera="front")).entries) == [3, 5]
    assert journal.page(Query(id="event-77")).entries == ()


QUERIES = st.builds(
    Query,
    camera=st.sampled_from([None, "front", "back", "nowhere"]),
    kind=st.sampled_from([None, *KINDS]),
    since=st.one_of(st.none(), st.integers(START - 5, START + 65)),
    until=st.one_of(st.none(), st.integers(START - 5, START + 65)),
    limit=st.integers(1, 70),
    newest_first=st.booleans(),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(query=QUERIES)
def test_pages_of_any_query_put_together_are_what_a_plain_filter_finds(journal: Journal, query: Query) -> None:
    held = [entry(n, camera="front" if n % 5 else "back", kind=KINDS[n % 3]) for n in range(60)]
    journal.write(held, {})
    expected = [one for one in held if query.takes(one)]
    found: list[Entry] = []
    page = journal.page(query)
    found += page.entries
    while page.next is not None:
        assert len(page.entries) == query.limit
        page = journal.page(
            Query(**{name: getattr(query, name) for name in Query.__slots__ if name != "after"}, after=page.next)
        )
        found += page.entries
    assert found == (expected[::-1] if query.newest_first else expected)


def test_what_is_too_old_is_forgotten_but_nothing_that_still_waits(journal: Journal) -> None:
    journal.write([entry(n) for n in range(10)], {})
    journal.retain(before=START + 8, keep_after=START + 4, max_bytes=1 << 40)
    assert numbers(journal.page(Query()).entries) == [5, 6, 7, 8, 9]
    assert numbers(journal.page(Query(camera="front", kind="boundary")).entries) == [5, 6, 7, 8, 9]
    assert journal.count(0) == 5
    journal.retain(before=START + 8, keep_after=START + 9, max_bytes=1 << 40)
    assert numbers(journal.page(Query()).entries) == [8, 9]


def test_a_journal_that_is_too_large_forgets_the_oldest(journal: Journal) -> None:
    journal.write([entry(n, size=4000) for n in range(1000)], {})
    limit, used = 2 * 2**20, 1 << 40
    for _ in range(10):
        used = journal.retain(before=0, keep_after=START + 999, max_bytes=limit)
        if used <= limit:
            break
    assert used <= limit
    left = numbers(journal.page(Query(newest_first=True, limit=1000)).entries)
    assert left == list(range(999, 999 - len(left), -1))
    assert 300 < len(left) < 600


def test_two_journals_under_two_names_share_one_redis(redis_server: RedisServer) -> None:
    first, second = (RedisJournal(redis_server.url, name=name) for name in ("one", "two"))
    first.write([entry(1)], {"mqtt": Cursor(delivered=START)})
    assert (second.last(), second.cursors(), second.page(Query()).entries) == (0, {}, ())
    first.close()
    second.close()


def test_what_a_killed_redis_forgot_is_written_again(redis_server: RedisServer) -> None:
    journal = RedisJournal(redis_server.url)
    journal.write([entry(n) for n in range(3)], {"mqtt": Cursor(delivered=START + 1)})
    redis_server.kill()
    with pytest.raises(JournalError, match="expected Redis to answer"):
        journal.write([entry(3)], {})
    redis_server.start()
    journal.write([], {})
    assert numbers(journal.page(Query()).entries) == [0, 1, 2]
    journal.write([entry(3)], {})
    assert numbers(journal.page(Query(camera="front")).entries) == [0, 1, 2, 3]
    assert journal.cursors() == {"mqtt": Cursor(delivered=START + 1)}
    assert (journal.count(START), journal.num_rewritten) == (3, 3)
    journal.close()


def test_a_password_of_redis_is_never_shown() -> None:
    journal = RedisJournal("redis://user:hunter2@127.0.0.1:1/0")
    with pytest.raises(JournalError) as caught:
        journal.last()
    assert "hunter2" not in f"{caught.value} {journal.address}"
    journal.close()


def test_a_file_that_is_no_database_is_set_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite"
    file.write_bytes(b"this is no database, but somebody's notes" * 100)
    journal = SqliteJournal(file)
    journal.write([entry(0)], {})
    assert numbers(journal.page(Query()).entries) == [0]
    (aside,) = tmp_path.glob("journal.sqlite.unreadable-*")
    assert aside.read_bytes().startswith(b"this is no database")
    journal.close()


def test_an_address_names_its_journal() -> None:
    assert isinstance(journal_at("ov2-data/journal.sqlite"), SqliteJournal)
    with pytest.raises(SettingsError, match="expected a path, redis:// or rediss://, got postgres://"):
        journal_at("postgres://h/x")


def test_the_clock_follows_small_steps_and_believes_a_jump_only_when_it_lasts() -> None:
    wall, monotonic = [1000.0], [0.0]
    clock = SteadyClock(lambda: wall[0], lambda: monotonic[0])

    def later(seconds: float, jump_s: float = 0.0) -> float:
        monotonic[0] += seconds
        wall[0] += seconds + jump_s
        return clock()

    assert later(10) == 1010.0
    assert later(10, jump_s=1.5) == 1021.5
    assert later(1, jump_s=3600) == pytest.approx(1022.5)
    assert later(30, jump_s=-3600) == pytest.approx(1052.5), "a jump forth and back leaves nothing"
    assert later(1, jump_s=-3600) == pytest.approx(1053.5), "a jump back does not turn the time back"
    assert later(61) == pytest.approx(1114.5 - 3600), "what lasts is believed"


def test_live_state_is_in_redis_for_other_processes_and_goes_when_nobody_tells_it(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    client = redis.Redis.from_url(redis_server.url)
    live = LiveState(redis_server.url, name="house", lasts_s=60.0)
    assert live.put({"front": {"state": "live"}, "back": {"state": "offline"}})
    assert live.put({"front": {"state": "degraded"}})
    assert client.hgetall("{house}:live") == {b"front": b'{"state": "degraded"}'}
    assert 0 < client.pttl("{house}:live") <= 60_000
    client.close()
    redis_server.kill()
    assert [live.put({"front": {}}) for _ in range(3)] == [False] * 3
    assert len([record for record in caplog.records if "live state is not told" in record.getMessage()]) == 1
    redis_server.start()
    assert live.put({"front": {"state": "live"}})
    live.close()
