"""A bank of real vision tokens by what a block shows and where, for samples of worlds that nobody filmed.

In: filmed clips, and the tokens that an encoder which has learned to see made of them. Out: for blocks that are known by their words, places
and moments alone, tokens that the encoder made of like ones. Drawing them is much quicker than film, codec and encoder, and the language
layers, which have most to learn, see the same variety of tokens.

Shape letters: V blocks, W words, D width of the language model, B blocks of the bank, U different kinds of blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trainer.data.clips import Clip, ClipOf
from trainer.data.shown_group import ShownGroup
from trainer.errors import DataError
from trainer.train.naming import WORDS, grid_of, runs_of, words_of_blocks
from trainer.world import World, WorldState

NUM_PHASES = 4
"""Quarters of a turn of the rope that are told apart: counting jumps is seeing them."""
FILE = "tokens.npz"


class TokenBank:
    """`kinds`: uint8 [B, W + NUM_PHASES], what each block shows; `places`: int [B], row times columns plus column; `tokens`: float16
    [B, D]. All of one grid, `grid` rows and columns of blocks."""

    def __init__(self, kinds: np.ndarray, places: np.ndarray, tokens: np.ndarray, grid: tuple[int, int]) -> None:
        self.grid = grid
        self._known, kind_of = np.unique(kinds, axis=0, return_inverse=True)
        order = np.lexsort((places, kind_of.reshape(-1)))
        self._kinds, self._places, self._tokens = kinds, places[order], tokens[order]
        self._saved = kinds[order]
        self._ends = np.searchsorted(kind_of.reshape(-1)[order], np.arange(len(self._known) + 1))
        self._index = {kind.tobytes(): index for index, kind in enumerate(self._known)}

    @property
    def width(self) -> int:
        """Of a token."""
        return int(self._tokens.shape[1])

    def __len__(self) -> int:
        return len(self._tokens)

    @classmethod
    def of(cls, clips: Iterable[tuple[Clip, ClipOf[ShownGroup]]]) -> TokenBank:
        """All blocks of all groups, open ones included, of filmed clips and the same with their tokens. Raises `DataError` for clips of several
        sizes."""
        kinds, places, tokens = [], [], []
        grids: set[tuple[int, int]] = set()
        for filmed, shown in clips:
            world = World(filmed.seed, duration_s=filmed.duration_s)
            for group, known in zip(filmed.every_group(), shown.every_group(), strict=True):
                grid = grid_of(group)
                grids.add(grid)
                for state, rows_columns in runs_of(world, group):
                    kinds.append(kinds_of_blocks(world, state, rows_columns, grid))
                    places.append(rows_columns[:, 0] * grid[1] + rows_columns[:, 1])
                tokens.append(known.vision_VD)
        if len(grids) != 1:
            raise DataError(
                f"token bank: expected clips of one canvas size, got {sorted(grids) or 'none'}; make a bank for each"
            )
        return cls(np.concatenate(kinds), np.concatenate(places), np.concatenate(tokens), grids.pop())

    def save(self, folder: Path) -> None:
        """One file."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / FILE, kinds=self._saved, places=self._places, tokens=self._tokens, grid=np.array(self.grid))

    @classmethod
    def load(cls, folder: Path) -> TokenBank:
        """Raises `DataError` where there is none."""
        try:
            with np.load(folder / FILE) as data:
                rows, columns = data["grid"]
                return cls(data["kinds"], data["places"], data["tokens"], (int(rows), int(columns)))
        except (OSError, KeyError, ValueError) as error:
            raise DataError(f"token bank {folder / FILE}: expected one written by `ov2 train`, got {error}") from error

    def draw(self, kinds: np.ndarray, rows_columns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """float16 [V, D]: for each block a token of one of the same kind, at the same place where the bank has any."""
        places = rows_columns[:, 0] * self.grid[1] + rows_columns[:, 1]
        index = np.array([self._index_of(kind) for kind in kinds], np.int64)
        out = np.empty((len(kinds), self.width), np.float16)
        for one in np.unique(index):
            chosen = np.flatnonzero(index == one)
            low, high = self._ends[one], self._ends[one + 1]
            here = self._places[low:high]
            first = low + np.searchsorted(here, places[chosen])
            last = low + np.searchsorted(here, places[chosen], side="right")
            first, last = np.where(last > first, first, low), np.where(last > first, last, high)
            out[chosen] = self._tokens[rng.integers(first, last)]
        return out

    def _index_of(self, kind: np.ndarray) -> int:
        """The kind itself, or the one that differs in fewest words; learnt, since the same ones come again and again."""
        key = kind.tobytes()
        if key not in self._index:
            self._index[key] = int((self._known != kind).sum(1).argmin())
        return self._index[key]


def kinds_of_blocks(world: World, state: WorldState, rows_columns: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """uint8 [V, W + NUM_PHASES]: the words that are true of each block, and the phase of the rope that it shows."""
    words_VW = words_of_blocks(world, state, rows_columns, grid).astype(np.uint8)
    kinds = np.zeros((len(words_VW), len(WORDS) + NUM_PHASES), np.uint8)
    kinds[:, : len(WORDS)] = words_VW
    turning = [actor.rope for actor in state.actors if actor.rope is not None]
    if turning:
        kinds[words_VW[:, WORDS.index("jumped")] > 0, len(WORDS) + int(turning[0] % 1.0 * NUM_PHASES)] = 1
    return kinds
