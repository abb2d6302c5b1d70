"""`ov2 eval`: scores of a checkpoint, through the live path.

In: a checkpoint and test seeds. Out: a table per question type, failures as pictures, one JSON object.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ov2_cli.evaluate_benchmarks import HELP, benchmark
from ov2_cli.evaluate_options import AsJson, InputName, Model, Seeds, Weights, Workers, checked

if TYPE_CHECKING:
    from trainer.evaluate.answers import Scores

app = typer.Typer(help="Score a checkpoint through the live path.", no_args_is_help=True)


for name in HELP:
    app.command(name=name)(benchmark(name))


@app.callback()
def scores() -> None:
    """Score a checkpoint through the live path."""


@app.command()
def answers(
    seeds: Seeds = "900000:900060",
    model: Model = "ov2-nano",
    weights: Weights = "model",
    workers: Workers = 2,
    failures: Annotated[Path, typer.Option(help="Folder for pictures of wrong answers.")] = Path("runs/eval-answers"),
    input_name: InputName = "codec",
    as_json: AsJson = False,
) -> None:
    """Ask questions with one checkable answer of a live-like session over unseen worlds."""
    from rich.console import Console
    from rich.progress import Progress

    from trainer.evaluate.answers import ask_seeds
    from trainer.evaluate.figures import save_failures

    wanted, kind = checked(seeds, model, weights)
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        task = progress.add_task("asking", total=len(wanted))
        result = ask_seeds(
            model,
            wanted,
            weights=kind,
            workers=workers,
            input_name=input_name,
            done=lambda count: progress.update(task, completed=count),
        )
    save_failures(result, failures)
    _print_table(console, result)
    console.print(f"wrong answers as pictures: {failures}")
    if as_json:
        print(json.dumps(result.as_json()))


@app.command()
def margins(
    seeds: Annotated[str, typer.Option(help="Test seeds A:B, B left out.")] = "900000:900020",
    model: Annotated[str, typer.Option(help="Checkpoint: a bundled name or a folder.")] = "ov2-nano",
    calibrate: Annotated[
        str | None, typer.Option(help="Training seeds A:B: fit scale and bias on them, and write both to the checkpoint.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
) -> None:
    """Judge yes/no questions as watches do: are margins right, and are they log-odds?"""
    from rich.console import Console
    from rich.progress import Progress

    from ov2.checkpoint import find
    from ov2.model import OV2Model
    from trainer.evaluate.answers import seed_range
    from trainer.evaluate.margins import fit, judge_seeds, quality

    wanted, folder = seed_range(seeds), find(model)
    console = Console(stderr=True)
    loaded = OV2Model.from_pretrained(model)
    with Progress(console=console) as progress:
        if calibrate is not None:
            tuned = seed_range(calibrate, "train")
            loaded.stream_settings.pop("judge", None)
            task = progress.add_task("calibrating", total=len(tuned))
            judge = fit(judge_seeds(loaded, tuned, lambda count: progress.update(task, completed=count)))
            loaded.stream_settings["judge"] = judge
            _store(folder, judge=judge)
        task = progress.add_task("judging", total=len(wanted))
        result = quality(judge_seeds(loaded, wanted, lambda count: progress.update(task, completed=count)))
    for name, value in result.items():
        console.print(f"  {name:<20} {value:.3g}")
    if as_json:
        print(json.dumps({**result, "judge": loaded.stream_settings.get("judge", {})}))


@app.command()
def alerts(
    seeds: Annotated[str, typer.Option(help="Test seeds A:B, B left out.")] = "900000:900008",
    seconds: Annotated[int, typer.Option(help="Length of each film.", min=20)] = 60,
    cameras: Annotated[int, typer.Option(help="Films at the same time.", min=1)] = 1,
    model: Annotated[str, typer.Option(help="Checkpoint: a bundled name or a folder.")] = "ov2-nano",
    out: Annotated[Path, typer.Option(help="Folder for logs.")] = Path("runs/eval-alerts"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
) -> None:
    """Twelve watches over unseen worlds, live through RTSP and a real Mosquitto: which events were told, and how soon?"""
    import asyncio

    from ov2_bench.alerts.run import run
    from ov2_bench.alerts.table import print_alerts
    from ov2_bench.errors import RunError
    from rich.console import Console
    from rich.progress import Progress

    from trainer.evaluate.answers import seed_range

    wanted = seed_range(seeds)
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        task = progress.add_task("filming", total=len(wanted))
        try:
            result = asyncio.run(
                run(
                    wanted,
                    seconds=seconds,
                    cameras=cameras,
                    model=model,
                    out=out,
                    done=lambda count: progress.update(task, completed=count),
                )
            )
        except RunError as error:
            typer.echo(f"ov2: {error}", err=True)
            raise typer.Exit(1) from None
    print_alerts(console, result)
    if as_json:
        print(json.dumps(result.as_json()))


@app.command()
def memory(
    seeds: Annotated[str, typer.Option(help="Test seeds A:B, B left out: the films that are asked about.")] = "900000:900010",
    distance: Annotated[float, typer.Option(help="Minutes of other films between a film and its questions.", min=0.1)] = 10.0,
    model: Annotated[str, typer.Option(help="Checkpoint: a bundled name or a folder.")] = "ov2-nano",
    films: Annotated[Path, typer.Option(help="Folder for tokenized films, kept for the next run.")] = Path("runs/memory-films"),
    calibrate: Annotated[
        str | None, typer.Option(help="Training seeds A:B: fit what it knows by sight on them, and write it to the checkpoint.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
) -> None:
    """Ask about the past: with recall by time and by content, without it, and about what was not there."""
    from rich.console import Console
    from rich.progress import Progress

    from ov2.checkpoint import find
    from ov2.model import OV2Model
    from trainer.evaluate.answers import seed_range
    from trainer.evaluate.memory import Films, remember_seeds
    from trainer.evaluate.sight import calibrate as fit_sight

    wanted, folder = seed_range(seeds), find(model)
    console = Console(stderr=True)
    loaded = OV2Model.from_pretrained(model)
    if calibrate is not None:
        own = Films(loaded, films)
        sight = fit_sight(loaded, [own.clip(seed) for seed in seed_range(calibrate, "train")], folder)
        loaded.stream_settings["memory"] = {"seen_at": sight.seen_at}
        _store(folder, memory=loaded.stream_settings["memory"])
        console.print(f"calibrated: {sight}")
    with Progress(console=console) as progress:
        task = progress.add_task("remembering", total=len(wanted))
        result = remember_seeds(loaded, wanted, distance, films, lambda count: progress.update(task, completed=count)).as_json()
    for name, value in result.items():
        console.print(f"  {name:<26} {value}")
    if as_json:
        print(json.dumps(result))


def _store(folder: Path, **fitted: dict[str, Any]) -> None:
    """Settings of the stream, written to the checkpoint beside those that it has."""
    from ov2.checkpoint import STREAM, read_json, write_json

    stored = read_json(folder / STREAM) if (folder / STREAM).exists() else {}
    write_json(folder / STREAM, {**stored, **fitted})


def _print_table(console: object, result: Scores) -> None:
    from rich.console import Console
    from rich.table import Table

    assert isinstance(console, Console)
    table = Table(title=f"{len(result.asked)} questions, asked live")
    for name in ("type", "questions", "exact", "best constant", "gain", "chance"):
        table.add_column(name, justify="left" if name == "type" else "right")
    for name, s in result.by_type.items():
        gain = s.accuracy - s.constant_baseline
        table.add_row(name, str(s.num), f"{s.accuracy:.0%}", f"{s.constant_baseline:.0%}", f"{gain:+.0%}", f"{s.chance:.0%}")
    table.add_section()
    total = (str(len(result.asked)), f"{result.accuracy:.1%}", f"{result.constant_baseline:.1%}", f"{result.mean_gain:+.1%}")
    table.add_row("all", *total, f"{result.chance:.1%}")
    console.print(table)
    console.print(f"when: {result.when_within_1s:.0%} of answers at most one second off")
