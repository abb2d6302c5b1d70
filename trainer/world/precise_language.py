"""The world's English for questions of `PreciseType`: their phrasings, the statements of watches, and sentences that hold every word of them.

In: nothing. Out: constants that the makers fill in (timed.py, placed.py, premises.py); `precise_sentences` for training a text tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterator

from trainer.world import forms
from trainer.world.event import EventKind
from trainer.world.layout import COLOURS

INTERVALS: dict[str, tuple[EventKind, EventKind, str]] = {
    "person": ("person_arrived", "person_left", "the person in {colour} in view"),
    "car": ("car_arrived", "car_left", "the car in view"),
    "dog": ("dog_arrived", "dog_left", "the dog in view"),
    "door": ("door_opened", "door_closed", "the door open"),
    "lamp": ("lamp_on", "lamp_off", "the lamp on"),
    "parcel": ("parcel_delivered", "parcel_taken", "the parcel at the door"),
}
"""What begins with one event and ends with another."""
JUMPING = "the person in {colour} jumping rope"
INTERVAL_PHRASINGS = ("When was {what}?", "From when to when was {what}?")
STARTS_PHRASINGS = ("At what seconds does each jump start?", "List the start of every jump in seconds.")
POINT_PHRASINGS = ("Where is {who}? Answer with a point.", "Point at {who}.")
BOX_PHRASINGS = ("Where is {who}? Answer with a box.", "Draw a box around {who}.")
WHERE_PHRASINGS = ("Where is {who}?", *POINT_PHRASINGS, *BOX_PHRASINGS)
TRACK = "Track {who}."
LEFT = "Is {one} left of {other}?"
FRONT = "Is {one} in front of {other}?"
NEAREST = "Who is nearer to the camera, {one} or {other}?"
DEPTHS = "Name {several} from near to far."
JUMPS = "How many times did the person in {colour} jump?"
STATEMENTS: dict[str, tuple[str, ...]] = {
    "lamp": ("The lamp is on.", "The light is on."),
    "door": ("The door is open.", "The front door stands open."),
    "parcel": ("A parcel is at the door.", "There is a parcel at the door."),
}
IN_VIEW = ("{thing} is in view.", "{thing} can be seen.")
JUMPING_NOW = ("Somebody is jumping rope.", "A person is jumping rope.")
LEFT_NOW = "{one} is left of {other}."


def precise_sentences() -> Iterator[str]:
    """Every word of the questions, statements and answers, the same list every time."""
    people = [f"the person in {colour}" for colour in COLOURS]
    whats = [what.format(colour=colour) for colour in COLOURS for _, _, what in INTERVALS.values()]
    for what in (*whats, *(JUMPING.format(colour=colour) for colour in COLOURS)):
        yield from (form.format(what=what) for form in INTERVAL_PHRASINGS)
    for who in (*people, "the car", "the dog", "the people"):
        yield from (form.format(who=who) for form in (*WHERE_PHRASINGS, TRACK))
        yield forms.tracks([(second, {0: (second / 10, 0.5), 1: (0.25, 0.125)}) for second in range(10)], who)
        yield from (form.format(one=who, other=other) for other in people for form in (LEFT, FRONT, NEAREST))
        yield LEFT_NOW.format(one=who[0].upper() + who[1:], other=who)
        yield DEPTHS.format(several=f"{who}, the person in red and {who}")
    for thing in ("A person", "A car", "A dog", *(f"A person in {colour}" for colour in COLOURS)):
        yield from (form.format(thing=thing) for form in IN_VIEW)
    yield from (statement for several in STATEMENTS.values() for statement in several)
    yield from (*STARTS_PHRASINGS, *JUMPING_NOW, forms.NOT_SEEN, f"{people[0]}, {people[1]}, {people[2]}")
    for second in range(100):
        yield forms.tenths(second / 10)
        yield forms.interval(second / 10, second)
        yield forms.starts([second / 100, second / 10])
        yield forms.point(second / 100, 0.5)
        yield forms.box(0.125, second / 200, 0.5, second / 100)
