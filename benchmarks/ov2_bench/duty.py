"""`ov2 bench duty`: what a camera costs by how much happens before it, and how much of it is decoded.

In: films by duty, made for it. Out: for each size, duty and encoding the whole camera path (`camera_path`) against plain decoding of the same
packets, medians of pairs in turn on one core; the share of pictures that was decoded; whether the groups are those of decoding them all.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from ov2_bench.camera_path import plain_seconds, run_path
from ov2_bench.films import Encoding, Films
from ov2_bench.machine import one_core

if TYPE_CHECKING:
    from rich.table import Table

    from stream.units import Packet

SIZES = ((640, 360), (1920, 1080))
DUTIES = (0, 5, 20, 50, 100)
SECONDS = 120.0
"""Of a film: some still groups, two keyframes of an encoding that sends one a minute."""


class Row(TypedDict):
    """`ratio`: camera path to plain decoding. `eager_ratio`: the same with every picture decoded."""

    ratio: float
    eager_ratio: float
    decoded_share: float
    same_groups: bool
    plain_us: float


Rows = dict[str, dict[str, dict[str, Row]]]


def encodings(percent: int) -> tuple[Encoding, ...]:
    """A keyframe every four seconds, and one a minute; by day, and in a noisy night at a held rate."""
    duty = percent / 100
    return (
        Encoding(name="crf", duty=duty),
        Encoding(name="smart", camera="smart", duty=duty),
        Encoding(name="cbr", camera="cbr", duty=duty),
        Encoding(name="night_cbr", camera="cbr", duty=duty, night=True),
    )


def bench_duty(
    folder: Path,
    *,
    seed: int,
    sizes: Sequence[tuple[int, int]] = SIZES,
    duties: Sequence[int] = DUTIES,
    seconds: float = SECONDS,
    repeats: int = 5,
    workers: int = 1,
    tell: Callable[[str], None] = lambda line: None,
) -> Rows:
    """Make the films with `workers` processes, then measure one after the other."""
    cells = [(size, percent, each) for size in sizes for percent in duties for each in encodings(percent)]
    films = {size: Films(folder=folder, seconds=seconds, width=size[0], height=size[1]) for size in sizes}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        made = [pool.submit(films[size].path, seed, each) for size, _, each in cells]
        for (size, percent, each), film in zip(cells, made, strict=True):
            film.result()
            tell(f"filmed {size[0]}x{size[1]} {percent} % {each.name}")
    rows: Rows = {f"{width}x{height}": {str(percent): {} for percent in duties} for width, height in sizes}
    for (size, percent, each), film in zip(cells, made, strict=True):
        row = _row(film.result(), repeats)
        rows[f"{size[0]}x{size[1]}"][str(percent)][each.name] = row
        tell(f"{size[0]}x{size[1]} {percent} % {each.name}: {row['ratio']:.2f}")
    return rows


def _row(path: Path, repeats: int) -> Row:
    packets = _packets(path)
    with one_core():
        run_path(packets)
        turns = [(plain_seconds(packets), run_path(packets), run_path(packets, eager=True)) for _ in range(repeats)]
    return Row(
        ratio=round(statistics.median(lazy.seconds / plain_s for plain_s, lazy, _ in turns), 3),
        eager_ratio=round(statistics.median(eager.seconds / plain_s for plain_s, _, eager in turns), 3),
        decoded_share=round(turns[0][1].decoded_share, 3),
        same_groups=turns[0][1].digests == turns[0][2].digests,
        plain_us=round(1e6 * statistics.median(plain_s for plain_s, _, _ in turns) / len(packets), 1),
    )


def _packets(path: Path) -> list[Packet]:
    from stream.sources import open_source

    with open_source(str(path)) as source:
        return list(source)


def table(rows: Rows) -> Table:
    """The rows for people."""
    from rich.table import Table

    names = [each.name for each in encodings(0)]
    shown = Table("size", "duty", *names, title="camera path to plain decoding, by duty; share decoded")
    for size, by_duty in rows.items():
        for percent, by_encoding in by_duty.items():
            shown.add_row(size, f"{percent} %", *(_cell(by_encoding[name]) for name in names))
        shown.add_section()
    return shown


def _cell(row: Row) -> str:
    same = "" if row["same_groups"] else " DIFFERS"
    return f"{row['ratio']:.2f} (eager {row['eager_ratio']:.2f}), {100 * row['decoded_share']:.0f} %{same}"
