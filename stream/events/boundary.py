"""The alert that needs no model: a change in what the encoder spends, seen in the packets alone.

In: packets in decode order, with their mean quantiser and `Effort` where somebody has read them. Out: `Change`s of boundary events. There are
two signs of a change. Where effort is read, `Regions` tell that something begins or ceases somewhere in the picture. And there is the cost
of the whole picture; while effort is read and no macroblock is at work, only a huge change of it is believed, for noise and rate control
make small ones all the time.

The cost stream is the mean log cost of the pictures that are not keyframes, in bins of a tenth of a second. Its level is the
mean since the last change, later a running one; its scale comes from the median step from bin to bin over the last third of a
minute. Cumulative sums to both sides (Page, 1954) open an event as soon as the deviations of a few bins add up to `onset` scales:
one bin when a lamp goes on, some for a small figure in a noisy picture. Then the level starts anew; an event ends when the new
level has held for a while.

What follows a keyframe is left out for a moment: the rate control pays for the keyframe there, and nothing happened. A picture
that stands out above the level is heard even there: a lamp may go on at any time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from stream.codec.effort import Effort
from stream.codec.places import FEW_BLOCKS
from stream.events.boundary_settings import BoundarySettings
from stream.events.cost_level import CostLevel, Wake
from stream.events.event import Change, Event, EventIds, Evidence
from stream.events.regions import Regions
from stream.tokenizer.costs import FrameCosts
from stream.units import Packet

SCORE_PER_LOG = 3.75
"""What a region scores whose effort changes by a factor e: at the default onset, one is told that grows or shrinks by 3.3."""

ALONE = 5.0
"""A change of the whole picture's cost must be so many times `onset` where no macroblock is at work."""

BIN_EDGE = 1e-6
"""Bins that a time may be early and still belong to the next: 0.3 s is in bin 3 of a tenth of a second."""


@dataclass(slots=True)
class Bin:
    """The packets of `bin_s` seconds. `echoes`: in the wake of a keyframe. `num_told`: of its frames, those that an event has already."""

    index: int
    start_wall_s: float
    end_wall_s: float
    total_height: float = 0.0
    num_costed: int = 0
    num_frames: int = 0
    num_told: int = 0
    echoes: bool = False


@dataclass(slots=True)
class OpenEvent:
    """`told`: as it was last told. What its bins add is gathered here, for few of them are told."""

    told: Event
    end_wall_s: float
    age_ms: float
    score: float
    top_score: float
    num_frames: int

    @classmethod
    def of(cls, event: Event) -> OpenEvent:
        seen = event.evidence[0]
        return cls(event, event.frame_time, event.frame_age_ms, event.score, event.top_score, seen.frames)

    def extend(self, done: Bin, age_ms: float) -> None:
        """A bin belongs to it."""
        self.end_wall_s, self.age_ms = done.end_wall_s, age_ms
        self.num_frames += done.num_frames - done.num_told

    def see_score(self, score: float) -> None:
        self.score = round(score, 2)
        self.top_score = max(self.top_score, self.score)

    def event(self) -> Event:
        """As it is now."""
        return replace(
            self.told,
            frame_time=self.end_wall_s,
            frame_age_ms=self.age_ms,
            score=self.score,
            top_score=self.top_score,
            evidence=(replace(self.told.evidence[0], end=self.end_wall_s, frames=self.num_frames),),
        )


class BoundaryDetector:
    """`push(packet)` returns the changes that this packet makes certain; `reset()` ends what is open (a gap, the end)."""

    def __init__(
        self,
        camera: str,
        settings: BoundarySettings | None = None,
        *,
        ids: EventIds | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.camera = camera
        self.settings = settings or BoundarySettings()
        self._ids = ids or EventIds()
        self._clock = clock
        self._costs = FrameCosts(self.settings.cost, self.settings.scene_cut_ratio)
        self._level = CostLevel(self.settings)
        self._wake = Wake(self.settings)
        self._regions = Regions()
        self._now_s = -math.inf
        self._bin: Bin | None = None
        self._since: Bin | None = None
        self._event: OpenEvent | None = None
        self._restless = -1
        self._quiet_until = -1

    def push(self, packet: Packet, mean_qp: float = math.nan, effort: Effort | None = None) -> list[Change]:
        """Count one packet. `mean_qp`: over its macroblocks, NaN where nobody has read it; `effort`: None there. Raises nothing: a packet
        out of order falls into the bin that is open."""
        changes = self.reset() if packet.discontinuity else []
        self._now_s = packet.media_s
        index = math.floor(packet.media_s / self.settings.bin_s + BIN_EDGE)
        if self._bin is None or index > self._bin.index:
            if self._bin is not None:
                changes += self._close(self._bin)
            self._bin = Bin(index, packet.wall_s, packet.wall_s, echoes=self._wake.holds(index))
        here = self._bin
        here.num_frames += 1
        here.end_wall_s = max(here.end_wall_s, packet.wall_s)
        cost = self._costs.of(packet.size_bytes, is_key=packet.is_key, mean_qp=mean_qp)
        if packet.is_key:
            self._wake.see_key(here.index)
            here.echoes = not cost and self._wake.holds(here.index)
        if cost or not packet.is_key:
            here.total_height += self._height(cost)
            here.num_costed += 1
        if effort is not None:
            changes += self._compare(here, self._regions.push(packet.media_s, effort))
        return changes

    def reset(self) -> list[Change]:
        """Ends an open event and starts a new level."""
        changes = [self._end(self._event)] if self._event is not None else []
        self._bin = self._since = None
        self._quiet_until = -1
        self._level.restart()
        self._wake.restart()
        self._regions.restart()
        return changes

    def _compare(self, here: Bin, change: float) -> list[Change]:
        """A region has changed by `change`, the logarithm of a ratio."""
        score = SCORE_PER_LOG * abs(change)
        if score < self.settings.onset or here.index < self._quiet_until:
            return []
        told = self._tell(here, here, score, "more" if change > 0 else "less")
        here.num_told = here.num_frames
        return [told]

    def _close(self, done: Bin) -> list[Change]:
        height = done.total_height / done.num_costed if done.num_costed else -math.inf
        if not done.num_costed or (done.echoes and not self._level.stands_out(height)):
            self._pass_over(done)
            return []
        total = self._level.push(height)
        if total >= self.settings.onset and not self._is_believed(done, total):
            self._level.restart()
            total = 0.0
        if total >= self.settings.onset and done.index >= self._quiet_until:
            since = _joined(self._since, done) if self._since else done
            return [self._tell(since, done, total, "more" if self._level.up >= self._level.down else "less")]
        if self._event is not None:
            return self._go_on(self._event, done, total)
        self._since = (_joined(self._since, done) if self._since else done) if total > 0 else None
        return []

    def _is_believed(self, done: Bin, total: float) -> bool:
        """Where effort is read, a change of the cost has to have a place; and right after one was told, it belongs to that one."""
        if not self._regions.is_known(self._now_s):
            return True
        is_still = self._regions.num_blocks < FEW_BLOCKS
        return done.index >= self._quiet_until and (not is_still or total >= ALONE * self.settings.onset)

    def _height(self, cost: float) -> float:
        """A picture's cost on a log scale (`log` is on one already)."""
        return cost if self.settings.cost == "log" else math.log(self.settings.quiet_bytes + cost)

    def _pass_over(self, done: Bin) -> None:
        """A bin that says nothing of the cost, yet its pictures belong to what is open."""
        if self._event is not None:
            self._event.extend(done, self._age_ms(done))
        elif self._since is not None:
            self._since = _joined(self._since, done)

    def _tell(self, since: Bin, done: Bin, score: float, label: str) -> Change:
        """A change that shows in bin `done`: it opens an event, or is news of the one that goes on."""
        if self._event is None:
            event = self._open(since, score, label)
            change = Change("new", replace(event, score=0.0, top_score=0.0), event)
        else:
            self._event.extend(done, self._age_ms(done))
            self._event.see_score(score)
            event = self._event.event()
            change = Change("update", self._event.told, event)
        self._event = OpenEvent.of(event)
        self._since = None
        self._begin_anew(done)
        return change

    def _begin_anew(self, done: Bin) -> None:
        """A change was told with this bin."""
        self._level.restart()
        self._regions.see_change(self._now_s)
        self._restless = done.index
        self._quiet_until = done.index + math.ceil(self.settings.refractory_s / self.settings.bin_s)

    def _go_on(self, event: OpenEvent, done: Bin, total: float) -> list[Change]:
        """A bin of an event without news."""
        event.extend(done, self._age_ms(done))
        event.see_score(total)
        if total >= self.settings.onset / 2:
            self._restless = done.index
        if (done.index - self._restless) * self.settings.bin_s < self.settings.calm_s:
            return []
        return [self._end(event)]

    def _open(self, since: Bin, score: float, label: str) -> Event:
        return Event(
            id=self._ids.next(self._clock()),
            camera=self.camera,
            kind="boundary",
            label=label,
            start_time=since.start_wall_s,
            score=round(score, 2),
            top_score=round(score, 2),
            frame_time=since.end_wall_s,
            frame_age_ms=self._age_ms(since),
            evidence=(Evidence(start=since.start_wall_s, end=since.end_wall_s, frames=since.num_frames),),
        )

    def _end(self, open_event: OpenEvent) -> Change:
        event = open_event.event()
        self._event = None
        return Change("end", open_event.told, replace(event, end_time=event.frame_time))

    def _age_ms(self, done: Bin) -> float:
        return round(max(0.0, self._clock() - done.end_wall_s) * 1000, 1)


def _joined(first: Bin, last: Bin) -> Bin:
    return replace(last, start_wall_s=first.start_wall_s, num_frames=first.num_frames + last.num_frames)
