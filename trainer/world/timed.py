"""Questions whose answer is times: an event's in tenths, an interval, the start of every jump. In: a `Moment`. Out: every question it
allows."""

from __future__ import annotations

from collections.abc import Iterator

from trainer.world import forms
from trainer.world.event import WorldEvent
from trainer.world.moment import SEEN_S, Moment, key_of
from trainer.world.past import only_ones, when_text
from trainer.world.precise_language import INTERVAL_PHRASINGS, INTERVALS, JUMPING, STARTS_PHRASINGS
from trainer.world.question import Question

LONGEST_TURN_S = 1.2


def when_tenths(moment: Moment) -> Iterator[Question]:
    """Every event that "when" may ask for, those near a whole second too."""
    unique = {key_of(event) for event in only_ones(moment)}
    newest = {key_of(event): event for event in (*moment.recent, *moment.coming)}
    for (kind, colour), event in {key_of(event): event for event in moment.seen}.items():
        if newest[kind, colour] is not event:
            continue
        event_s = event.start_s if kind == "person_jumped" else event.t_s
        text = when_text(moment, kind, colour, is_only=(kind, colour) in unique)
        at_s = event_s - moment.zero_s
        yield moment.draft("when_tenths", text, forms.tenths(at_s), family=event.actor, about=(event_s,), exact_s=at_s)


def interval(moment: Moment) -> Iterator[Question]:
    """Stays and states that began and ended once since the session began."""
    once = {key_of(event): event for event in only_ones(moment)}
    for family, (begins, ends, what) in INTERVALS.items():
        for (kind, colour), first in once.items():
            last = once.get((ends, colour)) if kind == begins else None
            if last is not None and first.t_s < last.t_s:
                yield _interval(moment, family, what.format(colour=colour), first.t_s, last)
    for (kind, colour), event in once.items():
        if kind == "person_jumped":
            yield _interval(moment, "jumping", JUMPING.format(colour=colour), event.start_s, event)


def _interval(moment: Moment, family: str, what: str, start_s: float, last: WorldEvent) -> Question:
    text = moment.one_of(INTERVAL_PHRASINGS).format(what=what)
    answer = forms.interval(start_s - moment.zero_s, last.t_s - moment.zero_s)
    return moment.draft("interval", text, answer, family=family, about=(start_s, last.t_s))


def jump_starts(moment: Moment) -> Iterator[Question]:
    """All starts in the session's time; not while the rope turns, nor when the session began during a turn."""
    if moment.world.scene != "jumpscore" or any(actor.action == "jump" for actor in moment.state.actors):
        return
    starts_s = [t_s for t_s in moment.world.jump_starts_s if moment.since_s - LONGEST_TURN_S < t_s <= moment.t_s]
    if starts_s and starts_s[0] < moment.since_s + SEEN_S:
        return
    text, answer = moment.one_of(STARTS_PHRASINGS), forms.starts(t_s - moment.zero_s for t_s in starts_s)
    yield moment.draft("jump_starts", text, answer, family="jumps", about=starts_s)
