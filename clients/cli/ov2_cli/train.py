"""`ov2 train`: make clips, train a checkpoint on them, write its record.

In: a training YAML. Out: `OUT/checkpoint` (released layout), `OUT/curves.csv`, `OUT/loss.png`, `OUT/state` to resume from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[Path | None, typer.Option(help="Training YAML; the bundled nano run when left out.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/nano"),
    make_data: Annotated[bool, typer.Option("--make-data", help="Only make the clips that are still missing.")] = False,
    workers: Annotated[int, typer.Option(help="Processes that make clips.", min=1)] = 2,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last saved state.")] = False,
) -> None:
    """Train a checkpoint on the generated camera world, through the tokenizer and prompt of the service."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from trainer.config import BUNDLED, load_config
    from trainer.data import make_clips
    from trainer.loop import train as run
    from trainer.nano import new_model

    settings = load_config(config or BUNDLED)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        clips = progress.add_task("clips", total=settings.data.num_clips)
        make_clips(settings, workers=workers, done=lambda count: progress.update(clips, completed=count))
        if make_data:
            return
        steps = progress.add_task("training", total=settings.num_steps)

        def report(step: int, values: dict[str, float]) -> None:
            progress.update(steps, completed=step + 1, description=f"training, loss {values['loss']:.3f}")

        run(settings, out, new_model(settings, out / "vocabulary"), resume=resume, report=report)
    typer.echo(f"checkpoint: {out / 'checkpoint'}   curves: {out / 'loss.png'}")
