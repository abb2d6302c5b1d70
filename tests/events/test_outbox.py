"""The writer and the outbox: written first, told in order, at least once, marked when it may be twice, bounded and announced."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from journal_fixtures import KeepingSink, delivering, run, until

from stream.errors import JournalError
from stream.events.outbox import OutboxSettings
from stream.journal import Cursor, Entry, Query, Writer, WriterSettings
from stream.journal.sqlite import SqliteJournal


class FailingJournal(SqliteJournal):
    """A disk that is full while `full` is set, and one that stalls while `stalled` is."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.full = False
        self.going = threading.Event()
        self.going.set()

    def write(self, entries: Sequence[Entry], cursors: Mapping[str, Cursor]) -> None:
        self.going.wait()
        if self.full and (entries or cursors):
            raise JournalError("journal: expected room, got a full disk")
        super().write(entries, cursors)

    def last(self) -> int:
        if self.full:
            raise JournalError("journal: expected room, got a full disk")
        return super().last()


def put(writer: Writer, *names: str, camera: str = "front") -> None:
    for name in names:
        writer.put("boundary", camera, name, {"type": "new"})


def names(numbers: range) -> list[str]:
    return [f"e{number}" for number in numbers]


def test_nothing_is_told_before_it_is_written(tmp_path: Path) -> None:
    journal, sink = FailingJournal(tmp_path / "j.sqlite"), KeepingSink()

    async def work() -> None:
        async with delivering(journal, sink) as (writer, _):
            await until(lambda: writer.opened)
            journal.going.clear()
            put(writer, "e0")
            writer.tell()
            assert writer.after(writer.opened_at, 10) == []
            for _ in range(20):
                await asyncio.sleep(0)
            assert sink.num_tried == 0
            journal.going.set()
            await until(lambda: sink.names == ["e0"])

    run(work())


def test_entries_arrive_in_order_once_and_unmarked(tmp_path: Path) -> None:
    sink = KeepingSink()

    async def work() -> None:
        async with delivering(tmp_path, sink) as (writer, (outbox,)):
            for start in range(0, 300, 50):
                put(writer, *names(range(start, start + 50)))
                await asyncio.sleep(0)
            await outbox.drained()

    run(work())
    assert sink.got == [(name, False) for name in names(range(300))]


def test_a_sink_that_was_down_gets_everything_in_order_and_repeats_are_marked(tmp_path: Path) -> None:
    sink = KeepingSink()

    async def work() -> None:
        async with delivering(tmp_path, sink) as (writer, (outbox,)):
            put(writer, *names(range(3)))
            await outbox.drained()
            sink.down = True
            put(writer, *names(range(3, 200)))
            await until(lambda: sink.num_tried > 20)
            sink.down = False
            await outbox.drained()

    run(work())
    assert sink.names == names(range(200))
    marked = [name for name, duplicate in sink.got if duplicate]
    assert marked
    assert marked == names(range(3, 3 + len(marked))), "those that were tried while it was down, and no others"


def test_what_may_have_been_sent_before_a_crash_is_sent_again_as_a_duplicate(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    entries = [
        Entry(position=1000 + n, kind="boundary", camera="front", id=name, body={}) for n, name in enumerate(names(range(6)))
    ]
    journal.write(entries, {"kept": Cursor(delivered=1001, attempted=1003)})
    journal.close()
    sink = KeepingSink()

    async def work() -> None:
        async with delivering(tmp_path, sink) as (_, (outbox,)):
            await until(lambda: len(sink.got) == 4)
            await outbox.drained()

    run(work())
    assert sink.got == [("e2", True), ("e3", True), ("e4", False), ("e5", False)]


def test_a_live_sink_is_claimed_with_the_write_itself(tmp_path: Path) -> None:
    """So that one commit lies between an event and its publication, and a crash after it leaves a mark."""
    sink = KeepingSink()
    seen: list[Cursor] = []

    async def work() -> None:
        async with delivering(tmp_path, sink) as (writer, (outbox,)):
            put(writer, "e0")
            await outbox.drained()
            await until(lambda: sink.name in writer._live)
            deliver = sink.deliver

            async def look_first(entry: Entry, *, duplicate: bool) -> None:
                seen.append(writer.journal.cursors()["kept"])
                await deliver(entry, duplicate=duplicate)

            sink.deliver = look_first  # type: ignore[method-assign]
            put(writer, "e1")
            await outbox.drained()

    run(work())
    (cursor,) = seen
    assert cursor.attempted == sink.entries[1].position > cursor.delivered


def test_every_sink_has_a_cursor_of_its_own(tmp_path: Path) -> None:
    quick, slow = KeepingSink("quick"), KeepingSink("slow")

    async def first() -> None:
        async with delivering(tmp_path, quick, slow) as (writer, outboxes):
            put(writer, "e0")
            await asyncio.gather(*(outbox.drained() for outbox in outboxes))
            slow.down = True
            put(writer, "e1", "e2")
            await outboxes[0].drained()

    async def second() -> None:
        slow.down = False
        async with delivering(tmp_path, quick, slow) as (_, outboxes):
            await until(lambda: len(slow.got) == 3)
            await asyncio.gather(*(outbox.drained() for outbox in outboxes))

    run(first())
    run(second())
    assert quick.names == slow.names == names(range(3))


def test_what_a_sink_will_never_take_is_left_out_counted_and_announced(tmp_path: Path) -> None:
    sink = KeepingSink()
    sink.poison = {"e1"}

    async def work() -> None:
        async with delivering(tmp_path, sink) as (writer, (outbox,)):
            put(writer, *names(range(3)))
            await until(lambda: len(sink.got) == 3)
            assert outbox.num_dropped == 1

    run(work())
    assert sink.names[:2] == ["e0", "e2"]
    announced = sink.entries[-1]
    assert announced.kind == "dropped"
    assert (announced.body["where"], announced.body["number"]) == ("kept", 1)
    assert "will not take" in announced.body["why"]


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        (OutboxSettings(max_entries=10, bounds_every_s=0.01), "more waited than journal.outbox_entries"),
        (OutboxSettings(max_age_s=0.5, bounds_every_s=0.01), "it waited longer than journal.outbox_hours"),
    ],
)
def test_a_line_that_is_too_long_or_too_old_loses_its_oldest_counted_and_announced(
    tmp_path: Path, bounds: OutboxSettings, why: str
) -> None:
    sink = KeepingSink()
    sink.down = True

    async def work() -> None:
        async with delivering(tmp_path, sink, bounds=bounds) as (writer, (outbox,)):
            put(writer, *names(range(2500)))
            await until(lambda: outbox.num_dropped >= 2490)
            sink.down = False
            await outbox.drained()

    run(work())
    lost = [entry for entry in sink.entries if entry.kind == "dropped"]
    told = [name for name in sink.names if name.startswith("e")]
    assert told == names(range(2500))[2500 - len(told) :], "the oldest went"
    assert sum(entry.body["number"] for entry in lost) == 2500 - len(told), "every loss is announced, and once"
    assert lost[0].body["why"] == why
    assert lost[0].body["cameras"] == ["front"]
    assert lost[0].body["since"] <= lost[0].body["until"]


def test_while_the_disk_is_full_events_go_on_from_memory_and_are_written_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal, sink = FailingJournal(tmp_path / "j.sqlite"), KeepingSink()

    async def work() -> None:
        async with delivering(journal, sink) as (writer, (outbox,)):
            put(writer, "e0")
            await outbox.drained()
            journal.full = True
            put(writer, *names(range(1, 50)))
            await until(lambda: len(sink.got) == 50)
            assert "full disk" in writer.degraded
            assert writer.num_pending == 49
            await until(lambda: writer.num_failures > 5)
            journal.full = False
            await until(lambda: not writer.degraded)
            put(writer, "e50")
            await outbox.drained()

    run(work())
    assert sink.names == names(range(51))
    read = SqliteJournal(tmp_path / "j.sqlite")
    assert [entry.id for entry in read.page(Query()).entries] == names(range(51))
    read.close()
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert 1 <= len(errors) <= 2, "told once a second, not once a failure"


def test_memory_that_is_full_too_loses_the_oldest_counted_and_announced(tmp_path: Path) -> None:
    journal, sink = FailingJournal(tmp_path / "j.sqlite"), KeepingSink()
    sink.down = True

    async def work() -> None:
        settings = WriterSettings(held_entries=20, retry_s=0.01)
        async with delivering(journal, sink, settings=settings) as (writer, (outbox,)):
            await until(lambda: writer.opened)
            journal.full = True
            put(writer, *names(range(100)))
            await until(lambda: bool(writer.degraded))
            assert writer.num_pending == 20
            journal.full = sink.down = False
            await until(lambda: not writer.degraded)
            await outbox.drained()

    run(work())
    told = [name for name in sink.names if name.startswith("e")]
    assert told == names(range(100))[-len(told) :], "the oldest went"
    lost = [entry for entry in sink.entries if entry.kind == "dropped"]
    assert {entry.body["where"] for entry in lost} == {"journal"}
    assert sum(entry.body["number"] for entry in lost) == 100 - len(told), "every loss is announced, and once"


def test_a_journal_that_cannot_be_opened_at_the_start_holds_up_alerts_only_for_a_while(tmp_path: Path) -> None:
    before = SqliteJournal(tmp_path / "j.sqlite")
    old = [Entry(position=1000 + n, kind="boundary", camera="front", id=f"old{n}", body={}) for n in range(3)]
    before.write(old, {"kept": Cursor(delivered=1000)})
    before.close()
    journal, sink = FailingJournal(tmp_path / "j.sqlite"), KeepingSink()
    journal.full = True

    async def work() -> None:
        async with delivering(journal, sink, bounds=OutboxSettings(patience_s=0.1)) as (writer, (outbox,)):
            put(writer, "e0")
            await until(lambda: sink.names == ["e0"])
            journal.full = False
            put(writer, "e1")
            await until(lambda: len(sink.got) >= 3)
            await outbox.drained()

    run(work())
    assert [name for name in sink.names if name.startswith("e")] == ["e0", "e1"]
    (lost,) = [entry for entry in sink.entries if entry.kind == "dropped"]
    assert (lost.body["number"], lost.body["why"]) == (2, "the journal could not be read when the service started")


def test_a_clock_that_is_moved_back_neither_repeats_a_position_nor_reorders(tmp_path: Path) -> None:
    now = [1_700_000_000.0]
    seen: list[str] = []
    for moved_s in (0.0, -3600.0, -7200.0):
        now[0] += moved_s
        writer = Writer(SqliteJournal(tmp_path / "j.sqlite"), clock=lambda: now[0])
        writer.start()
        for _ in range(5):
            now[0] += -10.0
            put(writer, f"e{len(seen)}")
            seen.append(f"e{len(seen)}")
        writer.stop()
    journal = SqliteJournal(tmp_path / "j.sqlite")
    assert [entry.id for entry in journal.page(Query()).entries] == seen
    journal.close()


def test_an_entry_is_what_json_has_of_it_from_the_first_moment(tmp_path: Path) -> None:
    writer = Writer(SqliteJournal(tmp_path / "j.sqlite"))
    body = {"evidence": ({"start": 1.0},), "list": [1]}
    entry = writer.put("boundary", "front", "e0", body)
    body["list"] = []
    assert entry.body == {"evidence": [{"start": 1.0}], "list": [1]}
    with pytest.raises(TypeError, match="not JSON serializable"):
        writer.put("boundary", "front", "e1", {"bad": object()})
    assert writer.num_pending == 1


def test_an_error_of_our_own_in_the_journal_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(SqliteJournal):
        broken = True

        def write(self, entries: Sequence[Entry], cursors: Mapping[str, Cursor]) -> None:
            if self.broken and entries:
                raise ValueError("a bug")
            super().write(entries, cursors)

    journal, sink = Broken(tmp_path / "j.sqlite"), KeepingSink()

    async def work() -> None:
        async with delivering(journal, sink) as (writer, _):
            put(writer, "e0")
            await until(lambda: sink.names == ["e0"])
            assert "ValueError: a bug" in writer.degraded
            journal.broken = False
            await until(lambda: not writer.degraded and not writer.num_pending)

    run(work())
    assert "an error of our own" in caplog.text
