"""What a model is shown of a film: groups of canvases as they close, and at given moments the one that is still open.

In: a film, the name of an input, tokenizer settings, moments. Out: one `FilmStep` for each moment.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ov2.canvas import CanvasGroup
from stream.sources import open_source
from stream.tokenizer.inputs import new_tokenizer
from stream.tokenizer.sampled_frames import SLOTS
from stream.tokenizer.settings import INPUTS, TokenizerSettings
from trainer.errors import ConfigError


@dataclass(frozen=True, slots=True)
class FilmStep:
    """The way from one moment to the next: groups that closed on it, in order, and the open group at `at_s`, None right after a cut."""

    at_s: float
    groups: tuple[CanvasGroup, ...]
    peek: CanvasGroup | None


def film_steps(film: Path, settings: TokenizerSettings, times_s: Sequence[float]) -> Iterator[FilmStep]:
    """Groups of the service's own tokenizer, fed with packets in stream order."""
    tokenizer, waiting = new_tokenizer(settings), list(times_s)
    closed: list[CanvasGroup] = []
    with open_source(str(film)) as packets:
        for packet in packets:
            while waiting and packet.pts_s > waiting[0]:
                yield FilmStep(waiting.pop(0), tuple(closed), tokenizer.peek())
                closed = []
            closed.extend(tokenizer.push(packet))


def check_input(name: str) -> None:
    """Raises ConfigError for an unknown input."""
    if name not in INPUTS:
        near = difflib.get_close_matches(name, INPUTS, n=1, cutoff=0.0)[0]
        raise ConfigError(f"input: expected one of {', '.join(INPUTS)}, got {name}; set --input {near}")


def read_by(name: str, settings: TokenizerSettings) -> TokenizerSettings:
    """The settings, for the input of that name at the same token rate. Frames come in groups of four, as published. Raises ConfigError for an
    unknown one."""
    check_input(name)
    slots = SLOTS if name == "frames" else settings.canvases_per_group
    return replace(settings, input=name, canvases_per_group=slots)
