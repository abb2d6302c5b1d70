"""Rows of a journal for the tests of damage: written, read page by page, and a bit of their file turned. No test in here."""

from __future__ import annotations

from pathlib import Path

from stream.journal import Cursor, Entry, Journal, Query
from stream.journal.sqlite import SqliteJournal

START = 1_700_000_000_000_000


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


def filled(path: Path, count: int = 400, size: int = 300) -> list[int]:
    """A journal that was closed; its entries."""
    journal = SqliteJournal(path)
    journal.write([entry(number, size) for number in range(count)], {"mqtt": Cursor(delivered=START + 5, attempted=START + 9)})
    journal.retain(before=0, keep_after=0, max_bytes=1 << 40)
    journal.close()
    return list(range(count))
