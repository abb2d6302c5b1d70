"""Writes groups into a memory until it is killed; says how many are written. Run by tests. No test in here."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ov2.canvas import CanvasGroup
from stream.memory import Memory, MemorySettings


def noise(index: int) -> CanvasGroup:
    """A group of two canvases of 16 blocks."""
    rng = np.random.default_rng(index)
    return CanvasGroup(
        canvases=rng.integers(0, 256, (2, 112, 112, 3), dtype=np.uint8),
        positions=rng.integers(0, 8, (128, 3), dtype=np.int32),
        runs=((float(index), 32),),
        group_id=index,
        start_s=float(index),
        end_s=index + 1.0,
        wall_s=1_700_000_001.0 + index,
        closed_by="quota",
    )


def main(folder: Path) -> None:
    memory = Memory(folder, MemorySettings(max_age_days=36_500.0))
    index = 0
    while True:
        for _ in range(10):
            memory.put(noise(index), num_tokens=40)
            index += 1
        memory.wait()
        print(index, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
