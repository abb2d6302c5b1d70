"""Where groups are, when they were, what they show: the part of the memory that is kept in main memory.

In: notes of records as they are written. Out: rows by time, and their scores for phrases. Arrays grow by doubling; rows of
deleted files leave from the front.

Shape letters: G groups, K vectors of a summary, W known words, P phrases.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from stream.memory.phrases import Phrases
from stream.memory.record import Note
from stream.memory.segments import Place, SegmentFile
from stream.memory.summary import Summariser

UNKNOWN = -1e9
"""Score of a group without a summary: found by time alone."""


@dataclass(frozen=True, slots=True)
class Row:
    """One group: where it is, UTC epoch seconds of its beginning and end, its tokens."""

    file: SegmentFile
    place: Place
    start: float
    end: float
    num_tokens: int


class FileIndex:
    """Rows of one file. Without a `summariser` they are found by time alone."""

    def __init__(self, file: SegmentFile, summariser: Summariser | None) -> None:
        self.file, self._summariser = file, summariser
        self.rows: list[Row] = []
        self._with_words: list[int] = []
        self._words_GKW = np.empty((0, 0, 0), np.int16)

    def add(self, place: Place, note: Note) -> None:
        summariser, summary_KB, row = self._summariser, note.summary_KD, len(self.rows)
        self.rows.append(Row(self.file, place, note.start, note.end, note.num_tokens))
        if summariser is None or summary_KB is None or summary_KB.shape[1] != summariser.basis_DB.shape[1]:
            return
        words_KW, used = summariser.word_scores(summary_KB, note.scale), len(self._with_words)
        if used == len(self._words_GKW):
            bigger = np.zeros((max(64, 2 * used), *words_KW.shape), np.int16)
            if used:
                bigger[:used] = self._words_GKW
            self._words_GKW = bigger
        self._words_GKW[used] = words_KW
        self._with_words.append(row)

    def scores(self, phrases: Phrases) -> np.ndarray:
        """[G, P] of all rows, those without a summary `UNKNOWN`."""
        scores_GP = np.full((len(self.rows), len(phrases)), UNKNOWN, np.float32)
        if self._summariser is not None and self._with_words:
            scores_GP[self._with_words] = self._summariser.scores(phrases, self._words_GKW[: len(self._with_words)])
        return scores_GP


@dataclass(slots=True)
class Index:
    """All files, oldest first."""

    files: deque[FileIndex] = field(default_factory=deque)

    @property
    def num_rows(self) -> int:
        return sum(len(file.rows) for file in self.files)

    @property
    def num_bytes(self) -> int:
        return sum(file.file.num_bytes for file in self.files)

    def rows(self) -> list[Row]:
        """As they were written."""
        return [row for file in self.files for row in file.rows]

    def scores(self, phrases: Phrases) -> np.ndarray:
        """[G, P] in the order of `rows`."""
        parts = [file.scores(phrases) for file in self.files]
        return np.concatenate(parts) if parts else np.empty((0, len(phrases)), np.float32)
