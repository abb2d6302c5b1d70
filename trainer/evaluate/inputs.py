"""What a model is shown of a film: groups of canvases as they close, and at given moments the one that is still open.

In: a film, the name of an input, tokenizer settings, moments. Out: one `FilmStep` for each moment. An input is a function that makes groups
of a film: add it to `INPUTS`, and every evaluation takes it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ov2.canvas import CanvasGroup
from stream.sources import open_source
from stream.tokenizer.settings import TokenizerSettings
from stream.tokenizer.tokenizer import Tokenizer
from trainer.errors import ConfigError


@dataclass(frozen=True, slots=True)
class FilmStep:
    """The way from one moment to the next: groups that closed on it, in order, and the open group at `at_s`, None right after a cut."""

    at_s: float
    groups: tuple[CanvasGroup, ...]
    peek: CanvasGroup | None


def codec_steps(film: Path, settings: TokenizerSettings, times_s: Sequence[float]) -> Iterator[FilmStep]:
    """Adaptive groups of the service's own tokenizer, fed with packets in stream order."""
    tokenizer, waiting = Tokenizer(settings), list(times_s)
    closed: list[CanvasGroup] = []
    with open_source(str(film)) as packets:
        for packet in packets:
            while waiting and packet.pts_s > waiting[0]:
                yield FilmStep(waiting.pop(0), tuple(closed), tokenizer.peek())
                closed = []
            closed.extend(tokenizer.push(packet))


Steps = Callable[[Path, TokenizerSettings, Sequence[float]], Iterator[FilmStep]]
INPUTS: dict[str, Steps] = {"codec": codec_steps}
"""By the name that `--input` takes."""


def steps_of(name: str) -> Steps:
    """The input of that name. Raises ConfigError for an unknown one."""
    if name in INPUTS:
        return INPUTS[name]
    near = difflib.get_close_matches(name, INPUTS, n=1, cutoff=0.0)[0]
    raise ConfigError(f"input: expected one of {', '.join(INPUTS)}, got {name}; set --input {near}")
