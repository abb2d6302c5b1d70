"""`ov2 bench groups`: do groups and tokens follow what happens?

In: world seeds for films by duty, and a folder of real films with their truth beside them (`scripts/real_films.py` makes one). Out: for
each film and each token rate a row of `group_measures`, with all else by default or by `settings`; and the groups, to be drawn.
Every film goes through the whole tokenizer once per rate. What is active comes from the film's own truth, never from the tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ov2_bench.errors import RunError
from ov2_bench.films import Encoding, Films
from ov2_bench.group_measures import FilmTruth, GroupSpan, Measures, measure

if TYPE_CHECKING:
    from rich.table import Table

RATES = (30, 100, 300)
SECONDS = 720.0
"""Ten minutes fit in, at any phase of a cycle."""
LARGE_SECONDS = 240.0
"""Of the large film, whose pictures take long to paint."""
BY_DUTY: tuple[Encoding, ...] = (
    *(Encoding(name=f"duty{percent:03d}_crf", duty=percent / 100) for percent in (0, 5, 20, 50, 100)),
    Encoding(name="duty020_cbr", camera="cbr", duty=0.2),
    Encoding(name="duty020_smart", camera="smart", duty=0.2),
    Encoding(name="duty020_lowdelay", camera="lowdelay", duty=0.2),
    Encoding(name="duty020_night_crf", camera="night", duty=0.2, night=True),
    Encoding(name="duty020_night_cbr", camera="cbr", duty=0.2, night=True),
    Encoding(name="duty005_night_cbr", camera="cbr", duty=0.05, night=True),
    Encoding(name="duty050_night_smart", camera="smart", duty=0.5, night=True),
)
LARGE = Encoding(name="duty020_crf_1080p", duty=0.2)
COLUMNS: dict[str, Callable[[Measures], object]] = {
    "active tok/s": lambda row: row["tokens_per_s_active"],
    "still tok/s": lambda row: row["tokens_per_s_still"],
    "worst still spell": lambda row: row["largest_still_spell_tokens_per_s"],
    "active span": lambda row: row["median_span_active_s"],
    "still span": lambda row: row["median_span_still_s"],
    "by quota": lambda row: row["closed_by_quota"],
    "onset span": lambda row: row["onset_span_s"],
    "onsets met": lambda row: row["onsets_met"],
    "least minute": lambda row: row["least_active_minute"],
    "largest minute": lambda row: row["largest_active_minute"],
    "ten minutes": lambda row: row["largest_ten_minutes"],
    "cost active/still": lambda row: _ratio(row["cost_per_s_active"], row["cost_per_s_still"]),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueFilm:
    """A film and when something happens in it."""

    name: str
    path: Path
    truth: FilmTruth


Rows = dict[str, dict[str, Measures]]
Grouped = dict[str, dict[str, list[GroupSpan]]]


def bench_groups(
    films: Sequence[TrueFilm],
    *,
    settings: Mapping[str, object] | None = None,
    rates: Sequence[int] = RATES,
    workers: int = 1,
    advance: Callable[[str], None] = lambda film: None,
) -> tuple[Rows, Grouped]:
    """Rows and groups by film and rate; `settings` are the tokenizer's, beside the rate. `advance` hears of each film and rate done.
    Raises RunError without films."""
    if not films:
        raise RunError("--only: expected a part of some film's name, got one that none has; leave it out to see all names")
    groups: Grouped = {film.name: {str(rate): [] for rate in rates} for film in films}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        under_way = {
            pool.submit(groups_of, film.path, {**(settings or {}), "token_rate": rate}): (film.name, str(rate))
            for film in films
            for rate in rates
        }
        for each in as_completed(under_way):
            name, rate_name = under_way[each]
            groups[name][rate_name] = each.result()
            advance(name)
    rows = {film.name: {str(rate): measure(groups[film.name][str(rate)], film.truth, rate) for rate in rates} for film in films}
    return rows, groups


def groups_of(path: Path, settings: Mapping[str, object]) -> list[GroupSpan]:
    """Tokenize a film."""
    from stream.sources import open_source
    from stream.tokenizer.budget import num_llm_tokens
    from stream.tokenizer.settings import settings_from
    from stream.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer(settings_from(settings))
    spans: list[GroupSpan] = []

    def keep(groups: Iterable[Any]) -> None:
        spans.extend(
            GroupSpan(
                start_s=group.start_s,
                end_s=group.end_s,
                closed_by=group.closed_by,
                cost=group.cost,
                tokens=num_llm_tokens(group),
                canvases=len(group.canvases),
            )
            for group in groups
        )

    with open_source(str(path)) as packets:
        for packet in packets:
            keep(tokenizer.push(packet))
    keep(tokenizer.flush())
    return spans


def duty_films(
    seeds: Sequence[int], folder: Path, *, only: str = "", workers: int = 1, advance: Callable[[str], None] = lambda film: None
) -> list[TrueFilm]:
    """The films by duty whose name holds `only`, made in `folder` where they are not there yet."""
    small = Films(folder=folder, seconds=SECONDS)
    large = Films(folder=folder, seconds=LARGE_SECONDS, width=1920, height=1080)
    wanted = [
        (films, seed, each)
        for films, encodings in ((small, BY_DUTY), (large, (LARGE,)))
        for each in encodings
        for seed in seeds
    ]
    wanted = [(films, seed, each) for films, seed, each in wanted if only in _name(each, seed)]
    made = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for film in pool.map(_true_film, *zip(*wanted, strict=True)) if wanted else ():
            made.append(film)
            advance(film.name)
    return made


def _name(encoding: Encoding, seed: int) -> str:
    return f"{encoding.name}_{seed}"


def _true_film(films: Films, seed: int, encoding: Encoding) -> TrueFilm:
    from trainer.world.activity import active_intervals

    world = films.world(seed, encoding)
    truth = FilmTruth(duration_s=films.seconds, active=active_intervals(world))
    return TrueFilm(name=_name(encoding, seed), path=films.path(seed, encoding), truth=truth)


def films_in(folder: Path, *, only: str = "") -> list[TrueFilm]:
    """The films of a folder whose name holds `only`. Raises RunError for a folder without films, and for a film without truth."""
    paths = [path for path in sorted(folder.glob("*.mp4")) if ".part." not in path.name]
    if not paths:
        raise RunError(f"--films {folder}: expected mp4 files, found none; make some with scripts/real_films.py {folder}")
    return [TrueFilm(name=path.stem, path=path, truth=_truth_beside(path)) for path in paths if only in path.stem]


def _truth_beside(path: Path) -> FilmTruth:
    beside = path.with_suffix(".json")
    try:
        told = json.loads(beside.read_text())
        active = tuple((float(low), float(high)) for low, high in told["active"])
        return FilmTruth(duration_s=float(told["duration_s"]), active=active)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f'{path.name}: expected {beside.name} beside it with "duration_s" and "active", a list of [start, end] in seconds, '
            f"got {type(error).__name__}: {error}"
        ) from error


def table(rows: Rows) -> Table:
    """The rows for people."""
    from rich.table import Column, Table

    shown = Table(Column("film", no_wrap=True), "rate", *COLUMNS, title="tokens and groups, by film and token rate")
    for film, by_rate in rows.items():
        for rate, row in by_rate.items():
            values = [value(row) for value in COLUMNS.values()]
            shown.add_row(film if rate == next(iter(by_rate)) else "", rate, *(_cell(value) for value in values))
        shown.add_section()
    return shown


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:.3g}"


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None
