"""A moment as a session that began at `since_s` knows it, and what can be made out clearly then.

In: a world and a moment. Out: a frozen `Moment` with the state, the events that have settled, and the rules of clear sight.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from trainer.world import layout as place
from trainer.world.event import EventKind, WorldEvent
from trainer.world.language import PHRASINGS, AnyType, QuestionType
from trainer.world.presence_interval import ActorKind
from trainer.world.question import Question
from trainer.world.state import PARCEL_SIZE, ActorState, Box, WorldState
from trainer.world.world import World

SETTLE_S = 0.6
"""Nothing is asked about a change younger than this."""
SEEN_S = 0.3
"""A session has seen a change only if it began this long after the session."""
CLEAR = 0.95
"""The part of an actor's width that must be in view."""
HIDDEN = 0.4
"""The part of a thing's width that actors may hide before it is not asked about."""
YES_NO = ("yes", "no")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A moment of a world as a session begun at `since_s` knows it.

    - `recent`: all events since then. `seen`: those that have settled and whose beginning was seen.
    - `coming`: what has begun to show but is not complete. `fresh`: actors and things with an event too young to ask about.
    """

    world: World
    t_s: float
    since_s: float
    zero_s: float
    state: WorldState
    recent: tuple[WorldEvent, ...]
    seen: tuple[WorldEvent, ...]
    coming: tuple[WorldEvent, ...]
    fresh: frozenset[str]
    rng: np.random.Generator

    def draft(
        self,
        kind: AnyType,
        text: str,
        answer: str,
        *,
        family: str,
        about: Iterable[float] = (),
        choices: tuple[str, ...] | None = None,
        idents: tuple[int, ...] = (),
        exact_s: float | None = None,
    ) -> Question:
        """A question asked now; its evidence is now, too, unless `about` says otherwise."""
        return Question(
            at_s=self.t_s,
            type=kind,
            text=text,
            answer=answer,
            about=tuple(about) or (self.t_s,),
            choices=choices,
            family=family,
            idents=idents,
            exact_s=exact_s,
        )

    def phrase(self, kind: QuestionType, **words: str) -> str:
        """One of the type's phrasings, filled in."""
        return self.one_of(PHRASINGS[kind]).format(**words)

    def one_of(self, forms: tuple[str, ...]) -> str:
        return forms[int(self.rng.integers(len(forms)))]

    def kind_is_clear(self, kind: ActorKind) -> bool:
        """Everyone of the kind is wholly in view, none is largely hidden, none has just come or gone."""
        return kind not in self.fresh and all(is_clear(actor) for actor in self.state.actors if actor.kind == kind)

    def parcel_is_clear(self) -> bool:
        """The parcel's place can be seen, and nobody has a parcel in hand."""
        handled = any(actor.carrying or actor.bend > 0 for actor in self.state.actors)
        half, tall = PARCEL_SIZE[0] * place.DRAWING_W / 2, PARCEL_SIZE[1] * place.DRAWING_H
        x, y = place.PARCEL_X, place.PARCEL_Y
        return "parcel" not in self.fresh and not handled and not self._hidden(x - half, y - tall, x + half, y)

    def lamp_is_clear(self) -> bool:
        x, y = place.LAMP_X, place.LAMP_Y
        return "lamp" not in self.fresh and not self._hidden(x - 12, y - 20, x + 12, y + 16)

    def door_is_clear(self) -> bool:
        x, half = place.DOOR_X, place.DOOR_HALF_W
        return "door" not in self.fresh and not self._hidden(x - half, place.DOOR_TOP, x + half, place.DOOR_BASE)

    def _hidden(self, x0: float, y0: float, x1: float, y1: float) -> bool:
        """True when actors hide too much of the width of a thing, given in drawing pixels."""
        (ax, ay), (bx, by) = self.world.layout.place(x0, y0), self.world.layout.place(x1, y1)
        left, right = min(ax, bx), max(ax, bx)
        near = (actor.box for actor in self.state.actors if actor.box[3] >= ay and actor.box[1] <= by)
        return sum(_shared(box, left, right) for box in near) > HIDDEN * (right - left)


def moment_at(world: World, t_s: float, *, since_s: float, zero_s: float, rng: np.random.Generator) -> Moment:
    """The moment `t_s`. Raises TimeError outside the world."""
    recent = world.events_between(since_s, t_s)
    young = world.events_between(t_s - SETTLE_S, t_s)
    return Moment(
        world=world,
        t_s=t_s,
        since_s=since_s,
        zero_s=zero_s,
        state=world.state_at(t_s),
        recent=recent,
        seen=tuple(event for event in recent if event.t_s <= t_s - SETTLE_S and event.start_s >= since_s + SEEN_S),
        coming=world.under_way(t_s),
        fresh=frozenset(event.actor for event in young if event.t_s > t_s - SETTLE_S),
        rng=rng,
    )


def is_clear(actor: ActorState) -> bool:
    """Wholly in view, not largely hidden, not in the doorway."""
    return actor.visible >= CLEAR and actor.covered <= 0.5 and not actor.in_doorway


def key_of(event: WorldEvent) -> tuple[EventKind, str]:
    """What makes two events the same to a question: kind and coat."""
    return event.kind, "" if event.actor == "car" else event.colour


def _shared(box: Box, left: float, right: float) -> float:
    return max(0.0, min(box[2], right) - max(box[0], left))
