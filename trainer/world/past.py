"""Questions about what happened: last event, order, when, how many jumps, still there. In: a `Moment`. Out: every question it
allows."""

from __future__ import annotations

from collections.abc import Iterator

from trainer.world.event import EventKind, WorldEvent
from trainer.world.language import PHRASINGS, VERBS, clause, head, seconds_answer
from trainer.world.layout import COLOURS
from trainer.world.moment import SETTLE_S, YES_NO, Moment, key_of
from trainer.world.question import Question

APART_S = 1.0
"""The least time between two events whose order is asked."""
SECOND_MARGIN_S = 0.15
"""How near a whole second an event may not be when its second is asked."""
STAYED_S = 1.0
"""How long something must have been seen before one may ask whether it is still there."""
STAYED_KEPT = 0.5
"""More things stay than go: this part of those questions is kept, so that "yes" is not the better guess."""


def last_event(moment: Moment) -> Iterator[Question]:
    if not moment.seen or moment.fresh or moment.coming:
        return
    last = moment.seen[-1]
    if moment.recent[-1] is last:
        yield moment.draft("last_event", moment.phrase("last_event"), last.sentence, family="any", about=(last.t_s,))


def only_ones(moment: Moment) -> list[WorldEvent]:
    """Events whose like happened exactly once since the session began, and is not about to happen again."""
    keys = [key_of(event) for event in (*moment.recent, *moment.coming)]
    return [event for event in moment.seen if keys.count(key_of(event)) == 1]


def order(moment: Moment) -> Iterator[Question]:
    events = only_ones(moment)
    for index, first in enumerate(events):
        for second in events[index + 1 :]:
            if second.start_s - first.t_s > APART_S:
                yield from _order_of(moment, first, second)


def _order_of(moment: Moment, first: WorldEvent, second: WorldEvent) -> Iterator[Question]:
    about = (first.t_s, second.t_s)
    before, either, which = PHRASINGS["order"]
    for one, other, is_before in ((first, second, True), (second, first, False)):
        words = {"Head": head(*key_of(one)), "clause": clause(*key_of(other))}
        answer = "yes" if is_before else "no"
        yield moment.draft("order", before.format(**words), answer, family="yes or no", about=about, choices=YES_NO)
        answer = "before" if is_before else "after"
        text, choices = either.format(**words), ("before", "after")
        yield moment.draft("order", text, answer, family="before or after", about=about, choices=choices)
    if _came(moment, first) and _came(moment, second):
        names = _name(first), _name(second)
        for a, b in (names, names[::-1]):
            yield moment.draft("order", which.format(one=a, other=b), names[0], family="which", about=about, choices=(a, b))


def _came(moment: Moment, event: WorldEvent) -> bool:
    """An arrival of what was not there when the session began."""
    if event.kind not in ("person_arrived", "car_arrived", "dog_arrived"):
        return False
    at_first = moment.world.state_at(moment.since_s).actors
    return not any(actor.kind == event.actor and (actor.kind != "person" or actor.colour == event.colour) for actor in at_first)


def _name(event: WorldEvent) -> str:
    return VERBS[event.kind][1].format(colour=event.colour)


def when(moment: Moment) -> Iterator[Question]:
    unique = {key_of(event) for event in only_ones(moment)}
    last = {key_of(event): event for event in moment.seen}
    newest = {key_of(event): event for event in (*moment.recent, *moment.coming)}
    for (kind, colour), event in last.items():
        event_s = event.start_s if kind == "person_jumped" else event.t_s
        at_s = event_s - moment.zero_s
        if newest[kind, colour] is not event or not SECOND_MARGIN_S <= at_s % 1.0 <= 1 - SECOND_MARGIN_S:
            continue
        text = when_text(moment, kind, colour, is_only=(kind, colour) in unique)
        yield moment.draft("when", text, seconds_answer(int(at_s)), family=event.actor, about=(event_s,), exact_s=at_s)


def when_text(moment: Moment, kind: EventKind, colour: str, *, is_only: bool) -> str:
    """A question for an event's time; for that of the last of its kind unless it is the only one."""
    plain, again, second = PHRASINGS["when"]
    aux, subject, verb, _ = VERBS[kind]
    form = moment.one_of((plain, second, again)) if is_only else again
    if kind == "person_jumped":
        form, verb = (plain if is_only else again), "start jumping"
    return form.format(aux=aux, subject=subject.format(colour=colour), verb=verb)


def jumps(moment: Moment) -> Iterator[Question]:
    bouts = [event for event in moment.seen if event.kind == "person_jumped"]
    if not bouts or "person" in moment.fresh or any(event.kind == "person_jumped" for event in moment.coming):
        return
    last = bouts[-1]
    text = moment.phrase("jumps", colour=last.colour)
    yield moment.draft("jumps", text, str(last.num_jumps), family="jumps", about=(last.start_s, last.t_s))


def still_there(moment: Moment) -> Iterator[Question]:
    for thing, family, came, went, is_there in _subjects(moment):
        arrivals = [event for event in moment.recent if key_of(event) == came]
        leaves = [event for event in moment.recent if key_of(event) == went]
        was_there = not arrivals or (bool(leaves) and leaves[0].t_s < arrivals[0].t_s)
        seen_from_s = moment.since_s if was_there else arrivals[0].t_s
        if is_there and not leaves and moment.t_s - seen_from_s >= STAYED_S + SETTLE_S:
            if moment.rng.random() < 1 - STAYED_KEPT:
                continue
            answer, about = "yes", moment.t_s
        elif not is_there and len(leaves) == 1 and leaves[0].start_s - seen_from_s >= STAYED_S:
            answer, about = "no", leaves[0].t_s
        else:
            continue
        text = moment.phrase("still_there", thing=thing)
        yield moment.draft("still_there", text, answer, family=family, about=(about,), choices=YES_NO)


def _subjects(moment: Moment) -> Iterator[tuple[str, str, tuple[EventKind, str], tuple[EventKind, str], bool]]:
    """What may be asked about: its name, family, the events that bring it and take it, whether it is there now."""
    if moment.kind_is_clear("car"):
        yield "the car", "car", ("car_arrived", ""), ("car_left", ""), bool(moment.state.of_kind("car"))
    if moment.kind_is_clear("dog"):
        yield "the dog", "dog", ("dog_arrived", ""), ("dog_left", ""), bool(moment.state.of_kind("dog"))
    if moment.parcel_is_clear():
        yield "the parcel", "parcel", ("parcel_delivered", ""), ("parcel_taken", ""), moment.state.parcel
    if moment.kind_is_clear("person"):
        worn = {actor.colour for actor in moment.state.of_kind("person")}
        for colour in COLOURS:
            yield f"the person in {colour}", "person", ("person_arrived", colour), ("person_left", colour), colour in worn
