"""`ov2 replay`: a recorded packet log through the tokenizer again, group by group.

In: the folder of a packet log. Out: what `ov2 tokenize` prints of a live camera: the very same groups.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ov2_cli.group_lines import PNG_HELP, GroupLines, assignments, checkpoint_settings

if TYPE_CHECKING:
    from stream.packetlog import PacketLog, Start
    from stream.packetlog.replay import LogEntry
    from stream.tokenizer.inputs import AnyTokenizer

TIME_HELP = "Epoch seconds, ISO 8601, seconds from the log's beginning (90), or before its end (-30)."


def replay(
    folder: Annotated[Path, typer.Argument(help="The folder of a packet log.")],
    speed: Annotated[float, typer.Option(min=0.0, help="1: as it came; 2: twice as fast; 0: as fast as it goes.")] = 0.0,
    start: Annotated[str | None, typer.Option(help=TIME_HELP)] = None,
    end: Annotated[str | None, typer.Option(help=TIME_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per group.")] = False,
    png: Annotated[Path | None, typer.Option(help=PNG_HELP)] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="A tokenizer setting in place of the recorded one.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Settings of this checkpoint in place of the recorded ones.")] = None,
) -> None:
    """Tokenize a recorded packet log, with the settings that the live camera had unless others are given."""
    from stream.packetlog import PacketLog
    from stream.packetlog.replay import paced, tokenized
    from stream.tokenizer.inputs import new_tokenizer
    from stream.tokenizer.settings import recorded_settings

    given = checkpoint_settings(model) | assignments(setting or [])
    log = PacketLog(folder)
    lines = GroupLines(as_json=as_json, png=png)

    def tokenizer_of(begun: Start | None) -> AnyTokenizer:
        recorded = dict(begun.tokenizer or {}) if begun is not None else {}
        lines.settings = recorded_settings(recorded, given)
        return new_tokenizer(lines.settings)

    with lines, closing(_entries(log, start, end)) as entries:
        lines.show(tokenized(paced(entries, speed), tokenizer_of))
    if log.num_damaged or log.num_missing:
        typer.echo(f"ov2: the log has {log.num_damaged} damaged stretches, and {log.num_missing} packets are missing", err=True)


def _entries(log: PacketLog, start: str | None, end: str | None) -> Generator[LogEntry]:
    from stream.packetlog.when import moment

    if start is None and end is None:
        return log.entries()
    covers = log.range()
    return log.entries(*(None if text is None else moment(text, covers) for text in (start, end)))
