"""Dense supervision: what is true at the end of every run of blocks, as classes that throw-away heads learn (`dense_heads.py`).

In: a world, the time of a run, the time of the run before it on its path, and the session's beginning. Out: a row of classes. A question
teaches a dozen tokens of a window; this teaches every run: what has happened since the last one, what is there and where, the last event and
its time, the jumps so far, the clock. That is what look-up and copying are made of.

Shape letters: R runs, L labels that are true or not, C choices of one class among several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.world import World
from trainer.world.event import EventKind, WorldEvent
from trainer.world.language import NEAR_X, VERBS
from trainer.world.layout import COLOURS
from trainer.world.moment import key_of
from trainer.world.state import ActorState, WorldState

EVENT_KEYS: tuple[tuple[EventKind, str], ...] = tuple(
    (kind, colour) for kind in VERBS for colour in (COLOURS if kind.startswith("person") else ("",))
)
_PLACES = ("left", "right", "near")
PRESENT: tuple[str, ...] = (
    *(f"person {colour} {place}" for colour in COLOURS for place in _PLACES),
    *(f"car {colour} {place}" for colour in COLOURS for place in _PLACES[:2]),
    *(f"dog {place}" for place in _PLACES),
    "parcel",
    "lamp on",
    "door open",
)
MOST_JUMPS = 31
DIGITS = 10
CHOICES: dict[str, int] = {
    "last event": len(EVENT_KEYS) + 1,
    "last tens": DIGITS,
    "last ones": DIGITS,
    "last tenths": DIGITS,
    "jumps": MOST_JUMPS + 1,
    "clock tens": DIGITS,
    "clock ones": DIGITS,
    "clock tenths": DIGITS,
}
"""Classes of which one is true, with how many choices each has."""
NUM_LABELS = len(EVENT_KEYS) + len(PRESENT)
UNKNOWN = -100
"""A choice that nobody can know, such as the time of a last event where there was none (PyTorch's `ignore_index`)."""

_EVENT_INDEX = {key: index for index, key in enumerate(EVENT_KEYS)}
_PRESENT_INDEX = {name: index for index, name in enumerate(PRESENT)}


@dataclass(frozen=True, slots=True)
class DenseTargets:
    """Of one sample. `rows`: int64 [R], the rows of its tokens that end a run. `labels`: float32 [R, L]: events since the run before, then what
    is present. `choices`: int64 [R, C]."""

    rows: np.ndarray
    labels: np.ndarray
    choices: np.ndarray


@dataclass(frozen=True, slots=True)
class RunEnd:
    """A run of a sample: its last row, its time, and the time of the run before it on its path (the session's beginning for the first)."""

    row: int
    at_s: float
    before_s: float


def dense_targets(world: World, runs: Sequence[RunEnd], *, since_s: float, zero_s: float) -> DenseTargets:
    """What is true at every run's end, for a session that began at `since_s` and whose clock counts from `zero_s`."""
    labels = np.zeros((len(runs), NUM_LABELS), np.float32)
    choices = np.full((len(runs), len(CHOICES)), UNKNOWN, np.int64)
    for index, run in enumerate(runs):
        at_s = min(run.at_s, world.duration_s)
        for event in world.events_between(run.before_s, at_s):
            if event.t_s > run.before_s:
                labels[index, _EVENT_INDEX[key_of(event)]] = 1.0
        for name in _present(world, world.state_at(at_s)):
            labels[index, len(EVENT_KEYS) + _PRESENT_INDEX[name]] = 1.0
        choices[index] = _choices(world, at_s, since_s, zero_s)
    return DenseTargets(np.array([run.row for run in runs], np.int64), labels, choices)


def _present(world: World, state: WorldState) -> list[str]:
    names = [_placed(world, actor) for kind in ("person", "car", "dog") for actor in state.of_kind(kind)]
    things = (("parcel", state.parcel), ("lamp on", state.lamp_on), ("door open", state.door_open))
    return [*names, *(name for name, is_true in things if is_true)]


def _placed(world: World, actor: ActorState) -> str:
    is_near = actor.kind != "car" and abs(actor.x - world.layout.door_x) <= NEAR_X
    place = "near" if is_near else "left" if actor.x < 0.5 else "right"
    return " ".join(filter(None, (actor.kind, actor.colour, place)))


def _choices(world: World, at_s: float, since_s: float, zero_s: float) -> list[int]:
    seen = world.events_between(since_s, at_s)
    last = seen[-1] if seen else None
    state = world.state_at(at_s)
    return [
        0 if last is None else 1 + _EVENT_INDEX[key_of(last)],
        *([UNKNOWN] * 3 if last is None else _digits(_told_s(last) - zero_s)),
        min(state.num_jumps, MOST_JUMPS),
        *_digits(at_s - zero_s),
    ]


def _told_s(event: WorldEvent) -> float:
    """The time that a question about an event asks for: rope jumping is asked by its beginning."""
    return event.start_s if event.kind == "person_jumped" else event.t_s


def _digits(seconds: float) -> list[int]:
    """Tens, ones and tenths, as the timestamp spells them; unknown beyond two digits or before zero."""
    tenths = round(seconds * 10)
    if not 0 <= tenths < 10 * DIGITS**2:
        return [UNKNOWN] * 3
    return [tenths // 100, tenths // 10 % 10, tenths % 10]
