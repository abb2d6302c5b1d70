"""Times of a clip's packets: where each stands in the clip, and when a decoder must have it.

In: recorded packets from a key frame on, in decode order. Out: packets that can be decoded, with their place in the clip, cut into the
smallest stretches that can be left out at the end; decoding times.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from stream.codec.codecs import starts_decoding
from stream.packetlog.entries import Recorded, Start, Steer
from stream.units import Packet

_STEP_S = 0.04
"""Least step from one recording to the next."""
_MOST_DEPTH = 32
"""Latest pictures among which a reordering is looked for: the largest picture buffer is 16 frames (H.264 A.3.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A packet of a clip. `at_s`: seconds from the first picture to this one. `shown_s`: the picture's own wall time. `enters`: decoding
    starts here, because what was before it is another recording or was broken off."""

    packet: Packet
    at_s: float
    shown_s: float
    enters: bool


def placed(entries: Iterable[Recorded | Start | Steer]) -> Iterator[Placed]:
    """Packets that can be decoded: from a start on; again from a start on after a discontinuity, as the tokenizer takes them; without the
    pictures that lead a key frame and need what was before it.

    Within a recording the clip's time is media time, gaps included. Media time begins anew with another recording, whose place is then as
    much later as wall time tells.
    """
    zero_s: float | None = None  # media time of the clip's zero
    entry_s: float | None = None  # least media time that can be decoded; None while waiting for a start
    latest: Placed | None = None
    begins = False
    for entry in entries:
        if isinstance(entry, Start):
            begins = True
        if not isinstance(entry, Recorded):
            continue
        packet, enters = entry.packet, False
        if packet.discontinuity or begins:
            entry_s = None
        if entry_s is None:
            if not starts_decoding(packet):
                continue
            entry_s, enters = packet.pts_s, True
        if packet.pts_s < entry_s:
            continue
        if zero_s is None:
            zero_s = packet.pts_s
        elif begins and latest is not None:
            zero_s = packet.pts_s - latest.at_s - max(packet.wall_s - latest.shown_s, _STEP_S)
        begins = False
        place = Placed(packet=packet, at_s=packet.pts_s - zero_s, shown_s=packet.wall_s, enters=enters)
        if latest is None or place.at_s > latest.at_s:
            latest = place
        yield place


def whole_stretches(packets: Iterable[Placed]) -> Iterator[list[Placed]]:
    """A picture that is later than all before it, with those that are shown before it and decoded after it."""
    stretch: list[Placed] = []
    latest_s = float("-inf")
    for packet in packets:
        if packet.at_s > latest_s or packet.enters:
            if stretch:
                yield stretch
            stretch, latest_s = [], packet.at_s
        stretch.append(packet)
    if stretch:
        yield stretch


def decode_ticks(shown: list[int]) -> tuple[list[int], list[int]]:
    """Ticks of presentation in decode order -> the same, later where it must be, and ticks of decoding: rising, none after its picture is
    shown.

    A decoder that puts pictures into order shows the first one only when it holds as many as the deepest reordering needs; decoding times
    are presentation times in order, that many pictures late.
    """
    depth = _depth(shown)
    step = _usual_step(shown)
    in_order = sorted(shown)
    late = [in_order[0] - (depth - index) * step for index in range(depth)] + in_order[: len(shown) - depth]
    decoded: list[int] = []
    for ticks in late:
        decoded.append(max(ticks, decoded[-1] + 1) if decoded else ticks)
    return [max(pair) for pair in zip(shown, decoded, strict=True)], decoded


def _depth(shown: list[int]) -> int:
    """Most pictures that are decoded before a picture which is shown before them."""
    before: list[int] = []
    deepest = 0
    for ticks in shown:
        deepest = max(deepest, len(before) - bisect_right(before, ticks))
        insort(before, ticks)
        del before[:-_MOST_DEPTH]
    return deepest


def _usual_step(shown: list[int]) -> int:
    """The middle one of the steps between pictures."""
    in_order = sorted(set(shown))
    steps = sorted(after - before for before, after in pairwise(in_order))
    return steps[len(steps) // 2] if steps else 1
