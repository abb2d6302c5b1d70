"""`ov2 bench train`: training against another commit's, on the same cores. In: flags. Out: a summary, with --json one JSON object as the last
line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def train(
    before: Annotated[
        str | None, typer.Option(help="Commit to compare with; default: the one before training was made fast.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps that are timed.", min=2)] = 12,
    repeats: Annotated[int, typer.Option(help="Pairs of runs; the medians are told.", min=1)] = 3,
    out: Annotated[Path, typer.Option(help="Folder for clips, which are kept.")] = Path("runs/bench-train"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
) -> None:
    """Windows and labelled tokens that training learns from in a second, against another commit's, in one run."""
    from ov2_bench.training import BEFORE, bench_train
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("train", total=2 * repeats + 2)
        result = bench_train(
            out.absolute(),
            before=before or BEFORE,
            steps=steps,
            repeats=repeats,
            tell=lambda line: bar.update(task, advance=1, description=line),
        )
    for name, value in result.items():
        typer.echo(f"  {name:28} {value}")
    if as_json:
        print(json.dumps(result))
