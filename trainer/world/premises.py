"""Questions about what was not there, answered "not seen", and statements that a watch would judge. In: a `Moment`. Out: every question
it allows."""

from __future__ import annotations

from collections.abc import Iterator

from trainer.world.forms import NOT_SEEN
from trainer.world.language import VERBS
from trainer.world.layout import COLOURS
from trainer.world.moment import YES_NO, Moment, key_of
from trainer.world.past import when_text
from trainer.world.placed import LEFT_X, named, plain_actors
from trainer.world.precise_language import (
    IN_VIEW,
    INTERVAL_PHRASINGS,
    INTERVALS,
    JUMPING,
    JUMPING_NOW,
    JUMPS,
    LEFT_NOW,
    STATEMENTS,
    WHERE_PHRASINGS,
)
from trainer.world.present import KINDS, SOMEBODY_KEPT, things
from trainer.world.question import Question


def not_seen(moment: Moment) -> Iterator[Question]:
    """Of whom nothing was in the picture since the session began, and of what did not happen."""
    seen = _seen(moment)
    told = {key_of(event) for event in (*moment.recent, *moment.coming)}
    for kind in ("car", "dog"):
        if (kind, "") not in seen:
            yield from _about_nobody(moment, f"the {kind}", kind, "")
    for colour in COLOURS:
        if ("person", colour) not in seen:
            yield from _about_nobody(moment, f"the person in {colour}", "person", colour)
    for kind in VERBS:
        if kind.startswith(("door", "lamp", "parcel")) and (kind, "") not in told:
            yield _not_seen(moment, "when", when_text(moment, kind, "", is_only=True))


def _seen(moment: Moment) -> set[tuple[str, str]]:
    """Kinds, and coats of people, that were in view or just outside."""
    stays = moment.world.present_between(moment.since_s, moment.t_s)
    return {(kind, colour if kind == "person" else "") for kind, colour in stays}


def _about_nobody(moment: Moment, who: str, kind: str, colour: str) -> Iterator[Question]:
    begins, ends, what = INTERVALS[kind]
    yield _not_seen(moment, "where", moment.one_of(WHERE_PHRASINGS).format(who=who))
    event = begins if moment.rng.random() < 0.5 else ends
    yield _not_seen(moment, "when", when_text(moment, event, colour, is_only=True))
    yield _not_seen(moment, "interval", moment.one_of(INTERVAL_PHRASINGS).format(what=what.format(colour=colour)))
    if kind == "person":
        yield _not_seen(moment, "jumps", JUMPS.format(colour=colour))
        yield _not_seen(moment, "interval", moment.one_of(INTERVAL_PHRASINGS).format(what=JUMPING.format(colour=colour)))
    if kind == "car":
        yield _not_seen(moment, "colour", "What colour is the car?")


def _not_seen(moment: Moment, family: str, text: str) -> Question:
    return moment.draft("not_seen", text, NOT_SEEN, family=family, about=(moment.since_s, moment.t_s))


def watch(moment: Moment) -> Iterator[Question]:
    """Statements about now, true or not."""
    for thing, is_so in things(moment):
        yield _statement(moment, thing, moment.one_of(STATEMENTS[thing]), is_so)
    for kind in KINDS:
        if not moment.kind_is_clear(kind):
            continue
        is_there = bool(moment.state.of_kind(kind))
        if kind != "person" or not is_there or moment.rng.random() < SOMEBODY_KEPT:
            yield _statement(moment, kind, moment.one_of(IN_VIEW).format(thing=f"A {kind}"), is_there)
    if moment.kind_is_clear("person"):
        worn = {actor.colour for actor in moment.state.of_kind("person")}
        for colour in COLOURS:
            text = moment.one_of(IN_VIEW).format(thing=f"A person in {colour}")
            yield _statement(moment, "coat", text, colour in worn)
        is_jumping = any(actor.action == "jump" for actor in moment.state.actors)
        yield _statement(moment, "jumping", moment.one_of(JUMPING_NOW), is_jumping)
    still = [actor for actor in plain_actors(moment) if not actor.moving]
    for one in still:
        for other in still:
            if abs(one.x - other.x) > LEFT_X:
                name = named(one)
                text = LEFT_NOW.format(one=name[0].upper() + name[1:], other=named(other))
                yield _statement(moment, "left", text, one.x < other.x)


def _statement(moment: Moment, family: str, text: str, is_so: bool) -> Question:
    return moment.draft("watch", text, "yes" if is_so else "no", family=family, choices=YES_NO)
