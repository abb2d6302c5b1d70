"""Groups follow activity: short where something begins, long where nothing happens, and the same however bins come."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from stream.tokenizer.activity_partition import ActivityPartition
from stream.tokenizer.activity_rule import ActivityBin, ActivityRule
from stream.tokenizer.gop import mean_around
from stream.tokenizer.online import FixedQuota, Span

BIN_S = 0.5
RULE = ActivityRule.from_seconds(bin_s=BIN_S, t_min_s=1.5, t_max_s=6.0, t_still_s=10.0, calm_s=2.0, waits_for_key=False)
KEYS = ActivityRule.from_seconds(bin_s=BIN_S, t_min_s=1.5, t_max_s=6.0, t_still_s=10.0, calm_s=2.0, waits_for_key=True)


@dataclass(frozen=True)
class Film:
    """One record per bin: its cost, whether it is active, whether it is a keyframe."""

    costs: list[float]
    active: list[bool]
    keys: list[bool] = field(default_factory=list)

    def key(self, index: int) -> bool:
        return bool(self.keys) and self.keys[index]


def cut(film: Film, rule: ActivityRule = RULE, *, quota: float = 1.0, smooth: int = 0, late: int = 0) -> list[Span]:
    """Groups of a film. `late`: so many further records come for every bin before it is over, which say nothing."""
    partition = ActivityPartition(FixedQuota(quota), rule, bin_s=BIN_S, smooth=smooth)
    spans: list[Span] = []
    for index, cost in enumerate(film.costs):
        spans += partition.push(index * BIN_S, cost, peak=float(film.active[index]), is_key=film.key(index))
        for _ in range(late):
            spans += partition.push(index * BIN_S + BIN_S / 2, 0.0, peak=None)
            spans += partition.advance(index * BIN_S + BIN_S / 2)
    return spans + partition.finish("end")


def offline(film: Film, rule: ActivityRule, *, quota: float, smooth: int) -> list[tuple[int, int, str, bool]]:
    """The rule asked over a whole recording."""
    bins = [
        ActivityBin(mean_around(film.costs, index, smooth, len(film.costs)), film.active[index], film.key(index), quota)
        for index in range(len(film.costs))
    ]
    found, start, still = [], 0, rule.num_calm
    while start < len(bins):
        group = rule.next_group(bins[start:], still, at_end=True)
        assert group is not None
        end = start + group.end
        found.append((start, end, "end" if end == len(bins) - 1 else group.closed_by, group.is_active))
        for each in bins[start : end + 1]:
            still = 0 if each.is_active else still + 1
        start = end + 1
    return found


def as_tuples(spans: list[Span]) -> list[tuple[int, int, str, bool]]:
    return [(span.start, span.end, span.closed_by, span.is_active) for span in spans]


films = st.lists(
    st.tuples(st.floats(0, 1), st.booleans(), st.booleans()).flatmap(
        lambda one: st.integers(1, 30).map(lambda times: [one] * times)
    ),
    min_size=1,
    max_size=12,
).map(lambda spells: [one for spell in spells for one in spell])


@given(films, st.floats(0.1, 5), st.integers(0, 2), st.booleans(), st.integers(0, 2))
def test_bins_one_by_one_give_the_groups_of_the_whole_recording(
    records: list[tuple[float, bool, bool]], quota: float, smooth: int, waits: bool, late: int
) -> None:
    costs, active, keys = map(list, zip(*records, strict=True))
    film, rule = Film(costs, active, keys), KEYS if waits else RULE
    spans = as_tuples(cut(film, rule, quota=quota, smooth=smooth, late=late))
    assert spans == offline(film, rule, quota=quota, smooth=smooth)
    assert [bin_ for start, end, _, _ in spans for bin_ in range(start, end + 1)] == list(range(len(costs)))


@given(films, st.floats(0.1, 5))
def test_groups_keep_their_bounds(records: list[tuple[float, bool, bool]], quota: float) -> None:
    costs, active, _ = map(list, zip(*records, strict=True))
    spans = cut(Film(costs, active), quota=quota)[:-1]
    for before, span in zip([None, *spans], spans, strict=False):
        num_bins = span.end - span.start + 1
        if span.is_active:
            assert RULE.groups.num_min <= num_bins <= max(RULE.groups.num_max, RULE.groups.num_min + RULE.num_calm)
        else:
            assert num_bins <= RULE.num_still
            tail = RULE.groups.num_min - 1 if before is not None and before.is_active else 0
            assert not any(active[span.start + tail : span.end + 1]), "but for the rest of what the group before has shown"


def test_a_rest_of_a_spell_too_short_for_a_group_belongs_to_the_stillness_behind_it() -> None:
    film = Film([1.0] * 6 + [0.1, 1.0] + [0.5] * 30, [True] * 8 + [False] * 30)
    spans = as_tuples(cut(film, quota=4.0))
    assert [is_active for *_, is_active in spans[:3]] == [True, True, False]
    start, end, closed_by, _ = spans[2]
    assert start == 7, "the last active bin is in it"
    assert (end - start + 1, closed_by) == (RULE.num_still, "max_span")


def test_still_groups_are_long_and_end_where_something_begins() -> None:
    film = Film([0.0] * 47 + [1.0] * 13, [False] * 47 + [True] * 13)
    spans = as_tuples(cut(film, quota=2.0))
    assert spans[:3] == [(0, 19, "max_span", False), (20, 39, "max_span", False), (40, 46, "onset", False)]
    start, end, _, is_active = spans[3]
    assert (start, is_active) == (47, True)
    assert end - start + 1 in (RULE.groups.num_min, RULE.groups.num_min + 1)


def test_what_begins_is_shown_within_two_seconds_whatever_the_quota() -> None:
    film = Film([0.0] * 40 + [0.01] * 30, [False] * 40 + [True] * 30)
    onset = cut(film, quota=1000.0)[2]
    assert (onset.start, onset.closed_by) == (40, "onset")
    assert (onset.end - onset.start + 1) * BIN_S <= 2.0


def test_a_pause_shorter_than_calm_is_part_of_the_spell_and_a_longer_one_ends_it() -> None:
    short = Film([1.0] * 6 + [0.0] * 3 + [1.0] * 6, [True] * 6 + [False] * 3 + [True] * 6)
    assert all(span.is_active for span in cut(short, quota=100.0))
    long = Film([1.0] * 6 + [0.0] * 12 + [1.0] * 6, [True] * 6 + [False] * 12 + [True] * 6)
    assert as_tuples(cut(long, quota=100.0)) == [
        (0, 2, "onset", True),
        (3, 5, "still", True),
        (6, 17, "onset", False),
        (18, 20, "onset", True),
        (21, 23, "end", True),
    ]


def test_a_still_group_waits_for_a_keyframe_but_not_for_ever() -> None:
    keys = [index == 27 for index in range(100)]
    spans = as_tuples(cut(Film([0.0] * 100, [False] * 100, keys), KEYS))
    assert spans[0] == (0, 26, "max_span", False), "right before the keyframe"
    assert spans[1][1] - spans[1][0] + 1 == 2 * KEYS.num_still, "twice the span, and no keyframe came"


def test_a_bin_is_active_when_two_pictures_say_so_or_all_that_were_read() -> None:
    partition = ActivityPartition(FixedQuota(1.0), RULE, bin_s=BIN_S, smooth=0)
    for index in range(60):
        for part, peak in enumerate((0.0, float(index == 20), None)):
            partition.push(index * BIN_S + 0.1 * part, 0.0, peak=peak)
    assert not any(span.is_active for span in partition.finish("end")), "one of two pictures is noise"


def test_what_is_faint_yet_belongs_to_the_spell_that_it_begins() -> None:
    partition = ActivityPartition(FixedQuota(1.0), RULE, bin_s=BIN_S, smooth=0)
    spans: list[Span] = []
    for index in range(60):
        peak = 0.0 if index < 29 else 0.5 if index == 29 else 1.0
        spans += [span for part in (0.0, 0.2) for span in partition.push(index * BIN_S + part, 0.0, peak=peak)]
    onset = next(span for span in spans + partition.finish("end") if span.is_active)
    assert onset.start == 29
