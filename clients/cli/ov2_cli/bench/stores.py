"""What the stores of a service read of its data folder, with the service's own classes.

In: a data folder. Out: `Contents` of one store: its records in order, and how often it said that something is damaged.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from stream.journal import Entry

JOURNAL, WATCHES = "journal.sqlite", "watches.json"
STORES = {
    "journal": ("journal", "journal_log", "journal_shm"),
    "watches": ("watches", "watches_copy"),
    "snapshots": ("snapshot",),
    "memory": ("memory",),
    "packets": ("packets", "packet_index"),
}
"""Kinds of files by what keeps them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Contents:
    """What a store gives: records by name, in order; what of it was told to be damaged. `places`: of sinks (delivered, attempted)."""

    records: dict[Any, Any]
    num_told: int
    places: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)


def kind_of(path: Path) -> str:
    """Of a file of a data folder; `other` for what no store reads."""
    name = path.name
    known = {
        JOURNAL: "journal",
        f"{JOURNAL}-wal": "journal_log",
        f"{JOURNAL}-shm": "journal_shm",
        WATCHES: "watches",
        f"{WATCHES}.copy": "watches_copy",
    }
    by_suffix = {".jpg": "snapshot", ".groups": "memory", ".ov2log": "packets", ".index": "packet_index"}
    return known.get(name) or by_suffix.get(path.suffix, "other")


def contents(folder: Path, store: str) -> Contents:
    """What a store reads of a folder. Raises what the service would end of."""
    reader: dict[str, Callable[[Path], Contents]] = {
        "journal": _journal,
        "watches": _watches,
        "snapshots": _snapshots,
        "memory": _memory,
        "packets": _packets,
    }
    return reader[store](folder)


class _Written(NamedTuple):
    entry: Entry
    num_bytes: int


def _journal(folder: Path) -> Contents:
    """All pages; then an entry is written behind them, and must be the last."""
    from stream.journal import Entry, Query
    from stream.journal.sqlite import SqliteJournal

    journal = SqliteJournal(folder / JOURNAL)
    try:
        places = {sink: (cursor.delivered, cursor.attempted) for sink, cursor in journal.cursors().items()}
        entries: list[Entry] = []
        after: int | None = 0
        while after is not None:
            page = journal.page(Query(after=after, limit=1000))
            entries += page.entries
            after = page.next
        for one in entries[:1]:
            for query in (Query(camera=one.camera, limit=1000), Query(kind=one.kind, limit=1000), Query(id=one.id, limit=1000)):
                fitting = [each for each in entries if query.takes(each)][:1000]
                assert list(journal.page(query).entries) == fitting, f"expected what fits {query}, got other entries"
        new = Entry(position=journal.last() + 1, kind="question", camera="", id="after", body={})
        journal.write([new], {})
        (newest,) = journal.page(Query(newest_first=True, limit=1)).entries
        assert newest == new, f"expected {new} to be the last entry, got {newest}"
        records = {one.position: _Written(one, len(json.dumps(one.body))) for one in entries if one.id != "after"}
        return Contents(records, journal.damage.num_rows + journal.damage.num_recovered, places)
    finally:
        journal.close()


def _watches(folder: Path) -> Contents:
    from stream.watch.store import WatchStore

    store = WatchStore(folder / WATCHES)
    kept = {(camera, name): one for camera, watches in store.all().items() for name, one in watches.items()}
    return Contents(kept, store.num_damaged)


def _snapshots(folder: Path) -> Contents:
    from stream.serve.snapshots import Snapshots

    snapshots = Snapshots(folder / "snapshots")
    found = {path.stem: snapshots.get(path.stem) for path in sorted((folder / "snapshots").glob("*.jpg"))}
    shown = {name: picture[: picture.rindex(b"\xff\xd9") + 2] for name, picture in found.items() if picture is not None}
    return Contents(shown, snapshots.num_damaged)


def _memory(folder: Path) -> Contents:
    """All groups of all cameras."""
    from stream.memory import Memory, MemorySettings

    groups: dict[Any, Any] = {}
    num_told = 0
    for place in sorted({path.parent for path in folder.rglob("*.groups")}):
        with Memory(place, MemorySettings(max_age_days=36_500.0)) as memory:
            for group in memory.read(memory.rows()):
                groups[place.relative_to(folder), group.wall_s, group.group_id] = group.canvases.tobytes()
            num_told += memory.dropped["memory_damaged"]
    return Contents(groups, num_told)


def _packets(folder: Path) -> Contents:
    """All packets of all logs, as a camera opens them, records and cuts clips."""
    from stream.packetlog import PacketLog, PacketLogWriter

    packets: dict[Any, Any] = {}
    num_told = 0
    for place in sorted({path.parent for path in folder.rglob("*.ov2log")}):
        PacketLogWriter(place).close()
        log = PacketLog(place)
        log.range()
        for packet in log.packets():
            packets[place.relative_to(folder), packet.wall_s, packet.pts] = dataclasses.replace(packet, discontinuity=False)
        num_told += log.num_damaged
    return Contents(packets, num_told)
