"""The first lesson: name what a block shows. It gives the encoder words before it is asked questions.

In: a block's source (frame time, row, column) and the truth. Out: for every vision token the words that are true of it, and a loss through the
model's own output embeddings. A block that shows a part of a person in red must score "person" and "red" above zero, and every
other word below. Answers to questions alone teach the encoder very slowly from nothing; a named block is a lesson per token.

Shape letters: V vision tokens, W words, D width of the language model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn import functional

from ov2.canvas import BLOCK_PATCHES, MERGE, CanvasGroup
from ov2.model import OV2Model
from ov2.text import TextTokenizer
from trainer.errors import ConfigError
from trainer.world import World, WorldState
from trainer.world import layout as place
from trainer.world.person import carried_parcel_at
from trainer.world.state import PARCEL_SIZE, ActorState, Box

WORDS = (*place.COLOURS, "person", "car", "dog", "parcel", "jumped", "open", "closed", "on", "off", "left", "right", "near")
LEAST_OF_BLOCK = 0.08
LEAST_OF_THING = 0.2
"""A block shows a thing that covers this part of the block, or has this part of itself in it."""
POSITIVE_WEIGHT = 3.0
NEGATIVE_PRIOR = 2.0
"""Subtracted from every score, since most words are not true of most blocks."""
LAMP_PX = 30
NEAR_DOOR = 0.145
"""The world's own border of "near the door", fraction of the picture width."""


def word_ids(text: TextTokenizer) -> list[int]:
    """The token of each word, as it stands inside a sentence."""
    ids = [text.encode(f" {word}") for word in WORDS]
    split = [word for word, tokens in zip(WORDS, ids, strict=True) if len(tokens) != 1]
    if split:
        raise ConfigError(f"vocabulary: expected one token for each of {', '.join(split)}; set vocab_size higher")
    return [tokens[0] for tokens in ids]


def named_things(world: World, state: WorldState) -> list[tuple[Box, tuple[str, ...]]]:
    """Boxes (left, top, right, bottom in 0..1) of everything that has a name, with its words."""
    things: list[tuple[Box, tuple[str, ...]]] = []
    for actor in state.actors:
        words = (actor.kind, *((actor.colour,) if actor.colour else ()))
        words += ("jumped",) if actor.action == "jump" else ()
        words += (_place_word(world, actor),)
        things.append((actor.box, words))
        if actor.carrying:  # the hand's block alone: the rest of the carrier is no parcel
            things.append((_parcel_box(carried_parcel_at(actor)), ("parcel",)))
    at = world.layout.place
    if state.parcel:
        things.append((_parcel_box(at(place.PARCEL_X, place.PARCEL_Y)), ("parcel",)))
    door = _box(at(place.DOOR_X - place.DOOR_HALF_W, place.DOOR_TOP), at(place.DOOR_X + place.DOOR_HALF_W, place.DOOR_BASE))
    things.append((door, ("open" if state.door_open else "closed",)))
    lamp = _box(at(place.LAMP_X - LAMP_PX, place.LAMP_Y - LAMP_PX), at(place.LAMP_X + LAMP_PX, place.LAMP_Y + LAMP_PX))
    things.append((lamp, ("on" if state.lamp_on else "off",)))
    return things


def _place_word(world: World, actor: ActorState) -> str:
    """First word of where the actor is: left, right, or near (the door); a car is on the street, never near."""
    if actor.kind != "car" and abs(actor.x - world.layout.door_x) < NEAR_DOOR:
        return "near"
    return "left" if actor.x < 0.5 else "right"


def _parcel_box(bottom: tuple[float, float]) -> Box:
    x, y = bottom
    return x - PARCEL_SIZE[0] / 2, y - PARCEL_SIZE[1], x + PARCEL_SIZE[0] / 2, y


def _box(a: tuple[float, float], b: tuple[float, float]) -> Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])


def named_blocks(world: World, group: CanvasGroup) -> np.ndarray:
    """float32 [V, W]: one where the word is true of the block, at the block's own time and place."""
    grid = grid_of(group)
    return np.concatenate([words_of_blocks(world, state, sources, grid) for state, sources in runs_of(world, group)])


def grid_of(group: CanvasGroup) -> tuple[int, int]:
    """Rows and columns of blocks of one canvas, and of the picture at its size."""
    return group.grid_hw[0] // MERGE, group.grid_hw[1] // MERGE


def runs_of(world: World, group: CanvasGroup) -> Iterator[tuple[WorldState, np.ndarray]]:
    """Of every run, what is true at its time, and its blocks' sources (row, column) [V, 2]."""
    sources = group.positions[::BLOCK_PATCHES, 1:] // MERGE
    first = 0
    for seconds, num in group.runs:
        yield world.state_at(min(seconds, world.duration_s)), sources[first : first + num]
        first += num


def words_of_blocks(world: World, state: WorldState, rows_columns: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """float32 [V, W] of blocks (row, column) [V, 2] of a picture of `grid` rows and columns of blocks."""
    names_VW = np.zeros((len(rows_columns), len(WORDS)), dtype=np.float32)
    row, column = rows_columns.T
    for box, words in named_things(world, state):
        shown_V = shows(box, row / grid[0], column / grid[1], 1 / grid[0], 1 / grid[1])
        for word in words:
            names_VW[shown_V, WORDS.index(word)] = 1.0
    return names_VW


def shows(box: Box, top: np.ndarray, left: np.ndarray, height: float, width: float) -> np.ndarray:
    """Whether blocks show enough of a thing; corners and sides as shares of the picture."""
    wide = np.minimum(box[2], left + width) - np.maximum(box[0], left)
    high = np.minimum(box[3], top + height) - np.maximum(box[1], top)
    common = np.clip(wide, 0, None) * np.clip(high, 0, None)
    of_thing = common / ((box[2] - box[0]) * (box[3] - box[1]))
    return np.asarray((common / (height * width) >= LEAST_OF_BLOCK) | (of_thing >= LEAST_OF_THING))


def naming_scores(model: OV2Model, ids: Sequence[int], tokens_VD: torch.Tensor) -> torch.Tensor:
    """Scores [V, W] of vision tokens: above zero where the word is said of the block."""
    words_WD = model.model.language_model.embed_tokens.weight[list(ids)]
    return tokens_VD @ words_WD.T - NEGATIVE_PRIOR


def naming_loss(model: OV2Model, ids: Sequence[int], tokens_VD: torch.Tensor, names_VW: np.ndarray) -> torch.Tensor:
    """Binary cross-entropy, summed over blocks and words."""
    scores_VW = naming_scores(model, ids, tokens_VD)
    truth_VW = torch.from_numpy(names_VW).to(scores_VW)
    weight = torch.tensor(POSITIVE_WEIGHT, device=scores_VW.device)
    return functional.binary_cross_entropy_with_logits(scores_VW, truth_VW, pos_weight=weight, reduction="sum")


def f1_of_words(scores_VW: torch.Tensor, names_VW: np.ndarray) -> dict[str, float]:
    """F1 of every word, for the record."""
    said, truth = (scores_VW > 0).cpu().numpy(), names_VW > 0
    both = (said & truth).sum(0)
    f1 = 2 * both / np.maximum(said.sum(0) + truth.sum(0), 1)
    return dict(zip(WORDS, f1.tolist(), strict=True))
