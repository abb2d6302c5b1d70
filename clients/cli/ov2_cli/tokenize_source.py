"""`ov2 tokenize`: what the tokenizer makes of a source, group by group.

In: a file, an RTSP address, or `listen:rtsp://...`. Out: a line per group; on request pictures of the
canvases, and of tokens over time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ov2_cli.group_lines import PNG_HELP, GroupLines, assignments, checkpoint_settings


def tokenize(
    source: Annotated[str, typer.Argument(help="A file, rtsp://..., or listen:rtsp://...")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per group.")] = False,
    png: Annotated[Path | None, typer.Option(help=PNG_HELP)] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="A tokenizer setting, KEY=VALUE.")] = None,
    model: Annotated[str | None, typer.Option(help="Take the settings that this checkpoint was trained with.")] = None,
    eager: Annotated[
        bool, typer.Option(help="Decode every picture, also those that are never shown. The groups are the same.")
    ] = False,
    timeout_s: Annotated[float, typer.Option(help="Seconds to wait for a camera.")] = 10.0,
) -> None:
    """Cut a stream into groups and canvases, and print them."""
    from stream.codec.codec import CATCH_UP_S
    from stream.sources import open_source
    from stream.tokenizer.inputs import new_tokenizer
    from stream.tokenizer.settings import settings_from

    settings = settings_from(checkpoint_settings(model) | assignments(setting or []))
    tokenizer = new_tokenizer(settings, catch_up_s=0.0 if eager else CATCH_UP_S)
    with GroupLines(as_json=as_json, png=png) as lines:
        lines.settings = tokenizer.settings
        with open_source(source, timeout_s=timeout_s) as packets:
            for packet in packets:
                lines.show(tokenizer.push(packet))
        lines.show(tokenizer.flush())
