"""How fast a camera's time really runs: its seconds against ours.

In: media seconds of a live source, and when they came. Out: how many real seconds a media second is, once that is certain. A time
base or a frame rate that lies (all times twice as fast, or at a tenth) shows here and nowhere else.

One stall or burst proves nothing, so several windows in a row must agree. A quick look finds gross lies in half a minute, a slow one
finds a wrong frame rate (24 for 25) in minutes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

FASTEST = 16.0
"""A source that is faster than this does not lie, it is not live: somebody pushes a file as fast as it goes."""
SLOWEST = 100.0
"""Real seconds per media second; more is a clock that stands still, which `MediaClock` knows by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """`num_windows` windows of `window_s` that agree within the share `agreement`; a rate off by less than `tolerance` is left."""

    window_s: float
    num_windows: int
    tolerance: float
    agreement: float


QUICK = Look(window_s=10.0, num_windows=3, tolerance=0.1, agreement=0.1)
SLOW = Look(window_s=120.0, num_windows=3, tolerance=0.01, agreement=0.005)


class _Windows:
    """The latest windows of one look."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self._rates: deque[float] = deque(maxlen=look.num_windows)
        self._start: tuple[float, float] | None = None

    def restart(self) -> None:
        self._rates.clear()
        self._start = None

    def see(self, media_s: float, arrival_s: float) -> float | None:
        """Real seconds per media second where the windows agree; None where they do not, or are not full."""
        if self._start is None:
            self._start = (media_s, arrival_s)
            return None
        media, real = media_s - self._start[0], arrival_s - self._start[1]
        if 0 <= real < self.look.window_s:
            return None
        self._start = (media_s, arrival_s)
        if real < 0 or not media * SLOWEST > real > media / FASTEST:
            self._rates.clear()
            return None
        self._rates.append(real / media)
        if len(self._rates) < self.look.num_windows or max(self._rates) > min(self._rates) * (1 + self.look.agreement):
            return None
        return sum(self._rates) / len(self._rates)


class Pace:
    """`see` now and then (`due_s` says when next), `restart` where time was broken."""

    def __init__(self) -> None:
        self.due_s = 0.0
        self._looks = (_Windows(QUICK), _Windows(SLOW))

    def restart(self) -> None:
        """What was measured so far does not count any more."""
        self.due_s = 0.0
        for windows in self._looks:
            windows.restart()

    def see(self, media_s: float, arrival_s: float) -> float | None:
        """Real seconds per media second, where that is certainly not 1; then everything is measured anew."""
        self.due_s = arrival_s + 1.0
        for windows in self._looks:
            rate = windows.see(media_s, arrival_s)
            if rate is not None and abs(rate - 1.0) > windows.look.tolerance:
                self.restart()
                return rate
        return None
