"""A memory of made-up groups, and words that it finds them by. No test in here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from small_model import made_group

from stream.memory import Memory, MemorySettings, Summariser

FOR_EVER = MemorySettings(max_age_days=36_500.0)
BEGIN = 1_700_000_000.0
"""Wall time of media second 0 of made-up groups."""
NOW = BEGIN + 3600.0
WORDS = ("dog", "car", "red", "person")


def axis_summariser() -> Summariser:
    """Each word is one direction; a group shows it from a score of 5 on."""
    return Summariser(basis_DB=np.eye(8, 4, dtype=np.float32), words=WORDS, words_WB=np.eye(4, dtype=np.float32), seen_at=5.0)


def tokens_of(*blocks: tuple[str, ...]) -> torch.Tensor:
    """Vision tokens [V, 8] of which each block shows some words; and two that show nothing."""
    rows = [[10.0 * (word in block) for word in WORDS] + [0.1] * 4 for block in (*blocks, (), ())]
    return torch.tensor(rows)


def filled(folder: Path, shows: dict[int, tuple[tuple[str, ...], ...]], count: int = 60, **options: object) -> Memory:
    """A group per 10 seconds; `shows` says what blocks of some of them show."""
    memory = Memory(folder, FOR_EVER, summariser=axis_summariser(), clock=lambda: NOW, **options)  # type: ignore[arg-type]
    for index in range(count):
        group = made_group(index, 10.0 * index, canvases=1, size=(28, 28), span_s=10.0)
        memory.put(group, num_tokens=50, tokens=tokens_of(*shows.get(index, ())))
    memory.wait()
    return memory
