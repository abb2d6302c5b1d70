"""What breaks in the testbed: the broker, Redis, the process, the disk, the clock. Every event of the journal arrives all the same."""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from child_environment import child_environment
from journal_fixtures import KeepingSink, change, delivering, run, until
from mqtt_fixtures import Listener, Mosquitto
from redis_fixtures import RedisServer, redis_server  # noqa: F401
from stopping import running

from stream.events.address import Broker
from stream.events.event import EventIds
from stream.events.journal_entries import record_change
from stream.events.mqtt import MqttSink
from stream.events.outbox import Outbox
from stream.journal import Journal, Query, Writer
from stream.journal.redis_streams import RedisJournal
from stream.journal.sqlite import SqliteJournal

# ruff: noqa: F811

PUBLISHER = """
import asyncio, sys, time
from pathlib import Path
from journal_fixtures import change, delivering
from stream.events.address import Broker
from stream.events.event import EventIds
from stream.events.mqtt import MqttSink
from stream.events.journal_entries import record_change

async def main():
    sink = MqttSink(Broker(host="127.0.0.1", port=int(sys.argv[1])))
    sink.start()
    ids = EventIds()
    async with delivering(Path(sys.argv[2]), sink) as (writer, (outbox,)):
        print("started", flush=True)
        for number in range(int(sys.argv[3])):
            record_change(writer, change(ids.next(time.time()), camera=f"cam{number % 3}"))
            await asyncio.sleep(0.001)
        await outbox.drained()
        print("drained", flush=True)
    await sink.stop()

asyncio.run(main())
"""


@pytest.fixture
def durable_mosquitto() -> Iterator[Mosquitto]:
    """One that keeps sessions over a stop: in memory where that is a folder, for a disk that is busy with something else may take longer to
    sync than a broker has for its end."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        with Mosquitto(Path(folder), persistent=True) as broker:
            yield broker
        print(broker.log.read_text())  # pytest shows it of a test that failed


class Grown:
    """Whether an outbox has delivered so many more since now."""

    def __init__(self, outbox: Outbox, more: int) -> None:
        self._outbox, self._wanted = outbox, outbox.num_delivered + more

    def check(self) -> bool:
        return self._outbox.num_delivered >= self._wanted


def told(listener: Listener) -> list[tuple[str, str, bool]]:
    """Camera, id and whether it was marked, of every event in the order in which it came."""
    found = [(event["after"]["camera"], event["after"]["id"], event.get("duplicate", False)) for event in listener.events()]
    return [(camera, name, bool(duplicate)) for camera, name, duplicate in found]


def check_contract(written: list[tuple[str, str]], received: list[tuple[str, str, bool]]) -> None:
    """Every event arrives; in order for each camera; one that comes again is marked or was repeated by the broker under its id."""
    assert {name for _, name, _ in received} == {name for _, name in written}
    firsts: dict[str, list[str]] = defaultdict(list)
    for camera, name, _ in received:
        if name not in firsts[camera]:
            firsts[camera].append(name)
    for camera, order in firsts.items():
        assert order == [name for place, name in written if place == camera], "in order"
    assert len({name for _, name in written}) == len(written), "no id twice"


def in_journal(journal: Journal) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    page = journal.page(Query(limit=1000))
    found += [(entry.camera, entry.id) for entry in page.entries]
    while page.next is not None:
        page = journal.page(Query(limit=1000, after=page.next))
        found += [(entry.camera, entry.id) for entry in page.entries]
    journal.close()
    return found


def test_a_broker_that_is_killed_again_and_again_loses_no_event_and_mixes_none_up(
    tmp_path: Path, durable_mosquitto: Mosquitto
) -> None:
    listener = Listener(durable_mosquitto.port, name="a-subscriber")
    ids, chance = EventIds(), random.Random(11)

    async def work() -> None:
        sink = MqttSink(Broker(host="127.0.0.1", port=durable_mosquitto.port))
        sink.start()
        async with delivering(tmp_path, sink) as (writer, (outbox,)):

            async def happen() -> None:
                for number in range(600):
                    record_change(writer, change(ids.next(1_700_000_000.0), camera=f"cam{number % 3}"))
                    await asyncio.sleep(chance.uniform(0, 0.005))

            happening = asyncio.create_task(happen())
            for _ in range(3):
                await until(lambda: sink.connected.is_set())
                await until(Grown(outbox, 20).check)
                await asyncio.to_thread(durable_mosquitto.stop)
                await asyncio.to_thread(durable_mosquitto.start)
            await happening
            await outbox.drained()
        await sink.stop()

    run(work())
    written = in_journal(SqliteJournal(tmp_path / "journal.sqlite"))
    assert len(written) == 600
    listener.wait_until(lambda: len({name for _, name, _ in told(listener)}) == 600)
    received = told(listener)
    listener.close()
    durable_mosquitto.stop()
    check_contract(written, received)


def test_a_service_that_is_killed_in_the_middle_tells_the_rest_after_its_restart(
    tmp_path: Path, durable_mosquitto: Mosquitto
) -> None:
    listener = Listener(durable_mosquitto.port, name="a-subscriber")

    def publisher(number: int) -> AbstractContextManager[subprocess.Popen[str]]:
        command = [sys.executable, "-c", PUBLISHER, str(durable_mosquitto.port), str(tmp_path), str(number)]
        return running(command, stdout=subprocess.PIPE, env=child_environment())

    for wanted in (60, 150):
        with publisher(100_000) as process:
            listener.wait_until(lambda wanted=wanted: len(listener.events()) > wanted)
            process.kill()
    with publisher(20) as last:
        said, _ = last.communicate(timeout=60)
    assert said.split() == ["started", "drained"]
    written = in_journal(SqliteJournal(tmp_path / "journal.sqlite"))
    listener.wait_until(lambda: {name for _, name, _ in told(listener)} == {name for _, name in written})
    received = told(listener)
    listener.close()
    durable_mosquitto.stop()
    check_contract(written, received)
    seen: set[str] = set()
    for _, name, duplicate in received:
        assert duplicate or name not in seen, "what comes twice is marked"
        seen.add(name)


@pytest.mark.parametrize("durable", [True, False])
def test_a_redis_that_is_killed_again_and_again_loses_no_event_and_holds_up_none(
    tmp_path: Path, redis_server: RedisServer, durable: bool, request: pytest.FixtureRequest
) -> None:
    redis_server.kill()
    server = RedisServer(tmp_path, durable=durable)
    server.start()
    request.addfinalizer(server.kill)
    sink, ids = KeepingSink(), EventIds()

    async def work() -> None:
        async with delivering(RedisJournal(server.url), sink) as (writer, (outbox,)):
            for _ in range(3):
                for _ in range(100):
                    record_change(writer, change(ids.next(1_700_000_000.0)))
                    await asyncio.sleep(0)
                await asyncio.to_thread(server.kill)
                grown = Grown(outbox, 50)
                for _ in range(50):
                    record_change(writer, change(ids.next(1_700_000_000.0)))
                await until(lambda: bool(writer.degraded))
                await until(grown.check)
                await asyncio.to_thread(server.start)
                await until(lambda: not writer.degraded)
            await outbox.drained()

    run(work())
    written = in_journal(RedisJournal(server.url))
    server.kill()
    assert len(written) == 450
    assert [entry.id for entry in sink.entries] == [name for _, name in written], "each once and in order"


FULL_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from journal_fixtures import KeepingSink, change, delivering, until
from stream.events.event import EventIds
from stream.events.journal_entries import record_change
from stream.journal import WriterSettings

LIMIT = 400_000

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    sink, ids = KeepingSink(), EventIds()
    settings = WriterSettings(retry_s=0.02, cursor_every_s=0.02)
    async with delivering(Path(sys.argv[1]), sink, settings=settings) as (writer, (outbox,)):
        await until(lambda: writer.opened)
        if sys.argv[2] == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))
        number = 0
        while not writer.degraded:
            record_change(writer, change(ids.next(1.0)))
            number += 1
            await asyncio.sleep(0.0005)
        for _ in range(50):
            record_change(writer, change(ids.next(1.0)))
        number += 50
        await until(lambda: len(sink.entries) == number)
        print("degraded", writer.num_pending >= 50, flush=True)
        if sys.argv[2] == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        else:
            Path(sys.argv[1], "filler").unlink()
        await until(lambda: not writer.degraded)
        await outbox.drained()
        print("recovered", writer.num_written, number, writer.num_dropped, flush=True)

asyncio.run(asyncio.wait_for(main(), 60))
"""


def fill(folder: Path, way: str) -> tuple[list[str], int]:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(folder), way],
        capture_output=True,
        text=True,
        timeout=90,
        env=child_environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "degraded True"
    word, written, number, dropped = second.split()
    assert (word, written, dropped) == ("recovered", number, "0")
    assert "expected to read and write it" in done.stderr
    assert "it can be written again" in done.stderr
    return [name for _, name in in_journal(SqliteJournal(folder / "journal.sqlite"))], int(number)


def test_a_disk_that_is_full_degrades_loudly_and_recovers_by_itself(tmp_path: Path) -> None:
    """The limit of a process on its files stands for the disk: it needs no privilege."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    names, number = fill(tmp_path, "limit")
    assert len(set(names)) == number


def test_a_file_system_that_is_full_degrades_loudly_and_recovers_by_itself(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(tmp_path)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a small file system is not permitted here; the limit of a process stands for it")
    try:
        (tmp_path / "filler").write_bytes(b"x" * 2 * 2**20)
        names, number = fill(tmp_path, "filler")
        assert len(set(names)) == number
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_clock_that_jumps_about_changes_neither_order_nor_ids(tmp_path: Path) -> None:
    now, chance, ids = [1_700_000_000.0], random.Random(5), EventIds()
    sink = KeepingSink()

    async def work() -> None:
        journal = SqliteJournal(tmp_path / "j.sqlite")
        writer = Writer(journal, clock=lambda: now[0])
        async with delivering(tmp_path / "other", sink) as (steady, (outbox,)):
            writer.start()
            for _ in range(200):
                now[0] += chance.choice([0.1, 1.0, -3600.0, 3600.0, -86_400.0])
                told = change(ids.next(now[0]))
                record_change(writer, told)
                record_change(steady, told)
            await outbox.drained()
            await asyncio.to_thread(writer.stop)

    run(work())
    written = in_journal(SqliteJournal(tmp_path / "j.sqlite"))
    assert len({name for _, name in written}) == 200
    assert [name for _, name in written] == sink.names
    stems = [name[:17] for _, name in written]
    assert stems == sorted(stems)


def test_bodies_survive_the_journal_as_they_were(tmp_path: Path) -> None:
    told = change(watch="door")
    writer = Writer(SqliteJournal(tmp_path / "j.sqlite"))
    writer.start()
    record_change(writer, told)
    writer.stop()
    journal = SqliteJournal(tmp_path / "j.sqlite")
    (entry,) = journal.page(Query()).entries
    assert json.dumps(entry.body) == json.dumps(told.body())
    journal.close()
