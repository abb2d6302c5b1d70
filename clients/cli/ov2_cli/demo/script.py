"""The demo's questions: which, when, and what is true then.

In: a world. Out: questions at quiet moments, spread over the film, of as many types as the story allows. A moment is quiet when nothing
happens shortly before or after it, so that the truth is the same whenever in that stretch the service looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.world import Question, World

FIRST_S = 6.0
LAST_BEFORE_END_S = 3.0
EVERY_S = 4.0
QUIET_BEFORE_S = 0.8
QUIET_AFTER_S = 1.2
LOOK_BACK_S = 60.0
"""Questions reach back this far at most: what the window of the bundled checkpoint holds."""


def plan_questions(world: World, seconds: float, seed: int) -> list[Question]:
    """One question about every `EVERY_S`, each at the next quiet moment."""
    import numpy as np

    from trainer.world import questions_at

    rng = np.random.default_rng([seed, 17])
    asked: dict[str, int] = {}
    plan: list[Question] = []
    at_s = FIRST_S
    while at_s < seconds - LAST_BEFORE_END_S:
        if _is_quiet(world, at_s):
            since_s = max(0.0, at_s - LOOK_BACK_S)
            drawn = questions_at(world, at_s, since_s=since_s, rng=rng, num=9)
            drawn = [q for q in drawn if _still_true(world, q, since_s)]
            if drawn:
                chosen = min(drawn, key=lambda question: asked.get(question.type, 0))
                asked[chosen.type] = asked.get(chosen.type, 0) + 1
                plan.append(chosen)
                at_s += EVERY_S
                continue
        at_s += 0.5
    return plan


def _is_quiet(world: World, at_s: float) -> bool:
    return not any(at_s - QUIET_BEFORE_S < event.t_s < at_s + QUIET_AFTER_S for event in world.events)


def _still_true(world: World, question: Question, since_s: float) -> bool:
    """Whether the same question has the same answer a second later (an actor may walk from left to right without an event)."""
    import numpy as np

    from trainer.world import questions_at

    later = min(question.at_s + 1.0, world.duration_s)
    again = questions_at(world, later, since_s=since_s, rng=np.random.default_rng(0), num=99, types=[question.type])
    return all(other.answer == question.answer for other in again if other.text == question.text)
