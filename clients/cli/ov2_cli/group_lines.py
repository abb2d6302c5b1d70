"""Groups as `ov2 tokenize` and `ov2 replay` show them.

In: `CanvasGroup`s. Out: a line per group; on request pictures of the canvases, and one of tokens over time.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import typer

from ov2_cli.tokens_plot import MISSING, GroupTokens, save_tokens

if TYPE_CHECKING:
    from ov2.canvas import CanvasGroup
    from stream.tokenizer.settings import TokenizerSettings

PNG_HELP = "Folder for pictures of the canvases, and tokens.png: tokens over time under the cost."
PLOTTED = 20_000
"""Groups of a plot at most, the newest: those of half a day or more."""


class GroupLines:
    """`with GroupLines(...) as lines`: `show` groups as they come; they are counted from 0. `png`: a folder for their canvases and, at the end,
    whatever ended it, for tokens over time. `settings`: those that the groups shown next are made with."""

    def __init__(self, *, as_json: bool, png: Path | None) -> None:
        self.settings: TokenizerSettings | None = None
        self._as_json = as_json
        self._png = png
        self._index = 0
        self.shown: deque[GroupTokens] = deque(maxlen=PLOTTED)
        self._plots = False

    def __enter__(self) -> Self:
        self._plots = self._png is not None and _can_plot()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._png is not None and self._plots:
            save_tokens(self.shown, self._png / "tokens.png")

    def show(self, groups: Iterable[CanvasGroup]) -> None:
        from stream.tokenizer.budget import group_line

        for group in groups:
            line = group_line(group, self._index)
            if self._plots:
                self.shown.append(self._tokens_of(line))  # first: whatever was told is drawn
            typer.echo(json.dumps(line) if self._as_json else _row(line))
            if self._png:
                _save_png(group, self._png, self._index)
            self._index += 1

    def _tokens_of(self, line: dict[str, Any]) -> GroupTokens:
        s = self.settings
        return GroupTokens(
            start_s=line["start_s"],
            end_s=line["end_s"],
            closed_by=line["closed_by"],
            is_active=line["active"],
            cost=line["cost"],
            tokens=line["llm_tokens"],
            token_rate=s.token_rate if s is not None and s.quota is None else None,
        )


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


def _can_plot() -> bool:
    """Told at the beginning rather than after an hour. Canvases are drawn without it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        typer.echo(f"ov2: {MISSING}", err=True)
        return False
    return True


def _save_png(group: CanvasGroup, folder: Path, index: int) -> None:
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(list(group.canvases), axis=1)).save(folder / f"group_{index:05d}.png")
