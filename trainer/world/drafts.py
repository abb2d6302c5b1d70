"""Every question that can be asked at a moment, by type. `questions_at` draws from these; the rules are on the definition
page, trainer/world/questions.py. In: a world and a moment. Out: `Question`s."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import get_args

import numpy as np

from trainer.world.language import PreciseType, QuestionType
from trainer.world.moment import SETTLE_S, Moment, moment_at
from trainer.world.past import jumps, last_event, order, still_there, when
from trainer.world.placed import box, depth_order, point, relation, tracks
from trainer.world.premises import not_seen, watch
from trainer.world.present import colour, count, presence, where
from trainer.world.question import Question
from trainer.world.timed import interval, jump_starts, when_tenths
from trainer.world.world import World

MAKERS = (presence, colour, count, last_event, order, when, where, still_there, jumps)
"""Of the types of `QuestionType`. They share the generator, so that all of them run when one of them is asked for: what is asked in a
world stays the same for ever."""
PRECISE_MAKERS: dict[PreciseType, Callable[[Moment], Iterator[Question]]] = {
    "when_tenths": when_tenths,
    "interval": interval,
    "jump_starts": jump_starts,
    "point": point,
    "box": box,
    "tracks": tracks,
    "relation": relation,
    "depth_order": depth_order,
    "not_seen": not_seen,
    "watch": watch,
}
"""Each runs where it is asked for by name."""


def drafts_at(
    world: World,
    t_s: float,
    *,
    since_s: float,
    zero_s: float,
    rng: np.random.Generator,
    types: Collection[str] | None = None,
) -> list[Question]:
    """All questions of a moment of the given types, or of those of `QuestionType`; none before the session has seen something for
    SETTLE_S."""
    if t_s - since_s < SETTLE_S:
        return []
    moment = moment_at(world, t_s, since_s=since_s, zero_s=zero_s, rng=rng)
    drafts: list[Question] = []
    if types is None or set(types) & set(get_args(QuestionType)):
        drafts += [question for maker in MAKERS for question in maker(moment)]
    drafts += [question for name, maker in PRECISE_MAKERS.items() if name in (types or ()) for question in maker(moment)]
    return [draft for draft in drafts if types is None or draft.type in types]
