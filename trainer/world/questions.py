"""Questions with exactly one checkable answer, asked as of a moment. The definition page of the world's truth.

In: a world, a moment `t_s`, the second `since_s` at which the asked session began. Out: frozen `Question`s whose evidence
lies in [since_s, t_s].

**In view.** An actor is in view when at least half of its width is inside the picture and, in the doorway, inside the
opening. Nothing is asked about a kind of actor while one of that kind is only partly in view (less than 95 %), or is more than
half hidden behind a nearer one; nor about door, lamp or parcel while actors hide 40 % of its width.

**An event's time.** A person, car or dog arrives or leaves when its middle crosses the picture's edge; through the door, when
its middle crosses the edge of the opening. The door opens or closes when it starts to move; the lamp turns on or off at once.
The parcel is delivered when it touches the ground at the door, taken when it leaves the ground. A person has jumped rope when
the bout's last turn is over. Rope jumping starts with the first turn.

**Left, right, near the door.** By the middle x of an actor, 0 to 1 over the picture: near the door when within 0.145 of the
door's middle; otherwise left below 0.5 and right above. Not asked within 0.02 of a border of "near the door", within 0.04 of
the middle, or when the place was another half a second ago. A car is on the street, never near the door: left or right only.

**When.** Whole seconds (rounded down) from `zero_s` to the last such event. Not asked when the event is within 0.15 s of a
whole second.

**What happened last.** The event with the latest time. Not asked while a next event has begun to show.

**Order.** Each of the two happened exactly once since `since_s`, with more than a second between the end of one and the
beginning of the other. For "which came first", neither was there at `since_s`.

**Still there.** Asked of what was there: "yes" when it has not left since it was first seen after `since_s`, "no" when it
left, or was taken, once and has not come back. A person is named by the coat.

**How many jumps.** Turns of the rope in the latest finished bout, all of it after `since_s`; not asked during a bout.

**Start of a jump.** In a film of the scene "jumpscore" (trainer/world/jumping.py) the jumper is seen from the side. A jump starts at the
moment the rope hangs behind the legs and begins to rise; it is over when the feet are back on the ground and the rope is behind
the legs again, which is the start of the next one where no rest follows. A turn whose rope is caught at the shins is no jump.

The types of `PreciseType` are asked where they are named; every answer has one form (trainer/world/forms.py).

**When, in tenths** ("12.3 seconds"). As above, near whole seconds too. Right within half a second.

**Interval** ("3.2 - 9.6 seconds"). From the event with which something began to that with which it ended; both happened exactly once
since `since_s`. Of rope jumping: its first turn to the end of its last.

**Jump starts** ("[0.28, 4.44, 5.00]"). Every jump that started since `since_s` and is over; not asked while the rope turns.

**Points and boxes** ("(512, 430)", "(100, 200, 300, 400)"). In thousandths of the picture, x to the right, y down. A point is right
anywhere on the actor (its mask, trainer/world/masks.py); the answer's own is in the middle of the body. A box is that of the actor's
state, cut at the picture's edge: not of what it carries, nor of a rope. Asked of who is wholly in view with nothing hidden.

**Tracks** (`<tracks coords="3.0 0 512 430; 4.0 0 530 431">the dog</tracks>`). Points at whole seconds of the session's clock, actors
numbered in the order in which they came. Seconds at which one of them is there but not wholly in view are left out.

**Left of, in front of, nearer, from near to far.** By the middle x; by the feet's y: who stands lower in the picture is nearer. In
front and nearer are asked of people alone, since cars are always nearer than dogs, and dogs than people. Least differences: placed.py.

**Not seen.** Of who was not here at all since `since_s`, in view or just outside, and of events of door, lamp and parcel that did
not happen since then: whatever is asked, the answer is "not seen".

**Watch.** A statement about now, "yes" when it is so and "no" when not; asked by the rules of presence and left of.

Nothing is asked within SETTLE_S after an event that changes the answer, and an event counts as seen only when it began at
least SEEN_S after `since_s` (both in trainer/world/moment.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.world.drafts import drafts_at
from trainer.world.language import AnyType, PreciseType, QuestionType
from trainer.world.question import Question, check, normalised, seconds_off
from trainer.world.world import World

__all__ = [
    "AnyType",
    "PreciseType",
    "Question",
    "QuestionType",
    "check",
    "normalised",
    "one_of",
    "questions_at",
    "seconds_off",
]


def questions_at(
    world: World,
    t_s: float,
    *,
    since_s: float = 0.0,
    rng: np.random.Generator,
    num: int,
    types: Sequence[AnyType] | None = None,
    zero_s: float = 0.0,
) -> list[Question]:
    """At most `num` different questions as of `t_s` that a session begun at `since_s` can answer; fewer, or none, when the
    moment has not as many. Types are drawn evenly, then what they are about, then the answer; the types of `PreciseType` are asked only
    where `types` names them.

    Seconds of "when" count from `zero_s`. Raises TimeError for a moment outside the world.
    """
    drafts = drafts_at(world, t_s, since_s=since_s, zero_s=zero_s, rng=rng, types=types)
    chosen: list[Question] = []
    while drafts and len(chosen) < num:
        question = one_of(drafts, rng)
        chosen.append(question)
        drafts = [draft for draft in drafts if (draft.type, draft.family) != (question.type, question.family)]
    return chosen


def one_of(pool: Sequence[Question], rng: np.random.Generator) -> Question:
    """One question of several: each type as likely as the others, in it each family, in it each answer."""
    for field in ("type", "family", "answer"):
        values = sorted({getattr(draft, field) for draft in pool})
        value = values[int(rng.integers(len(values)))]
        pool = [draft for draft in pool if getattr(draft, field) == value]
    return pool[int(rng.integers(len(pool)))]
