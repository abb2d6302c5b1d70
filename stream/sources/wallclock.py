"""Wall time of pictures: when did this happen?

In: media time, and what is known of a picture's moment: when it came, and what the camera's own clock says. Out: UTC epoch seconds.
Everything follows from what is passed in: the same samples give the same times.
"""

from __future__ import annotations

import math
from typing import Literal, Protocol

WRONG_S = 5.0
"""A clock further off than this is not believed."""
RIGHT_S = 3.0
"""A camera's clock that was wrong is believed again when it is this close."""
SETTLED_S = 2.0
"""A camera's clock is told to be wrong only after this long: servers begin with pictures that they kept, seconds old."""
STEP_S = 60.0
"""Nothing for longer than this, while the camera's time stands: our own clock was set, or this machine slept."""
RISE, RISE_REPORTED = 0.01, 0.0002
"""Seconds per second by which the shortest delay is let grow: clocks drift apart, RTP clocks (up to what `Pace` leaves) more than those
set by NTP."""
BLOCK_S = 10.0
NUM_STEADY = 3
"""Blocks of `BLOCK_S` with the same delay, after which a late camera without a clock is thought to have lost time, not to lag."""
STEADY_S = 0.5


class WallClock(Protocol):
    """Wall time of one camera's pictures, asked in decode order. `is_live`: whether it matters when a packet came."""

    @property
    def is_live(self) -> bool: ...

    def wall_s(self, pts_s: float, arrival_s: float, reported_s: float | None) -> float: ...

    def restart(self) -> None:
        """A new connection, or media time of another pace: what was learnt of delays does not hold any more."""


class Recorded:
    """A file's: when a picture would come if the file had been started at `started_s` and played at its own speed."""

    is_live = False

    def __init__(self, started_s: float) -> None:
        self._started_s = started_s

    def wall_s(self, pts_s: float, arrival_s: float, reported_s: float | None) -> float:
        return self._started_s + pts_s

    def restart(self) -> None:
        """Nothing was learnt."""


class Live:
    """A camera's: by its own clock where sender reports tell that and it is about right, else by when its pictures came.

    Without reports, wall time is media time plus the shortest delay seen: a picture that comes late was late on the way. With them, the
    camera's clock is believed up to `WRONG_S`; a clock further off still tells how late each picture is against the others. Never later
    than the arrival, since nothing comes before it happens. Pictures shown later have no earlier time, but once: with the first report.

    - `source`: what the last wall time rests on. `clock_wrong`: the camera's clock is off, and for so long that it is no old picture.
    - `clock_offset_s`: how far our clock is ahead of the camera's, the shortest way included; None without sender reports.
    - `num_reanchors`: how often wall time was set anew because it was wrong by more than `WRONG_S`.
    """

    is_live = True

    def __init__(self) -> None:
        self.num_reanchors = 0
        self._block_end_s = 0.0
        self._block_late = self._last_late = math.inf  # the least in this block, and in the one before
        self._num_steady = 0
        self.restart()

    def restart(self) -> None:
        self.source: Literal["arrival", "sender report"] = "arrival"
        self.clock_wrong = False
        self.clock_offset_s: float | None = None
        self._delay: float | None = None  # shortest arrival - pts
        self._ahead: float | None = None  # reported - pts of the last picture
        self._arrival_s = 0.0
        self._pts_s = self._newest_s = -math.inf  # the newest picture's, and its wall time
        self._is_off = False
        self._off_since_s = 0.0
        self._begin_block(0.0)

    def wall_s(self, pts_s: float, arrival_s: float, reported_s: float | None) -> float:
        passed_s = arrival_s - self._arrival_s
        self._arrival_s = arrival_s
        if not 0.0 <= passed_s < STEP_S:
            self._see_step(pts_s, passed_s)
        if reported_s is not None:
            wall_s = self._by_report(pts_s, arrival_s, reported_s, passed_s)
        elif self._ahead is not None and self.clock_offset_s is not None:
            wall_s = pts_s + self._ahead + (self.clock_offset_s if self._is_off or self.clock_offset_s < 0 else 0.0)
        else:
            wall_s = self._by_arrival(pts_s, arrival_s, passed_s)
        if wall_s > arrival_s:
            wall_s = arrival_s
        if pts_s >= self._pts_s:
            if wall_s < self._newest_s <= arrival_s:
                wall_s = self._newest_s
            self._pts_s, self._newest_s = pts_s, wall_s
        return wall_s

    def _by_arrival(self, pts_s: float, arrival_s: float, passed_s: float) -> float:
        """Media time plus the shortest delay, which may grow slowly."""
        delay = arrival_s - pts_s
        if self._delay is None:
            self._delay = delay
            self._begin_block(arrival_s)
        late = delay - self._delay
        if late <= 0.0:
            self.num_reanchors += late < -WRONG_S
            self._delay = delay
            return arrival_s
        self._delay += min(late, RISE * passed_s)
        if late < self._block_late:
            self._block_late = late
        if arrival_s >= self._block_end_s:
            self._see_block(arrival_s)
        return pts_s + self._delay

    def _begin_block(self, arrival_s: float, num_steady: int = 0) -> None:
        self._block_end_s = arrival_s + BLOCK_S
        self._block_late = self._last_late = math.inf
        self._num_steady = num_steady

    def _see_block(self, arrival_s: float) -> None:
        """Set the delay anew where it has been too long, and the same, for a while: the camera's time stood still, and goes on. A line
        that is too slow makes a camera later and later, or later for a moment; that is no error, and has to show."""
        late, steady = self._block_late, abs(self._block_late - self._last_late) <= STEADY_S
        self._begin_block(arrival_s, self._num_steady + 1 if steady else 1)
        self._last_late = late
        if self._num_steady >= NUM_STEADY and late > WRONG_S and self._delay is not None:
            self._delay += late
            self.num_reanchors += 1
            self._begin_block(arrival_s)

    def _by_report(self, pts_s: float, arrival_s: float, reported_s: float, passed_s: float) -> float:
        """The camera's own time, corrected where that cannot be."""
        ahead = reported_s - pts_s
        if self._ahead is not None and abs(ahead - self._ahead) > WRONG_S:
            self.clock_offset_s = None  # the camera's clock was set
            self._is_off = self.clock_wrong = False
        if self._ahead is None:
            self.source, self._newest_s = "sender report", -math.inf  # what was only guessed so far holds nothing back
        self._ahead = ahead
        delay, offset = arrival_s - reported_s, self.clock_offset_s
        if offset is None or delay < offset:
            offset = delay
        elif 0.0 < passed_s < STEP_S:
            offset += min(delay - offset, RISE_REPORTED * passed_s)
        self.clock_offset_s = offset
        if self._is_off or not -WRONG_S <= offset <= WRONG_S:
            self._judge(offset, arrival_s)
        return reported_s + offset if self._is_off or offset < 0.0 else reported_s

    def _judge(self, offset_s: float, arrival_s: float) -> None:
        """Whether the camera's clock is off, and since when; told and counted once it is settled."""
        if -WRONG_S <= offset_s <= RIGHT_S:
            self._is_off = self.clock_wrong = False
        elif not self._is_off:
            self._is_off, self._off_since_s = True, arrival_s
        elif not self.clock_wrong and not 0.0 <= arrival_s - self._off_since_s < SETTLED_S:
            self.clock_wrong = True
            self.num_reanchors += 1

    def _see_step(self, pts_s: float, passed_s: float) -> None:
        """Time went back, or far ahead, from one packet to the next: where media time did not go with it, our clock was set."""
        if self._pts_s == -math.inf or -WRONG_S < passed_s < 0.0 or 0.0 < passed_s / 2 < pts_s - self._pts_s:
            return
        self.num_reanchors += 1
        self._delay = self.clock_offset_s = None
