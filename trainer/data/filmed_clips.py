"""Clips on disk, as they were filmed (`clips.py`), or with their vision tokens alone (`encoded_clips.py`).

In: a folder. Out: clips, those of the lowest seeds held out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ov2.canvas import CanvasGroup
from trainer.data.clip_source import ClipSource
from trainer.data.clips import ClipOf, G, load_clip
from trainer.errors import DataError


class ClipFolder(ClipSource[G]):
    """Clips of a folder that `load` reads. Clips that are made meanwhile join in as they come; a resumed run repeats the same samples when
    the folder holds the same clips. Raises `DataError` where there is none to learn from."""

    def __init__(self, folder: Path, num_validation: int, load: Callable[[Path], ClipOf[G]]) -> None:
        self.folder, self.num_validation = folder, num_validation
        self.where = str(folder)
        self._load: Callable[[Path], ClipOf[G]] = load
        self._changed_ns = 0
        self._paths: list[Path] = []
        if not self.training:
            raise DataError(
                f"{folder}: expected more than {num_validation} clips, got {len(self._paths)}; make them: ov2 train --make-data"
            )

    @property
    def paths(self) -> list[Path]:
        """All clips, in order of their seeds."""
        if self.folder.is_dir() and (changed_ns := self.folder.stat().st_mtime_ns) != self._changed_ns:
            self._changed_ns, self._paths = changed_ns, sorted(self.folder.glob("clip_*.npz"))
        return self._paths

    @property
    def training(self) -> list[Path]:
        """All but those held out."""
        return self.paths[self.num_validation :]

    @property
    def num_held_out(self) -> int:
        return min(self.num_validation, len(self.paths))

    def held_out(self, index: int) -> ClipOf[G]:
        return self._load(self.paths[index])

    def clip(self, rng: np.random.Generator) -> ClipOf[G]:
        paths = self.training
        return self._load(paths[int(rng.integers(len(paths)))])


class FilmedClips(ClipFolder[CanvasGroup]):
    """With canvases: the encoder learns, too."""

    def __init__(self, folder: Path, num_validation: int) -> None:
        super().__init__(folder, num_validation, load_clip)
