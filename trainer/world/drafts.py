"""Every question that can be asked at a moment, by type. `questions_at` draws from these; the rules are on the definition
page, trainer/world/questions.py. In: a world and a moment. Out: `Question`s."""

from __future__ import annotations

import numpy as np

from trainer.world.moment import SETTLE_S, moment_at
from trainer.world.past import jumps, last_event, order, still_there, when
from trainer.world.present import colour, count, presence, where
from trainer.world.question import Question
from trainer.world.world import World

MAKERS = (presence, colour, count, last_event, order, when, where, still_there, jumps)


def drafts_at(world: World, t_s: float, *, since_s: float, zero_s: float, rng: np.random.Generator) -> list[Question]:
    """All questions of a moment; none before the session has seen something for SETTLE_S."""
    if t_s - since_s < SETTLE_S:
        return []
    moment = moment_at(world, t_s, since_s=since_s, zero_s=zero_s, rng=rng)
    return [question for maker in MAKERS for question in maker(moment)]
