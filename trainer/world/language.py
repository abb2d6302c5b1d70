"""The world's English: how things, places and events are called, captions, and every sentence there is.

In: states and events. Out: short plain sentences. `all_sentences` lists the language for training a text tokenizer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal

from trainer.world.event import SENTENCES, EventKind
from trainer.world.layout import COLOURS
from trainer.world.precise_language import precise_sentences
from trainer.world.presence_interval import ActorKind
from trainer.world.state import ActorState, WorldState

Place = Literal["left", "right", "near the door"]
PLACES: tuple[Place, ...] = ("left", "right", "near the door")
QuestionType = Literal["presence", "colour", "count", "last_event", "order", "when", "where", "still_there", "jumps"]
PreciseType = Literal[
    "when_tenths",
    "interval",
    "jump_starts",
    "point",
    "box",
    "tracks",
    "relation",
    "depth_order",
    "not_seen",
    "watch",
]
"""Types whose answers have a form of their own (trainer/world/forms.py), and those that test whether one says what was not there."""
ToldType = Literal["describe", "log"]
"""Types that are told from the truth, in more than one right wording; the world itself does not ask them (trainer.train.narration)."""
AnyType = QuestionType | PreciseType | ToldType

VERBS: dict[EventKind, tuple[str, str, str, str]] = {
    "person_arrived": ("did", "the person in {colour}", "arrive", "arrived"),
    "person_left": ("did", "the person in {colour}", "leave", "left"),
    "person_jumped": ("did", "the person in {colour}", "jump rope", "jumped rope"),
    "car_arrived": ("did", "the car", "arrive", "arrived"),
    "car_left": ("did", "the car", "leave", "left"),
    "dog_arrived": ("did", "the dog", "come", "came"),
    "dog_left": ("did", "the dog", "leave", "left"),
    "door_opened": ("did", "the door", "open", "opened"),
    "door_closed": ("did", "the door", "close", "closed"),
    "lamp_on": ("did", "the lamp", "turn on", "turned on"),
    "lamp_off": ("did", "the lamp", "turn off", "turned off"),
    "parcel_delivered": ("was", "the parcel", "delivered", "was delivered"),
    "parcel_taken": ("was", "the parcel", "taken", "was taken"),
}
"""Auxiliary, subject, verb after the auxiliary, and verb of a plain clause."""

PHRASINGS: dict[QuestionType, tuple[str, ...]] = {
    "presence": ("Is there {thing} in view?", "Can you see {thing}?"),
    "colour": ("What colour is {whose}?", "Which colour is {whose}?"),
    "count": ("How many people are in view?", "How many people are there?", "How many persons can you see?"),
    "last_event": ("What happened last?", "What was the last thing that happened?"),
    "order": ("{Head} before {clause}?", "{Head} before or after {clause}?", "Which came first, {one} or {other}?"),
    "when": ("When {aux} {subject} {verb}?", "When {aux} {subject} last {verb}?", "At what second {aux} {subject} {verb}?"),
    "where": ("Where is {who}?", "Where is {who} now?"),
    "still_there": ("Is {thing} still there?", "Is {thing} still in view?"),
    "jumps": (
        "How many times did the person jump?",
        "How many jumps did the person do?",
        "How many times did the person in {colour} jump?",
    ),
}
STATE_QUESTIONS: dict[str, tuple[str, ...]] = {
    "lamp": ("Is the lamp on?", "Is the light on?"),
    "door": ("Is the door open?", "Is the front door open?"),
    "parcel": ("Is there a parcel at the door?", "Is there a parcel in view?"),
}
NEAR_X, NEAR_MARGIN_X, MIDDLE_MARGIN_X = 0.145, 0.02, 0.04
"""How far from the door "near" reaches, and how near a border is too near to tell; fractions of the picture width."""
NOTHING = "nobody and nothing in view"


def head(kind: EventKind, colour: str) -> str:
    """The beginning of a question: "Did the car arrive"."""
    aux, subject, verb, _ = VERBS[kind]
    return f"{aux.capitalize()} {subject.format(colour=colour)} {verb}"


def clause(kind: EventKind, colour: str) -> str:
    """A clause: "the car arrived"."""
    _, subject, _, past = VERBS[kind]
    return f"{subject.format(colour=colour)} {past}"


def seconds_answer(seconds: int) -> str:
    return f"{seconds} second" if seconds == 1 else f"{seconds} seconds"


def place_of(x: float, door_x: float) -> Place | None:
    """Where a point is, or None when it is too near a border between places to tell (see the definition page)."""
    from_door = abs(x - door_x)
    if from_door <= NEAR_X - NEAR_MARGIN_X:
        return "near the door"
    if from_door < NEAR_X + NEAR_MARGIN_X or abs(x - 0.5) < MIDDLE_MARGIN_X:
        return None
    return "left" if x < 0.5 else "right"


def caption(state: WorldState, door_x: float) -> str:
    """One sentence that says what is in view: "a person in red on the left, a white car on the right, the lamp is on"."""
    kinds: tuple[ActorKind, ...] = ("person", "car", "dog")
    parts = [_described(actor, door_x) for kind in kinds for actor in state.of_kind(kind)] or [NOTHING]
    parts += ["a parcel at the door"] if state.parcel else []
    parts += ["the door is open"] if state.door_open else ["the door is closed"]
    parts += ["the lamp is on"] if state.lamp_on else ["the lamp is off"]
    return ", ".join(parts)


def _described(actor: ActorState, door_x: float) -> str:
    name = {"person": f"a person in {actor.colour}", "car": f"a {actor.colour} car", "dog": "a dog"}[actor.kind]
    if actor.kind == "car":
        where: Place = "left" if actor.x < 0.5 else "right"
    elif abs(actor.x - door_x) <= NEAR_X:
        where = "near the door"
    else:
        where = "left" if actor.x < 0.5 else "right"
    return f"{name} {where}" if where == "near the door" else f"{name} on the {where}"


def all_sentences() -> Iterator[str]:
    """Every event sentence, question and answer, and captions that hold every phrase; of precise questions every word. The same list every
    time."""
    keys = [(kind, colour) for kind in VERBS for colour in (COLOURS if kind.startswith("person") else ("",))]
    people = [f"the person in {colour}" for colour in COLOURS]
    for kind, colour in keys:
        yield SENTENCES[kind].format(colour=colour)
        aux, subject, verb, _ = VERBS[kind]
        for form in PHRASINGS["when"]:
            yield form.format(aux=aux, subject=subject.format(colour=colour), verb=verb)
    yield from (f"When did {person} {verb}?" for person in people for verb in ("start jumping", "last start jumping"))
    for first, second in itertools.permutations(keys, 2):
        yield from (form.format(Head=head(*first), clause=clause(*second)) for form in PHRASINGS["order"][:2])
    for one, other in itertools.permutations([*people, "the car", "the dog"], 2):
        yield PHRASINGS["order"][2].format(one=one, other=other)
    for thing in ("a person", "a dog", "a car", *(f"a person in {colour}" for colour in COLOURS)):
        yield from (form.format(thing=thing) for form in PHRASINGS["presence"])
    yield from itertools.chain(*STATE_QUESTIONS.values(), PHRASINGS["count"], PHRASINGS["last_event"], PHRASINGS["jumps"][:2])
    for whose in ("the coat of the person", "the person's coat", "the car"):
        yield from (form.format(whose=whose) for form in PHRASINGS["colour"])
    for who in ("the person", "the dog", "the car", *people):
        yield from (form.format(who=who) for form in PHRASINGS["where"])
    for thing in ("the parcel", "the car", "the dog", *people):
        yield from (form.format(thing=thing) for form in PHRASINGS["still_there"])
    yield from (PHRASINGS["jumps"][2].format(colour=colour) for colour in COLOURS)
    yield from ("yes", "no", "before", "after", *COLOURS, *PLACES, *people, "the car", "the dog")
    yield from (str(number) for number in range(10))
    yield from (seconds_answer(second) for second in range(600))
    for coat, where, other in itertools.product(COLOURS, ("on the left", "on the right", "near the door"), COLOURS):
        yield f"a person in {coat} {where}, a {other} car on the left, the door is open, the lamp is on"
        yield f"a {other} car on the right, a dog {where}, a parcel at the door, the door is closed, the lamp is off"
    yield f"{NOTHING}, the door is closed, the lamp is off"
    yield from precise_sentences()
