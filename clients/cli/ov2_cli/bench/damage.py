"""One flipped bit in a data folder: what it costs, and whether that is told.

In: the data folder of a service that has stopped, or was killed. Out: a `Flip`; what the stores of the service read of the folder, with the
service's own classes; and every promise that a flip broke: a store opens, at most the damaged record is lost (of the journal: the rows of
one page), what is lost is told, what is written afterwards is kept. `flip_bits` does all that to copies of a folder, one flip at a time.
"""

from __future__ import annotations

import dataclasses
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ov2_cli.bench.stores import STORES, Contents, contents, kind_of

PAGE_BYTES = 4096


class Flip(NamedTuple):
    """One bit: the file, relative to the folder, its kind, the byte, the bit."""

    path: Path
    kind: str
    at: int
    bit: int

    def __str__(self) -> str:
        return f"bit {self.bit} of byte {self.at} of {self.path} ({self.kind})"


class Outcome(NamedTuple):
    """What a flip did. `num_lost`: records; `told`: the store said that something is damaged."""

    flip: Flip
    num_lost: int
    told: bool
    failures: list[str]


def files_by_kind(folder: Path) -> dict[str, list[Path]]:
    """All files that hold something, relative to the folder."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size:
            found.setdefault(kind_of(path), []).append(path.relative_to(folder))
    return found


def damage(folder: Path, rng: random.Random) -> Flip:
    """Flip one bit of one file: every kind of file is as likely as every other."""
    kinds = files_by_kind(folder)
    kind = rng.choice(sorted(kinds))
    path = rng.choice(kinds[kind])
    flip = Flip(path, kind, rng.randrange((folder / path).stat().st_size), rng.randrange(8))
    apply(folder, flip)
    return flip


def apply(folder: Path, flip: Flip) -> None:
    with (folder / flip.path).open("r+b") as file:
        file.seek(flip.at)
        (byte,) = file.read(1)
        file.seek(flip.at)
        file.write(bytes([byte ^ 1 << flip.bit]))


def check(before: Contents, folder: Path, flip: Flip) -> Outcome:
    """Open the store that a flip hit, twice: what it lost, and whether that is right."""
    store = next((name for name, kinds in STORES.items() if flip.kind in kinds), None)
    if store is None:
        return Outcome(flip, 0, False, [])
    try:
        after, again = (_known(before, contents(folder, store), store) for _ in range(2))
    except Exception as error:  # noqa: BLE001 - whatever it is, the service would not have started
        return Outcome(flip, 0, False, [f"{flip}: {type(error).__name__}: {error}"])
    lost = [name for name in before.records if name not in after.records]
    failures = _wrong(before, after, lost, store)
    if again.records != after.records:
        failures.append("opened again, it holds something else")
    return Outcome(flip, len(lost), after.num_told > 0, [f"{flip}: {failure}" for failure in failures])


def flip_bits(folder: Path, *, flips: int, seed: int, tell: Callable[[Outcome], None] = lambda outcome: None) -> list[Outcome]:
    """So many flips of copies of a folder, one at a time; the folder itself stays as it is."""
    rng = random.Random(seed)
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="ov2-damage-") as scratch:
        whole = Path(scratch) / "whole"
        before = {}
        for store in STORES:
            shutil.copytree(folder, whole)
            before[store] = contents(whole, store)
            shutil.rmtree(whole)
        for _ in range(flips):
            copy = Path(scratch) / "damaged"
            shutil.copytree(folder, copy)
            flip = damage(copy, rng)
            store = next((name for name, kinds in STORES.items() if flip.kind in kinds), "")
            outcomes.append(check(before.get(store, Contents({}, 0)), copy, flip))
            tell(outcomes[-1])
            shutil.rmtree(copy)
    return outcomes


def summary(outcomes: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    """By kind of file: flips, those that lost a record, those that were told, records lost at most, promises broken."""
    rows: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        row = rows.setdefault(outcome.flip.kind, Counter(flips=0, lost=0, told=0, most_lost=0, failed=0))
        row["flips"] += 1
        row["lost"] += outcome.num_lost > 0
        row["told"] += outcome.told
        row["most_lost"] = max(row["most_lost"], outcome.num_lost)
        row["failed"] += bool(outcome.failures)
    return {kind: dict(row) for kind, row in sorted(rows.items())}


def _known(before: Contents, found: Contents, store: str) -> Contents:
    """Without what the journal had forgotten: it may be read again, until it is forgotten again."""
    if store != "journal" or not before.records:
        return found
    oldest = min(before.records)
    return dataclasses.replace(found, records={place: one for place, one in found.records.items() if place >= oldest})


def _wrong(before: Contents, after: Contents, lost: list[Any], store: str) -> list[str]:
    failures = []
    if any(before.records.get(name) != record for name, record in after.records.items()):
        failures.append("it gives a record that was never written")
    if [name for name in before.records if name in after.records] != list(after.records):
        failures.append("records are out of order")
    if lost and not after.num_told:
        failures.append(f"{len(lost)} records are lost, and nothing is told")
    if store == "journal":
        failures += _wrong_rows(before, lost) + _wrong_places(before, after)
    elif len(lost) > (0 if store == "watches" else 1):
        failures.append(f"{len(lost)} records are lost")
    return failures


def _wrong_rows(before: Contents, lost: list[int]) -> list[str]:
    """Rows of one page stand one behind the other, and fit on it; a row that does not fit has pages of its own."""
    if not lost:
        return []
    places = list(before.records)
    are_neighbours = places.index(lost[-1]) - places.index(lost[0]) + 1 == len(lost)
    num_bytes = sum(before.records[position].num_bytes for position in lost)
    if not are_neighbours or (len(lost) > 1 and num_bytes > PAGE_BYTES):
        return [f"{len(lost)} entries are lost, more than the rows of one page"]
    return []


def _wrong_places(before: Contents, after: Contents) -> list[str]:
    """A sink goes on where it was, or before that, and what it gets again is marked."""
    failures = []
    newest = max(after.records, default=0)
    for sink, (delivered, _) in before.places.items():
        now = after.places.get(sink)
        if now is None:
            failures.append(f"the place of {sink} is lost")
        elif now[0] > delivered:
            failures.append(f"{sink} misses what lies before its place")
        elif now[0] < delivered and (now[1] < newest or not after.num_told):
            failures.append(f"{sink} gets again what it had, unmarked or untold")
    return failures
