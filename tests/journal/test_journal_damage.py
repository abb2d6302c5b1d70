"""A journal of which something is damaged: a row, a page, its header, its log. What can be read is read, and what cannot is told."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from journal_fixtures import KeepingSink, delivering, run, until
from journal_rows import START, entry, filled, numbers
from redis_fixtures import RedisServer, redis_server  # noqa: F401
from service_fixtures import Start, checkpoint, model, start, video  # noqa: F401

from stream.journal import Cursor, Entry, Journal, Query
from stream.journal.redis_streams import RedisJournal
from stream.journal.sqlite import SqliteJournal

# ruff: noqa: F811

BAD: dict[str, tuple[str, str | bytes]] = {
    "no JSON": ("boundary", "{secret"),
    "no object": ("boundary", '["secret"]'),
    "no kind of ours": ("secret", "{}"),
    "no text": ("boundary", b"{\xff\xfesecret}"),
    "too deep": ("boundary", "[" * 200_000),
    "nothing": ("boundary", ""),
}
"""Kind and body of rows that others wrote."""


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
