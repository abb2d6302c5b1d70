"""The one `ov2` command: the top floor.

In: a command line. Out: the command's own output and exit code: 0 fine, 1 a run that found something wrong, 2 bad input, told in one line.
Every command imports what it needs when it runs, so that `ov2 --help` is quick.
"""

from __future__ import annotations

import os
import sys

import typer

from ov2_cli import ask, bench, clip, demo, doctor, evaluate, events, macroblocks, record, replay, serve, train, watch
from ov2_cli import tokenize_source as tokenize
from ov2_cli.threads import wait_passively

app = typer.Typer(
    help="Ask a live camera a question, and be told when something happens.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command(name="demo")(demo.demo)
app.command(name="serve")(serve.serve)
app.command(name="ask")(ask.ask)
app.command(name="doctor")(doctor.doctor)
app.command(name="events")(events.events)
app.command(name="tokenize")(tokenize.tokenize)
app.command(name="record")(record.record)
app.command(name="replay")(replay.replay)
app.command(name="clip")(clip.clip)
app.command(name="macroblocks")(macroblocks.macroblocks)
app.command(name="train")(train.train)
app.add_typer(watch.app, name="watch")
app.add_typer(evaluate.app, name="eval")
app.add_typer(bench.app, name="bench")

INPUT_ERRORS = ("OV2Error", "StreamError", "TrainerError", "WorldError", "ClientError", "RunError")
"""Roots of the packages' error trees: what they raise is about the input, and is told without a traceback."""


def main() -> None:
    """Run the command line; an error of ours ends it with one line on standard error and exit code 2."""
    wait_passively(os.environ)  # nothing has loaded torch yet: commands do so when they run
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not any(kind.__name__ in INPUT_ERRORS for kind in type(error).__mro__):
            raise
        typer.echo(f"ov2: {error}", err=True)
        sys.exit(2)
