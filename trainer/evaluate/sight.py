"""Calibration of a memory: the words a checkpoint knows by sight, a basis for its vision tokens, and the score that says "seen".

In: films of training seeds. Out: memory.npz and `memory` in stream.json of the checkpoint's folder, for
`stream.memory.Summariser`.

Shape letters: D width, W words, G groups, K vectors of a summary.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ov2.encode import encode
from ov2.model import OV2Model
from stream.memory.phrases import phrases_of
from stream.memory.summary import FILE, Summariser, basis_of
from trainer.data.clips import Clip
from trainer.world import World
from trainer.world.layout import COLOURS
from trainer.world.moment import CLEAR

KINDS = ("person", "car", "dog", "parcel")
SUBJECTS = ("car", "dog", "parcel", *(f"person in {colour}" for colour in COLOURS))
LEAST_CLEAR_S = 1.0
"""A film shows a subject when it is clearly in view for so long; it lacks it when nothing of it is ever in the picture."""
STEP_S = 0.25


@dataclass(frozen=True, slots=True)
class Sight:
    """How a calibration came out: films that show a subject and are found to, films that lack it and are found to."""

    seen_at: float
    shows_right: float
    lacks_right: float
    num: int


def calibrate(model: OV2Model, clips: Iterable[Clip], folder: Path) -> Sight:
    """Fit on films, and write memory.npz; the caller writes `seen_at`."""
    films = [(clip, [one.vision_tokens.numpy() for one in encode(model, clip.groups)]) for clip in clips]
    words = (*KINDS, *COLOURS)
    basis_DB = basis_of([tokens for _, several in films for tokens in several])
    embeddings_WD = embeddings(model, words)
    summariser = Summariser(basis_DB=basis_DB, words=words, words_WB=embeddings_WD @ basis_DB, seen_at=0.0)
    shown: list[float] = []
    lacking: list[float] = []
    for clip, several in films:
        world = World(clip.seed, duration_s=clip.duration_s)
        words_GKW = np.stack([summariser.word_scores(*summariser.summarise(tokens)) for tokens in several])
        for subject in SUBJECTS:
            score = float(summariser.scores(phrases_of(subject, words), words_GKW).max())
            truth = shows(world, subject)
            if truth is not None:
                (shown if truth else lacking).append(score)
    seen_at = _between(np.array(shown), np.array(lacking))
    np.savez(folder / FILE, basis=basis_DB.astype(np.float16), words=np.array(words), embeddings=summariser.words_WB)
    return Sight(
        seen_at,
        float((np.array(shown) >= seen_at).mean()),
        float((np.array(lacking) < seen_at).mean()),
        len(shown) + len(lacking),
    )


def embeddings(model: OV2Model, words: Iterable[str]) -> np.ndarray:
    """float32 [W, D]: of each word as it stands inside a sentence, the mean of its tokens."""
    text = model.tokenizer()
    table = model.model.language_model.embed_tokens.weight.detach().float().cpu().numpy()
    return np.stack([table[text.encode(f" {word}")].mean(0) for word in words])


def shows(world: World, subject: str, until_s: float | None = None) -> bool | None:
    """Whether a subject is clearly in view for a while, or never at all (False); None between the two."""
    until_s = world.duration_s if until_s is None else until_s
    states = [_presence(world, subject, at_s) for at_s in np.arange(0.0, until_s, STEP_S)]
    if max(states) == 0:
        return False
    return True if sum(state == 2 for state in states) * STEP_S >= LEAST_CLEAR_S else None


def _presence(world: World, subject: str, at_s: float) -> int:
    """2 clearly in view, 1 something of it, 0 nothing."""
    state = world.state_at(float(at_s))
    if subject == "parcel":
        carried = any(actor.carrying for actor in state.actors)
        return 2 if state.parcel else int(carried)
    kind, _, colour = subject.partition(" in ")
    actors = [actor for actor in state.actors if actor.kind == kind and (not colour or actor.colour == colour)]
    clear = [one for one in actors if one.visible >= CLEAR and one.covered <= 0.5 and not one.in_doorway]
    return 2 if clear else int(bool(actors))


def _between(shown: np.ndarray, lacking: np.ndarray) -> float:
    """The score that tells most films apart, films that show and films that lack a subject counting alike."""
    values = np.unique(np.concatenate([shown, lacking]))
    middles = (values[1:] + values[:-1]) / 2
    right = [(shown >= at).mean() + (lacking < at).mean() for at in middles]
    best = np.flatnonzero(np.array(right) >= max(right) - 1e-9)
    return round(float(middles[best[len(best) // 2]]), 3)
