"""`ov2 clip`: an mp4 of a stretch of a packet log, without encoding anything again.

In: the folder of a packet log, and two times. Out: the file, and what it truly covers.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ov2_cli.replay import TIME_HELP

if TYPE_CHECKING:
    from stream.packetlog import Clip


def clip(
    folder: Annotated[Path, typer.Argument(help="The folder of a packet log.")],
    out: Annotated[Path, typer.Argument(help="The mp4 file to write.")],
    start: Annotated[str, typer.Option(help=TIME_HELP)],
    end: Annotated[str, typer.Option(help=TIME_HELP)],
    as_json: Annotated[bool, typer.Option("--json", help="What was written, as one JSON object.")] = False,
) -> None:
    """Cut a clip out of a packet log. It begins at the key frame at or before the start; the true times are told."""
    from stream.packetlog import PacketLog, cut_clip
    from stream.packetlog.when import moment

    log = PacketLog(folder)
    covers = log.range()
    cut = cut_clip(log, moment(start, covers), moment(end, covers), out)
    typer.echo(json.dumps(asdict(cut) | {"path": str(cut.path)}) if as_json else _told(cut))


def _told(cut: Clip) -> str:
    lines = [
        f"{cut.path}: {_iso(cut.start_s)} to {_iso(cut.end_s)}, {cut.duration_s:.1f} s, {cut.num_frames} pictures of "
        f"{cut.width}x{cut.height} {cut.codec}, {cut.num_bytes} bytes"
    ]
    lines += [f"nothing was recorded from {_iso(start_s)} to {_iso(end_s)}" for start_s, end_s in cut.gaps]
    return "\n".join(lines + ([f"ends early: {cut.cut_short}"] if cut.cut_short else []))


def _iso(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds")
