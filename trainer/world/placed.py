"""Questions whose answer is a place: a point, a box, tracks of points; and how things stand to each other. In: a `Moment`. Out: every
question it allows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

from trainer.world import forms
from trainer.world.layout import DRAWING_H, DRAWING_W
from trainer.world.moment import SEEN_S, YES_NO, Moment, is_clear
from trainer.world.precise_language import BOX_PHRASINGS, DEPTHS, FRONT, LEFT, NEAREST, POINT_PHRASINGS, TRACK
from trainer.world.present import KINDS
from trainer.world.question import Question
from trainer.world.state import ActorState, WorldState
from trainer.world.world import World

MIDDLE = {"person": 0.60, "car": 0.40, "dog": 0.60}
"""Height over the ground of a point that surely lies on the body, part of the actor's height."""
TRACK_FRAMES = (2, 30)
"""Whole seconds at which what is tracked is seen."""
LEFT_X, NEARER_Y = 0.06, 0.015
"""The least difference of two places that is asked for."""


def named(actor: ActorState) -> str:
    return f"the person in {actor.colour}" if actor.kind == "person" else f"the {actor.kind}"


def spot(actor: ActorState) -> tuple[float, float]:
    """A point on the body, 0..1."""
    up = actor.hop + MIDDLE[actor.kind] - 0.15 * actor.bend
    forward = 0.08 * actor.bend * actor.facing * DRAWING_H / DRAWING_W
    return actor.x + forward * actor.height, actor.y - up * actor.height


def plain_actors(moment: Moment) -> list[ActorState]:
    """Actors that are wholly in view, with nothing of them hidden, and that nobody of the same name could be taken for."""
    clear = [actor for kind in KINDS if moment.kind_is_clear(kind) for actor in moment.state.of_kind(kind)]
    return [actor for actor in clear if not actor.covered]


def point(moment: Moment) -> Iterator[Question]:
    for actor in plain_actors(moment):
        text = moment.one_of(POINT_PHRASINGS).format(who=named(actor))
        yield moment.draft("point", text, forms.point(*spot(actor)), family=actor.kind, idents=(actor.ident,))


def box(moment: Moment) -> Iterator[Question]:
    for actor in plain_actors(moment):
        text = moment.one_of(BOX_PHRASINGS).format(who=named(actor))
        yield moment.draft("box", text, forms.box(*actor.box), family=actor.kind, idents=(actor.ident,))


def tracks(moment: Moment) -> Iterator[Question]:
    """Of everybody who is the only one of their name since the session began, and of all people together."""
    seconds = whole_seconds(moment.since_s, moment.t_s, moment.zero_s)
    states = [moment.world.state_at(moment.zero_s + second) for second in seconds]
    actors = {actor.ident: actor for state in states for actor in state.actors}
    for kind, colour in sorted({(actor.kind, actor.colour if actor.kind == "person" else "") for actor in actors.values()}):
        several = [ident for ident, actor in actors.items() if actor.kind == kind and colour in ("", actor.colour)]
        if len(several) == 1:
            yield from _tracks(moment, named(actors[several[0]]), kind, several)
    people = [ident for ident, actor in actors.items() if actor.kind == "person"]
    if len(people) > 1:
        yield from _tracks(moment, "the people", "people", people)


def _tracks(moment: Moment, who: str, family: str, idents: Sequence[int]) -> Iterator[Question]:
    frames = track_frames(moment.world, idents, moment.since_s, moment.t_s, moment.zero_s)
    about = [moment.zero_s + second for second, points in frames if points]
    if TRACK_FRAMES[0] <= len(about) <= TRACK_FRAMES[1]:
        text, answer = TRACK.format(who=who), forms.tracks(frames, who)
        yield moment.draft("tracks", text, answer, family=family, about=about, idents=tuple(idents))


def whole_seconds(since_s: float, until_s: float, zero_s: float) -> range:
    """Of a session's clock, which counts from `zero_s`: those of which it has seen the picture."""
    return range(math.ceil(since_s + SEEN_S - zero_s), math.floor(until_s - zero_s) + 1)


def track_frames(
    world: World, idents: Sequence[int], since_s: float, until_s: float, zero_s: float
) -> list[tuple[float, dict[int, tuple[float, float]]]]:
    """Whole seconds of the session's clock, and the points of those of `idents` that are there, by their numbers in it. Seconds at which
    one of them is there but not plainly in view are left out."""
    seconds = whole_seconds(since_s, until_s, zero_s)
    frames = ((float(second), seen_in(world.state_at(zero_s + second), idents)) for second in seconds)
    return [(second, points) for second, points in frames if points is not None]


def seen_in(state: WorldState, idents: Sequence[int]) -> dict[int, tuple[float, float]] | None:
    """Points of those of `idents` that are there, by their numbers in it; None where one of them is not plainly in view."""
    seen = {idents.index(actor.ident): actor for actor in state.actors if actor.ident in idents}
    if any(not is_clear(actor) or actor.covered for actor in seen.values()):
        return None
    return {number: spot(actor) for number, actor in seen.items()}


def relation(moment: Moment) -> Iterator[Question]:
    """Left of, between any two; in front of, between people alone: cars are always nearer than dogs, and dogs than people."""
    for one, other in combinations(plain_actors(moment), 2):
        pairs = ((one, other), (other, one))
        if abs(one.x - other.x) > LEFT_X and not (one.moving or other.moving):
            yield from (_yes_no(moment, LEFT, "left", a, b, a.x < b.x) for a, b in pairs)
        if one.kind == other.kind == "person" and abs(one.y - other.y) > NEARER_Y:
            yield from (_yes_no(moment, FRONT, "in front", a, b, a.y > b.y) for a, b in pairs)


def _yes_no(moment: Moment, form: str, family: str, one: ActorState, other: ActorState, is_so: bool) -> Question:
    text = form.format(one=named(one), other=named(other))
    return moment.draft("relation", text, "yes" if is_so else "no", family=family, choices=YES_NO)


def depth_order(moment: Moment) -> Iterator[Question]:
    """Of two or three people, the nearest first."""
    people = [actor for actor in plain_actors(moment) if actor.kind == "person"]
    for one, other in combinations(people, 2):
        if abs(one.y - other.y) > NEARER_Y:
            names = named(one), named(other)
            answer = names[0] if one.y > other.y else names[1]
            for a, b in (names, names[::-1]):
                text = NEAREST.format(one=a, other=b)
                yield moment.draft("depth_order", text, answer, family="nearer", choices=(a, b))
    by_depth = sorted(people, key=lambda actor: -actor.y)
    if len(people) == 3 and all(a.y - b.y > NEARER_Y for a, b in pairwise(by_depth)):
        shuffled = [people[int(index)] for index in moment.rng.permutation(3)]
        text = DEPTHS.format(several="{}, {} and {}".format(*map(named, shuffled)))
        yield moment.draft("depth_order", text, ", ".join(map(named, by_depth)), family="order")
