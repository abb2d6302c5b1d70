"""Questions about what is in view now: presence, colour, count, where. In: a `Moment`. Out: every question it allows."""

from __future__ import annotations

from collections.abc import Iterator

from trainer.world.language import PLACES, STATE_QUESTIONS, place_of
from trainer.world.layout import COLOURS
from trainer.world.moment import YES_NO, Moment, is_clear
from trainer.world.presence_interval import ActorKind
from trainer.world.question import Question
from trainer.world.state import CAR_SIZE, ActorState

KINDS: tuple[ActorKind, ...] = ("person", "car", "dog")
MIDDLE_MARGIN_CAR = CAR_SIZE[0] / 5
SOMEBODY_KEPT = 0.2
"""There is nearly always somebody in view: this part of those questions is kept, so that "yes" is not the better guess."""


def presence(moment: Moment) -> Iterator[Question]:
    for kind in KINDS:
        if moment.kind_is_clear(kind):
            answer = "yes" if moment.state.of_kind(kind) else "no"
            if kind == "person" and answer == "yes" and moment.rng.random() < 1 - SOMEBODY_KEPT:
                continue
            yield moment.draft("presence", moment.phrase("presence", thing=f"a {kind}"), answer, family=kind, choices=YES_NO)
    if moment.kind_is_clear("person"):
        worn = {actor.colour for actor in moment.state.of_kind("person")}
        for colour in COLOURS:
            text = moment.phrase("presence", thing=f"a person in {colour}")
            yield moment.draft("presence", text, "yes" if colour in worn else "no", family="coat", choices=YES_NO)
    for thing, is_so in things(moment):
        forms = STATE_QUESTIONS[thing]
        text = forms[int(moment.rng.integers(len(forms)))]
        yield moment.draft("presence", text, "yes" if is_so else "no", family=thing, choices=YES_NO)


def things(moment: Moment) -> Iterator[tuple[str, bool]]:
    """Lamp, door and parcel, where one can tell: its name, and whether it is on, open, there."""
    if moment.lamp_is_clear():
        yield "lamp", moment.state.lamp_on
    if moment.door_is_clear():
        yield "door", moment.state.door_open
    if moment.parcel_is_clear():
        yield "parcel", moment.state.parcel


def colour(moment: Moment) -> Iterator[Question]:
    people, cars = moment.state.of_kind("person"), moment.state.of_kind("car")
    if moment.kind_is_clear("person") and len(people) == 1:
        whose = ("the coat of the person", "the person's coat")[int(moment.rng.integers(2))]
        yield moment.draft("colour", moment.phrase("colour", whose=whose), people[0].colour, family="person", choices=COLOURS)
    if moment.kind_is_clear("car") and cars:
        yield moment.draft("colour", moment.phrase("colour", whose="the car"), cars[0].colour, family="car", choices=COLOURS)


def count(moment: Moment) -> Iterator[Question]:
    if moment.kind_is_clear("person"):
        answer = str(len(moment.state.of_kind("person")))
        yield moment.draft("count", moment.phrase("count"), answer, family="people", choices=("0", "1", "2", "3"))


def where(moment: Moment) -> Iterator[Question]:
    people = moment.state.of_kind("person")
    for actor in moment.state.actors:
        if not is_clear(actor) or not moment.kind_is_clear(actor.kind):
            continue
        answer = _settled_place(moment, actor)
        if answer is None:
            continue
        who = f"the person in {actor.colour}" if actor.kind == "person" else f"the {actor.kind}"
        if len(people) == 1 and actor.kind == "person" and moment.rng.random() < 0.5:
            who = "the person"
        choices = ("left", "right") if actor.kind == "car" else PLACES
        family = f"{actor.kind} {actor.colour}".strip()
        yield moment.draft("where", moment.phrase("where", who=who), answer, family=family, choices=choices)


def _settled_place(moment: Moment, actor: ActorState) -> str | None:
    """The place, if it was the same half a second ago."""
    before = moment.world.state_at(max(0.0, moment.t_s - 0.5))
    xs = [actor.x, *(other.x for other in before.actors if other.ident == actor.ident)]
    answers: set[str | None]
    if actor.kind == "car":
        answers = {None if abs(x - 0.5) < MIDDLE_MARGIN_CAR else "left" if x < 0.5 else "right" for x in xs}
    else:
        answers = {place_of(x, moment.world.layout.door_x) for x in xs}
    return answers.pop() if len(answers) == 1 else None
