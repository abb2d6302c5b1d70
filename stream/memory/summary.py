"""What a group shows, in a kilobyte: a few of the model's own vision tokens, to be met by the words of a question.

In: vision tokens of a group, as the encoder made them for the session; words. Out: int8 vectors, and scores.

A vision token stands among the words of the language model, so a word's embedding times a token says how much the block shows
of it: no second model is needed, and nothing is computed for it but what the session needed anyway. Tokens are told apart by
their directions: of a group, the `NUM_VECTORS` that lie furthest from each other are kept (walls and lawn are alike, a dog is
not), in a basis of `BASIS_SIZE` directions in which nearly all of them lies. Basis and threshold come from the checkpoint
(`memory` in stream.json and memory.npz; `ov2 eval memory --calibrate`).

Shape letters: V vision tokens, D width of the language model, B basis, K vectors of a summary, W words, G groups, P phrases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stream.memory.phrases import Phrases

NUM_VECTORS = 16
BASIS_SIZE = 64
FILE = "memory.npz"
STEP = 1 / 256
MOST = 32_767
"""Scores are kept as 16-bit numbers of this step: a hundred thousand groups are searched in milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summariser:
    """`basis_DB`: orthonormal directions. `words_WD`: embeddings of the words it knows by sight, `words` their names; `seen_at`: the score from
    which on a group shows what a phrase names."""

    basis_DB: np.ndarray
    words: tuple[str, ...]
    words_WB: np.ndarray
    seen_at: float

    @classmethod
    def of(cls, folder: Path | None, settings: Mapping[str, Any]) -> Summariser | None:
        """That of a checkpoint; None when it was not calibrated for it. `settings`: `memory` of its stream.json."""
        if folder is None or not (folder / FILE).is_file() or "seen_at" not in settings:
            return None
        with np.load(folder / FILE) as data:
            return cls(
                basis_DB=data["basis"].astype(np.float32),
                words=tuple(str(word) for word in data["words"]),
                words_WB=data["embeddings"].astype(np.float32),
                seen_at=float(settings["seen_at"]),
            )

    def summarise(self, tokens_VD: np.ndarray) -> tuple[np.ndarray, float]:
        """int8 [K, B], and what to multiply it by."""
        tokens_VB = tokens_VD @ self.basis_DB
        chosen_KB = _furthest(tokens_VB, NUM_VECTORS)
        scale = float(np.abs(chosen_KB).max()) / 127 or 1.0
        return np.round(chosen_KB / scale).astype(np.int8), scale

    def word_scores(self, summary_KB: np.ndarray, scale: float) -> np.ndarray:
        """int16 [K, W] in steps of `STEP`: how much each vector shows of each word that is known."""
        scores_KW = (summary_KB.astype(np.float32) @ self.words_WB.T) * (scale / STEP)
        steps_KW: np.ndarray = np.clip(np.round(scores_KW), -MOST, MOST).astype(np.int16)
        return steps_KW

    def scores(self, phrases: Phrases, words_GKW: np.ndarray) -> np.ndarray:
        """[G, P]: how much of each phrase one block of a group shows: of its words the least, of the blocks the best."""
        index = {word: number for number, word in enumerate(self.words)}
        scores_GP = np.empty((len(words_GKW), len(phrases)), np.float32)
        for number, phrase in enumerate(phrases):
            least_GK = words_GKW[:, :, index[phrase[0]]]
            for word in phrase[1:]:
                least_GK = np.minimum(least_GK, words_GKW[:, :, index[word]])
            scores_GP[:, number] = least_GK.max(1)
        scores_GP *= STEP
        return scores_GP


def _furthest(x_VB: np.ndarray, num: int) -> np.ndarray:
    """So many of them, each the furthest from those before (Gonzalez 1985); the first is the furthest from their mean. Always `num` rows."""
    distance_V = np.linalg.norm(x_VB - x_VB.mean(0), axis=1)
    chosen = [int(distance_V.argmax())]
    distance_V = np.linalg.norm(x_VB - x_VB[chosen[0]], axis=1)
    while len(chosen) < num:
        chosen.append(int(distance_V.argmax()))
        distance_V = np.minimum(distance_V, np.linalg.norm(x_VB - x_VB[chosen[-1]], axis=1))
    return x_VB[chosen]


def basis_of(tokens: Sequence[np.ndarray], size: int = BASIS_SIZE) -> np.ndarray:
    """The `size` directions in which most of the tokens lies, [D, B]."""
    x_VD = np.concatenate(list(tokens)).astype(np.float64)
    _, vectors_DD = np.linalg.eigh(x_VD.T @ x_VD)
    return np.ascontiguousarray(vectors_DD[:, ::-1][:, :size], dtype=np.float32)
