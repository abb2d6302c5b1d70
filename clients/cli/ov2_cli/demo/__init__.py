"""`ov2 demo`: the main job, live, on one machine, with nothing to set up.

A camera process publishes one world over RTSP; the service watches it; a separate MQTT client prints the alerts; questions are asked at
scripted moments and compared with the truth. Out: a live screen, a summary, `demo-report.json`, exit code 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SHORTEST_S = 20


def demo(
    seconds: Annotated[int, typer.Option(help="How long the camera films.", min=SHORTEST_S)] = 60,
    seed: Annotated[int, typer.Option(help="World seed; 900000 and up are unseen in training.")] = 900007,
    report: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("demo-report.json"),
    model: Annotated[str, typer.Option(help="Checkpoint.")] = "ov2-nano",
    out: Annotated[Path, typer.Option(help="Folder for pictures and logs.")] = Path("demo-out"),
) -> None:
    """Watch a generated camera live: alerts, questions, answers beside the truth."""
    import asyncio

    from ov2_cli.demo.run import run

    raise typer.Exit(asyncio.run(run(seconds=seconds, seed=seed, report=report, model=model, out=out)))
