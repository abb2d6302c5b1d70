"""`ov2 bench`: speed and memory, as ratios in one run against a named alternative or a floor.

In: a file, or nothing. Out: a one-screen summary, and with --json one JSON object as the last line.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Measure speed and memory.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


@app.command()
def tokenize(
    file: Annotated[Path, typer.Argument(help="An H.264 file.")],
    repeats: Annotated[int, typer.Option(help="Pairs of runs; the median is told.", min=1)] = 5,
    as_json: Json = False,
) -> None:
    """Whole tokenization against plain PyAV decoding of the same file, in turn, on one core."""
    from ov2_cli.bench.tokenize import bench_tokenize

    _tell(bench_tokenize(file, repeats), as_json)


@app.command()
def macroblocks(
    file: Annotated[Path, typer.Argument(help="An H.264 file.")],
    repeats: Annotated[int, typer.Option(help="Pairs of runs; the median is told.", min=1)] = 5,
    as_json: Json = False,
) -> None:
    """Reading every macroblock's bits against plain PyAV decoding of the same file, in turn, on one core."""
    from ov2_cli.bench.macroblocks import bench_macroblocks

    _tell(bench_macroblocks(file, repeats), as_json)


@app.command()
def soak(
    minutes: Annotated[int, typer.Option(help="Simulated minutes.", min=30)] = 60,
    seed: Annotated[int, typer.Option(help="World seed.")] = 900042,
    model: Annotated[str, typer.Option(help="Checkpoint.")] = "ov2-nano",
    as_json: Json = False,
) -> None:
    """One simulated hour at full speed: does memory or time per group grow?"""
    from ov2_cli.bench.soak import bench_soak

    _tell(bench_soak(minutes, seed, model), as_json)


@app.command(name="all")
def everything() -> None:
    """Every benchmark, on world files made for it."""
    from ov2_cli.bench.soak import bench_soak
    from ov2_cli.bench.tokenize import bench_tokenize
    from trainer.world import World, write_file

    with tempfile.TemporaryDirectory(prefix="ov2-bench-") as folder:
        for width, height in ((640, 360), (1920, 1080)):
            path = Path(folder) / f"world_{height}.mp4"
            write_file(World(900001, duration_s=30.0), path, width=width, height=height, fps=15)
            typer.echo(f"tokenize {width}x{height}")
            _tell(bench_tokenize(path, 5), as_json=False)
    typer.echo("soak")
    _tell(bench_soak(60, 900042, "ov2-nano"), as_json=False)


def _tell(result: dict[str, float | int | str], as_json: bool) -> None:
    for name, value in result.items():
        typer.echo(f"  {name:<28} {value:.4g}" if isinstance(value, float) else f"  {name:<28} {value}")
    if as_json:
        print(json.dumps(result))
