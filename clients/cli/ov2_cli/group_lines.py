"""Groups as `ov2 tokenize` and `ov2 replay` show them.

In: `CanvasGroup`s. Out: a line per group, and pictures of the canvases on request.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ov2.canvas import CanvasGroup


class GroupLines:
    """`show` groups as they come; they are counted from 0."""

    def __init__(self, *, as_json: bool, png: Path | None) -> None:
        self._as_json = as_json
        self._png = png
        self._index = 0

    def show(self, groups: Iterable[CanvasGroup]) -> None:
        from stream.tokenizer.budget import group_line

        for group in groups:
            line = group_line(group, self._index)
            typer.echo(json.dumps(line) if self._as_json else _row(line))
            if self._png:
                _save_png(group, self._png, self._index)
            self._index += 1


def checkpoint_settings(model: str | None) -> dict[str, object]:
    """The tokenizer settings that a checkpoint was trained with."""
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
        f"  {'active' if line['active'] else 'still':<6}  cost {line['cost']:>10.4g}"
        f"  {line['canvases']} canvases  {line['llm_tokens']:>4} tokens"
    )


def _save_png(group: CanvasGroup, folder: Path, index: int) -> None:
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(list(group.canvases), axis=1)).save(folder / f"group_{index:05d}.png")
