"""`ov2 train`: make clips, train a checkpoint on them, write its record.

In: a training YAML. Out: `OUT/checkpoint` (released layout), `OUT/curves.csv`, `OUT/loss.png`, `OUT/state` to resume from.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

NUM_STAGES = 4

if TYPE_CHECKING:
    from rich.progress import Progress

    from trainer.config import TrainConfig


def train(
    config: Annotated[Path | None, typer.Option(help="Training YAML; the bundled nano run when left out.")] = None,
    stage: Annotated[
        str | None, typer.Option(help="Stages of the curriculum instead: N, or A-B one after another, in folders of their own.")
    ] = None,
    curriculum: Annotated[Path | None, typer.Option(help="Folder of other YAMLs, stage1.yaml to stage4.yaml.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/nano"),
    make_data: Annotated[bool, typer.Option("--make-data", help="Only make the clips that are still missing.")] = False,
    workers: Annotated[int, typer.Option(help="Processes that make clips.", min=1)] = 2,
    processes: Annotated[
        int, typer.Option(help="Processes that train together; each takes batches of its own in every step.", min=1)
    ] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last saved state.")] = False,
) -> None:
    """Train a checkpoint on the generated camera world, through the tokenizer and prompt of the service."""
    from trainer.config import BUNDLED, load_config

    if stage is None:
        _run(load_config(config or BUNDLED), out, make_data, workers, processes, resume)
        return
    if config is not None:
        raise typer.BadParameter("expected --config or --stage, got both", param_hint="--stage")
    for number in _stages(stage):
        settings, folder = load_config((curriculum or BUNDLED.parent) / f"stage{number}.yaml"), out / f"stage{number}"
        if number > 1:
            settings = replace(settings, init_from=str(out / f"stage{number - 1}" / "checkpoint"))
        _run(settings, folder, make_data, workers, processes, resume and (folder / "state").exists())


def _stages(text: str) -> range:
    """Of "N" or "A-B"."""
    first, _, last = text.partition("-")
    if not (first.isdigit() and (last or first).isdigit() and 1 <= int(first) <= int(last or first) <= NUM_STAGES):
        raise typer.BadParameter(f"expected N or A-B, stages 1 to {NUM_STAGES}, got {text}", param_hint="--stage")
    return range(int(first), int(last or first) + 1)


def _run(settings: TrainConfig, out: Path, make_data: bool, workers: int, processes: int, resume: bool) -> None:
    from trainer.data.make import make_clips
    from trainer.train.processes import run_on, this_process

    process = this_process()
    with process.main_process_first(), _progress() as progress:
        clips = progress.add_task("clips", total=settings.data.num_clips)
        make_clips(settings, workers=workers, done=lambda count: progress.update(clips, completed=count))
    if make_data:
        return
    if processes > 1:
        run_on(processes, _train, settings, out, resume)
    else:
        _train(settings, out, resume)
    if process.is_main_process:
        typer.echo(f"checkpoint: {out / 'checkpoint'}   curves: {out / 'loss.png'}")


def _train(settings: TrainConfig, out: Path, resume: bool) -> None:
    """The run in one process; the first of several shows its progress."""
    from trainer.train.loop import train as run
    from trainer.train.new_model import new_model

    with _progress() as progress:
        steps = progress.add_task("training", total=settings.num_steps)

        def report(step: int, values: dict[str, float]) -> None:
            stage, _ = settings.stage_at(step)
            # a stage that only names has no answers to lose
            told = f"loss {values['loss']:.3f}" if "loss" in values else f"naming {values['naming']:.3f}"
            progress.update(steps, completed=step + 1, description=f"{stage.name}, {told}", refresh=True)

        run(settings, out, new_model(settings, out / "vocabulary"), resume=resume, report=report)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A progress bar on standard error, in the first process alone."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from trainer.train.processes import this_process

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not this_process().is_main_process) as progress:
        yield progress
