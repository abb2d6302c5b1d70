"""`ov2 bench`: speed and memory, as ratios in one run against a named alternative or a floor; and what a signal is worth, against
the truth of generated worlds.

In: a file, seeds, or nothing. Out: a one-screen summary, and with --json one JSON object as the last line.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ov2_cli import bench_live as live
from ov2_cli import bench_train

app = typer.Typer(help="Measure speed, memory, and what a signal is worth.", no_args_is_help=True)
Seeds = Annotated[str, typer.Option(help="World seeds A:B, B left out: below 500000 to tune, 900000 and up to report.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]

app.command()(live.chaos)
app.command()(live.faults)
app.command()(live.attack)
app.command()(live.cameras)
app.command()(bench_train.train)

LEAST_TABLE_WIDTH = 120
"""Columns of the kernels' table, which goes to files too, where rich would count on 80."""
LEAST_GROUPS_WIDTH = 170
"""The same of the table of `groups`."""


@app.command()
def tokenize(
    file: Annotated[Path, typer.Argument(help="An H.264 file.")],
    repeats: Annotated[int, typer.Option(help="Pairs of runs; the median is told.", min=1)] = 5,
    setting: Annotated[list[str] | None, typer.Option("--set", help="A tokenizer setting, KEY=VALUE.")] = None,
    eager: Annotated[bool, typer.Option(help="Decode every picture, also those that are never shown.")] = False,
    as_json: Json = False,
) -> None:
    """Whole tokenization, and the whole path of a camera, against plain PyAV decoding of the same file, in turn, on one core."""
    from ov2_bench.tokenization import bench_tokenize

    from ov2_cli.group_lines import assignments
    from stream.tokenizer.settings import settings_from

    _tell(bench_tokenize(file, repeats, settings_from(assignments(setting or [])), eager=eager), as_json)


@app.command()
def duty(
    seed: Annotated[int, typer.Option(help="World seed.")] = 900000,
    size: Annotated[
        list[str] | None, typer.Option(help="WIDTHxHEIGHT, more than once; default: 640x360 and 1920x1080.")
    ] = None,
    percent: Annotated[
        list[int] | None, typer.Option(help="Duty in percent, more than once; default: 0, 5, 20, 50, 100.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Of each film.", min=60.0)] = 120.0,
    repeats: Annotated[int, typer.Option(help="Pairs of runs; the median is told.", min=1)] = 5,
    out: Annotated[Path, typer.Option(help="Folder for films, which are kept.")] = Path("runs/bench-duty"),
    as_json: Json = False,
) -> None:
    """What a camera costs against plain decoding, by how much of the time something happens, and how much of it is decoded."""
    from ov2_bench.duty import DUTIES, SIZES, bench_duty, encodings, table
    from rich.console import Console
    from rich.progress import Progress

    sizes = [live.size_of(each) for each in size] if size else SIZES
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("duty", total=2 * len(sizes) * len(percent or DUTIES) * len(encodings(0)))
        rows = bench_duty(
            out,
            seed=seed,
            sizes=sizes,
            duties=percent or DUTIES,
            seconds=seconds,
            repeats=repeats,
            workers=os.cpu_count() or 1,
            tell=lambda line: bar.update(task, advance=1, description=line),
        )
    Console(width=max(Console().width, LEAST_TABLE_WIDTH)).print(table(rows))
    if as_json:
        print(json.dumps(rows))


@app.command()
def macroblocks(
    file: Annotated[Path, typer.Argument(help="An H.264 file.")],
    repeats: Annotated[int, typer.Option(help="Pairs of runs; the median is told.", min=1)] = 5,
    as_json: Json = False,
) -> None:
    """Reading every macroblock's bits against plain PyAV decoding of the same file, in turn, on one core."""
    from ov2_bench.macroblocks import bench_macroblocks

    _tell(bench_macroblocks(file, repeats), as_json)


@app.command()
def kernels(
    repeats: Annotated[int, typer.Option(help="Rounds; the median is told.", min=1)] = 7,
    as_json: Json = False,
) -> None:
    """Our kernels against the best public alternatives on every device here, and against the machine's own ceilings."""
    from ov2_bench.kernels import bench_kernels

    results = bench_kernels(repeats)
    _tell_kernels(results)
    if as_json:
        print(json.dumps(results))


@app.command()
def soak(
    minutes: Annotated[int, typer.Option(help="Simulated minutes.", min=30)] = 60,
    seed: Annotated[int, typer.Option(help="World seed.")] = 900042,
    model: Annotated[str, typer.Option(help="Checkpoint.")] = "ov2-nano",
    as_json: Json = False,
) -> None:
    """One simulated hour at full speed: does memory or time per group grow?"""
    from ov2_bench.soak import bench_soak

    _tell(bench_soak(minutes, seed, model), as_json)


@app.command()
def engine(
    layout: Annotated[str, typer.Option(help="A checkpoint, or 8b: the released sizes with random weights.")] = "ov2-nano",
    window: Annotated[int, typer.Option(help="Tokens of the window.", min=256)] = 4096,
    token_rate: Annotated[float, typer.Option(help="Tokens per second of a camera.")] = 50.0,
    streams: Annotated[int, typer.Option(help="Streams of the load test.", min=1)] = 4,
    kv_dtype: Annotated[str, typer.Option(help="model, int8 or fp8.")] = "model",
    compare: Annotated[str | None, typer.Option(help="hf: transformers reads the window again for each question.")] = None,
    repeats: Annotated[int, typer.Option(help="Runs of each part; medians are told.", min=3)] = 20,
    as_json: Json = False,
) -> None:
    """The session engine: appends, questions, many at once, many streams."""
    from ov2_bench.engine import bench_engine

    if compare not in (None, "hf"):
        raise typer.BadParameter(f"expected hf, got {compare}", param_hint="--compare")
    _tell_nested(bench_engine(layout, window, token_rate, streams, repeats, kv_dtype, compare == "hf"), as_json)


@app.command()
def endless(
    groups: Annotated[int, typer.Option(help="Groups in all.", min=1000)] = 10_000,
    model: Annotated[str, typer.Option(help="Checkpoint.")] = "ov2-nano",
    as_json: Json = False,
) -> None:
    """Ten thousand groups of one camera: do time, memory or answers change?"""
    from ov2_bench.endless import bench_endless
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("groups", total=1.0)
        result = bench_endless(groups, model, lambda share: bar.update(task, completed=share))
    _tell_nested(result, as_json)


@app.command()
def boundaries(
    seeds: Seeds = "900000:900004",
    seconds: Annotated[float, typer.Option(help="Length of each film.")] = 60.0,
    out: Annotated[Path, typer.Option(help="Folder for films, which are kept, and plots.")] = Path("runs/bench-boundaries"),
    as_json: Json = False,
) -> None:
    """Boundary alerts against the truth of worlds, for every encoding: regions, and every cost of a packet alone."""
    from ov2_bench.boundaries import bench_boundaries, read_packets
    from ov2_bench.figures import save_f1, save_log_cost
    from ov2_bench.films import ENCODINGS, Films, seeds_between

    wanted = seeds_between(seeds)
    table = bench_boundaries(wanted, seconds, out / "films", tell=lambda line: typer.echo(line, err=True))
    for encoding, rows in table.items():
        typer.echo(encoding)
        _tell_rows(rows)
    save_f1(table, out / "boundaries.png")
    films = Films(folder=out / "films", seconds=seconds)
    film = films.path(wanted[0], next(encoding for encoding in ENCODINGS if encoding.name == "crf_30fps"))
    shares = save_log_cost(films.world(wanted[0]), read_packets(film), out / "log_cost.png")
    typer.echo("while something moves, crf_30fps: " + ", ".join(f"{share:.0%} of {name}" for name, share in shares.items()))
    typer.echo(f"plots: {out}")
    if as_json:
        print(json.dumps(table))


@app.command()
def selection(
    films: Annotated[
        Path | None, typer.Option(help="Folder of real films with their truth beside them, in place of yards.")
    ] = None,
    seeds: Seeds = "900000:900004",
    only: Annotated[str, typer.Option(help="Only real films whose name holds this; looped ones only by it.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for films, which are kept, and the plot.")] = Path("runs/bench-selection"),
    as_json: Json = False,
) -> None:
    """How much of what moves the chosen blocks show, at equal tokens, for every policy, and for the presets."""
    from ov2_bench.figures import save_coverage
    from ov2_bench.films import seeds_between
    from ov2_bench.selection_coverage import EVERY, bench_selection, real_films, yards

    def tell(line: str) -> None:
        typer.echo(line, err=True)

    moving = real_films(films, only=only) if films else yards(seeds_between(seeds), out / "films", tell=tell)
    tables = bench_selection(moving, tell=tell)
    for name, table in tables.items():
        typer.echo(name)
        _tell_rows(table)
    save_coverage(tables[EVERY], out / ("selection_films.png" if films else "selection.png"))
    typer.echo(f"plot: {out}")
    if as_json:
        print(json.dumps(tables))


@app.command()
def groups(
    films: Annotated[Path | None, typer.Option(help="Folder of real films, each with its truth beside it.")] = None,
    seeds: Seeds = "900000:900001",
    only: Annotated[str, typer.Option(help="Only films whose name holds this.")] = "",
    setting: Annotated[list[str] | None, typer.Option("--set", help="A tokenizer setting, KEY=VALUE.")] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw tokens over time under the cost, a picture per film.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for films, which are kept, and plots.")] = Path("runs/bench-groups"),
    as_json: Json = False,
) -> None:
    """Do groups and tokens follow what happens? Films by duty, and real ones, at three token rates."""
    from ov2_bench.figures import save_groups
    from ov2_bench.films import seeds_between
    from ov2_bench.groups import RATES, bench_groups, duty_films, films_in, table
    from rich.console import Console
    from rich.progress import Progress

    from ov2_cli.group_lines import assignments
    from stream.tokenizer.settings import settings_from

    settings = assignments(setting or [])
    settings_from(settings)
    real = films_in(films, only=only) if films else []
    workers = os.cpu_count() or 1
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("films", total=None)
        made = duty_films(seeds_between(seeds), out / "films", only=only, workers=workers)
        bar.update(task, description="groups", total=len(RATES) * len(made + real))
        rows, grouped = bench_groups(made + real, settings=settings, workers=workers, advance=lambda _: bar.advance(task))
    Console(width=max(Console().width, LEAST_GROUPS_WIDTH)).print(table(rows))
    for film in made + real if plot else ():
        save_groups(film.name, grouped[film.name], film.truth, out / f"{film.name}.png")
    if plot:
        typer.echo(f"plots: {out}")
    if as_json:
        print(json.dumps(rows))


@app.command()
def journal(
    events: Annotated[int, typer.Option(help="Events in each journal; a million takes minutes.", min=1000)] = 100_000,
    only: Annotated[str | None, typer.Option(help="sqlite or redis; default: both.")] = None,
    redis: Annotated[str | None, typer.Option(help="redis://HOST:PORT/DB; default: one is started.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where the SQLite file goes; default: the temporary folder.")] = None,
    as_json: Json = False,
) -> None:
    """Appends and pages of the journal, SQLite and Redis Streams, in milliseconds."""
    from ov2_bench.journal import bench_redis, bench_sqlite

    def progress(line: str) -> None:
        typer.echo(line, err=True)

    if only not in (None, "sqlite", "redis"):
        raise typer.BadParameter(f"expected sqlite or redis, got {only}", param_hint="--only")
    table = {}
    if only != "redis":
        table["sqlite"] = bench_sqlite(events, folder, progress)
    if only != "sqlite":
        table["redis"] = bench_redis(events, redis, progress)
    for name, rows in table.items():
        typer.echo(f"{name}, {events} events")
        _tell_rows(rows)
    if as_json:
        print(json.dumps(table))


@app.command(name="all")
def everything() -> None:
    """Speed and memory, on world files made for it; `boundaries` and `selection` take minutes and are asked for by name."""
    from ov2_bench.kernels import bench_kernels
    from ov2_bench.macroblocks import bench_macroblocks
    from ov2_bench.soak import bench_soak
    from ov2_bench.tokenization import bench_tokenize

    from trainer.world import World, write_file

    with tempfile.TemporaryDirectory(prefix="ov2-bench-") as folder:
        for width, height in ((640, 360), (1920, 1080)):
            path = Path(folder) / f"world_{height}.mp4"
            write_file(World(900001, duration_s=30.0), path, width=width, height=height, fps=15)
            typer.echo(f"tokenize {width}x{height}")
            _tell(bench_tokenize(path, 5), as_json=False)
            typer.echo(f"macroblocks {width}x{height}")
            _tell(bench_macroblocks(path, 5), as_json=False)
    _tell_kernels(bench_kernels(7))
    typer.echo("soak")
    _tell(bench_soak(60, 900042, "ov2-nano"), as_json=False)


def _tell_kernels(results: Mapping[str, dict[str, Any]]) -> None:
    from ov2_bench.kernels import table
    from rich.console import Console

    console = Console(width=max(Console().width, LEAST_TABLE_WIDTH))
    for device, result in results.items():
        console.print(table(device, result))


def _tell_rows(rows: Mapping[str, Mapping[str, float | int | None]]) -> None:
    width = max(28, *map(len, rows))
    for name, row in rows.items():
        values = "  ".join(f"{key} {'-' if value is None else f'{value:.4g}'}" for key, value in row.items())
        typer.echo(f"  {name:<{width}} {values}")


def _tell_nested(result: Mapping[str, Any], as_json: bool) -> None:
    flat: dict[str, float | int | str] = {}
    for name, value in result.items():
        inner = value if isinstance(value, Mapping) else {"": value}
        flat |= {f"{name} {key}".strip(): each for key, each in inner.items()}
    _tell(flat, as_json=False)
    if as_json:
        print(json.dumps(result))


def _tell(result: dict[str, float | int | str], as_json: bool) -> None:
    for name, value in result.items():
        typer.echo(f"  {name:<28} {value:.4g}" if isinstance(value, float) else f"  {name:<28} {value}")
    if as_json:
        print(json.dumps(result))
