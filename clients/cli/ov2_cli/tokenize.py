"""`ov2 tokenize`: what the tokenizer makes of a source, group by group.

In: a file, an RTSP address, or `listen:rtsp://...`. Out: a line per group, and pictures of the canvases on request.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ov2.canvas import CanvasGroup


def tokenize(
    source: Annotated[str, typer.Argument(help="A file, rtsp://..., or listen:rtsp://...")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per group.")] = False,
    png: Annotated[Path | None, typer.Option(help="Folder for pictures of the canvases.")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="A tokenizer setting, KEY=VALUE.")] = None,
    model: Annotated[str | None, typer.Option(help="Take the settings that this checkpoint was trained with.")] = None,
    timeout_s: Annotated[float, typer.Option(help="Seconds to wait for a camera.")] = 10.0,
) -> None:
    """Cut a stream into groups and canvases, and print them."""
    from stream.sources import open_source
    from stream.tokenizer.budget import group_line
    from stream.tokenizer.settings import settings_from
    from stream.tokenizer.tokenizer import Tokenizer

    settings = settings_from(_checkpoint_settings(model) | assignments(setting or []))
    tokenizer = Tokenizer(settings)
    index = 0

    def show(groups: list[CanvasGroup]) -> None:
        nonlocal index
        for group in groups:
            line = group_line(group, index)
            typer.echo(json.dumps(line) if as_json else _row(line))
            if png:
                _save_png(group, png, index)
            index += 1

    with open_source(source, timeout_s=timeout_s) as packets:
        for packet in packets:
            show(tokenizer.push(packet))
    show(tokenizer.flush())


def _checkpoint_settings(model: str | None) -> dict[str, object]:
    if model is None:
        return {}
    from ov2.checkpoint import stream_settings

    return dict(stream_settings(model).get("tokenizer", {}))


def assignments(pairs: list[str]) -> dict[str, object]:
    """KEY=VALUE pairs of the command line."""
    import yaml

    made: dict[str, object] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign:
            raise typer.BadParameter(f"--set {pair}: expected KEY=VALUE")
        made[key] = yaml.safe_load(value)
    return made


def _row(line: dict[str, object]) -> str:
    return (
        f"group {line['index']:>4}  {line['start_s']:8.2f} - {line['end_s']:8.2f} s  {line['closed_by']:<13}"
        f"  cost {line['cost']:>10.1f}  {line['canvases']} canvases  {line['llm_tokens']:>4} tokens"
    )


def _save_png(group: CanvasGroup, folder: Path, index: int) -> None:
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(list(group.canvases), axis=1)).save(folder / f"group_{index:05d}.png")
