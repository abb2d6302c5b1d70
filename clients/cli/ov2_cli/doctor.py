"""`ov2 doctor`: what a camera sends, what we make of it, and what to change.

In: a file, or an address. Out: one screen, or one JSON object; exit code 0 when the stream is usable, 1 when advice of severity bad was
found, 2 when it cannot be opened: then a ladder shows which step of the way breaks.
"""

from __future__ import annotations

import io
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from stream.doctor.connection_check import CheckStep
    from stream.doctor.report import Report
    from stream.errors import StreamError

PROBE_S = 5.0
"""Longest wait for one step of the ladder."""
SCREEN_WIDTH = 100


def doctor(
    source: Annotated[str, typer.Argument(help="A file, rtsp://..., or listen:rtsp://...")],
    seconds: Annotated[
        float | None,
        typer.Option(min=1.0, help="How long to watch: 15 s of a camera, the first 60 s of a file, if not told."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    svg: Annotated[Path | None, typer.Option(help="Save the page as a picture, too; credentials are not on it.")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="A tokenizer setting, KEY=VALUE.")] = None,
    timeout_s: Annotated[float, typer.Option(help="Seconds to wait for a camera.")] = 10.0,
) -> None:
    """Look at a camera: what it sends, what it costs, and what to change in its settings."""
    from rich.console import Console

    from ov2_cli.doctor_screen import draw_ladder, draw_report
    from stream.errors import CodecError, SourceError

    logging.getLogger("stream").setLevel(logging.ERROR)  # what it would warn of is in the report
    screen = Console(width=None if Console().is_terminal else SCREEN_WIDTH)
    if as_json:
        screen.file = io.StringIO()
    screen.record = svg is not None
    try:
        report = _visit(source, seconds, timeout_s, setting or [])
    except (SourceError, CodecError) as error:
        rungs = _climb(source, timeout_s, error)
        _show(screen, draw_ladder(source, rungs), svg)
        if as_json:
            typer.echo(json.dumps({"usable": False, "error": str(error), "ladder": [asdict(rung) for rung in rungs]}))
        raise
    _show(screen, draw_report(report), svg)
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    raise typer.Exit(0 if report.usable else 1)


def _show(screen: Console, page: RenderableType, svg: Path | None) -> None:
    screen.print(page)
    if svg is not None:
        screen.save_svg(str(svg), title="ov2 doctor")


def _visit(source: str, seconds: float | None, timeout_s: float, assigned: list[str]) -> Report:
    """With a progress bar on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from ov2_cli.group_lines import assignments
    from stream.doctor.report import visit
    from stream.tokenizer.settings import settings_from

    settings = settings_from(assignments(assigned))
    columns = TextColumn("{task.description:<22}"), BarColumn(60), TextColumn("{task.percentage:>3.0f} %")
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("loading", total=1.0)
        return visit(
            source,
            seconds=seconds,
            timeout_s=timeout_s,
            settings=settings,
            tell=lambda what, share: progress.update(task, description=what, completed=share),
        )


def _climb(source: str, timeout_s: float, error: StreamError) -> list[CheckStep]:
    from stream.doctor.connection_check import climb

    return climb(source, failure=str(error), timeout_s=min(timeout_s, PROBE_S))
