"""The alert that needs no model: a change in what the encoder spends, seen in the packets alone.

In: packets in decode order. Out: `Change`s of boundary events. The cost stream is the mean size of the pictures that are not
keyframes, in bins of a quarter second, on a log scale. Its level follows it slowly; its scale comes from the median step from
bin to bin over the last half minute. Cumulative sums to both sides (Page, 1954) open an event as soon as the deviations of a
few bins add up to `onset` scales: one bin when a lamp goes on, three for a small figure in a noisy picture. Then the level
starts anew; an event ends when the new level has held for a while.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from stream.errors import SettingsError
from stream.events.event import Change, Event, EventIds, Evidence
from stream.units import Packet

STEP_TO_SIGMA = 1.4826 / math.sqrt(2)
"""Of independent normal values: standard deviation over the median size of the step from one to the next."""

FEW_BINS = 6
"""A scale from this many bins is taken twice as large: it may be far off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundarySettings:
    """Deviations are counted in running scales.

    - `onset`: sum of deviations that opens an event; `slack`: deviation per bin that is nothing.
    - `calm_s`: how long the sums must stay under half of `onset` to end it; `refractory_s`: pause after an end.
    - `level_s`: time constant of the level; `scale_s`: memory of the scale; `warm_up_s`: bins seen before the first event.
    - `floor`: least scale, in log units; `quiet_bytes`: sizes well under it count as the same.
    """

    bin_s: float = 0.25
    onset: float = 6.0
    slack: float = 0.5
    calm_s: float = 1.0
    refractory_s: float = 1.0
    level_s: float = 6.0
    scale_s: float = 30.0
    warm_up_s: float = 3.0
    floor: float = 0.02
    quiet_bytes: int = 200

    def __post_init__(self) -> None:
        if not self.onset > 0:
            raise SettingsError(f"boundary.onset: expected above 0, got {self.onset}")


@dataclass(slots=True)
class Bin:
    """A quarter second of packets."""

    index: int
    start_wall_s: float
    end_wall_s: float
    total_bytes: int = 0
    num_costed: int = 0
    num_frames: int = 0


class CostLevel:
    """The running level and scale of a cost, and its deviations summed to both sides."""

    def __init__(self, settings: BoundarySettings) -> None:
        self._settings = settings
        self._steps: deque[float] = deque(maxlen=max(1, round(settings.scale_s / settings.bin_s)))
        self._gain = settings.bin_s / settings.level_s
        self.restart()

    def restart(self) -> None:
        """A new level from here on. The scale stays."""
        self._level = 0.0
        self._num_bins = 0
        self._last = 0.0
        self.up = self.down = 0.0

    @property
    def warm(self) -> bool:
        return len(self._steps) * self._settings.bin_s >= self._settings.warm_up_s

    def push(self, cost: float) -> float:
        """Take the next bin's cost. Returns the larger of the two sums, 0 while there is no level or no scale yet."""
        self._num_bins += 1
        if self._num_bins == 1:
            self._level = self._last = cost
            return 0.0
        self._steps.append(abs(cost - self._last))
        self._last = cost
        deviation = (cost - self._level) / self._scale()
        self._level += (cost - self._level) * max(self._gain, 1 / self._num_bins)
        if not self.warm:
            return 0.0
        self.up = max(0.0, self.up + deviation - self._settings.slack)
        self.down = max(0.0, self.down - deviation - self._settings.slack)
        return max(self.up, self.down)

    def _scale(self) -> float:
        uncertain = 1 + FEW_BINS / len(self._steps)
        return max(STEP_TO_SIGMA * float(np.median(self._steps)) * uncertain, self._settings.floor)


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
        self._level = CostLevel(self.settings)
        self._bin: Bin | None = None
        self._since: Bin | None = None
        self._event: Event | None = None
        self._told: Event | None = None
        self._num_calm = 0
        self._quiet_until = -1

    def push(self, packet: Packet) -> list[Change]:
        """Count one packet. Raises nothing: a packet out of order falls into the bin that is open."""
        changes = self.reset() if packet.discontinuity else []
        index = math.floor(packet.media_s / self.settings.bin_s)
        if self._bin is None or index > self._bin.index:
            if self._bin is not None:
                changes += self._close(self._bin)
            self._bin = Bin(index, packet.wall_s, packet.wall_s)
        here = self._bin
        here.num_frames += 1
        here.end_wall_s = packet.wall_s
        if not packet.is_key:
            here.total_bytes += packet.size_bytes
            here.num_costed += 1
        return changes

    def reset(self) -> list[Change]:
        """Ends an open event and starts a new level."""
        changes = [self._end(self._event)] if self._event is not None else []
        self._bin = self._since = None
        self._quiet_until = -1
        self._level.restart()
        return changes

    def _close(self, done: Bin) -> list[Change]:
        if not done.num_costed:
            return []
        total = self._level.push(math.log(self.settings.quiet_bytes + done.total_bytes / done.num_costed))
        if self._event is not None:
            return self._go_on(self._event, done, total)
        if total <= 0:
            self._since = None
            return []
        self._since = _joined(self._since, done) if self._since else done
        if total < self.settings.onset or done.index < self._quiet_until:
            return []
        self._event = self._told = self._open(self._since, total)
        first_sign = replace(self._event, score=0.0, top_score=0.0)
        self._since, self._num_calm = None, 0
        self._level.restart()
        return [Change("new", first_sign, self._event)]

    def _go_on(self, event: Event, done: Bin, total: float) -> list[Change]:
        assert self._told is not None
        seen = event.evidence[0]
        self._event = event = replace(
            event,
            score=round(total, 2),
            top_score=max(event.top_score, round(total, 2)),
            frame_time=done.end_wall_s,
            frame_age_ms=self._age_ms(done),
            evidence=(replace(seen, end=done.end_wall_s, frames=seen.frames + done.num_frames),),
        )
        if total >= self.settings.onset:
            self._level.restart()
            self._num_calm = 0
            change = Change("update", self._told, event)
            self._told = event
            return [change]
        self._num_calm = self._num_calm + 1 if total < self.settings.onset / 2 else 0
        if self._num_calm * self.settings.bin_s < self.settings.calm_s:
            return []
        self._quiet_until = done.index + math.ceil(self.settings.refractory_s / self.settings.bin_s)
        return [self._end(event)]

    def _open(self, since: Bin, total: float) -> Event:
        return Event(
            id=self._ids.next(self._clock()),
            camera=self.camera,
            kind="boundary",
            label="more" if self._level.up >= self._level.down else "less",
            start_time=since.start_wall_s,
            score=round(total, 2),
            top_score=round(total, 2),
            frame_time=since.end_wall_s,
            frame_age_ms=self._age_ms(since),
            evidence=(Evidence(start=since.start_wall_s, end=since.end_wall_s, frames=since.num_frames),),
        )

    def _end(self, event: Event) -> Change:
        assert self._told is not None
        change = Change("end", self._told, replace(event, end_time=event.frame_time))
        self._event = self._told = None
        return change

    def _age_ms(self, done: Bin) -> float:
        return round(max(0.0, self._clock() - done.end_wall_s) * 1000, 1)


def _joined(first: Bin, last: Bin) -> Bin:
    return replace(last, start_wall_s=first.start_wall_s, num_frames=first.num_frames + last.num_frames)
