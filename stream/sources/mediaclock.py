"""Media time: ticks of any container to seconds since the stream began, repaired where a camera's clock is not.

In: presentation ticks in decode order, and for a live source when each came. Out: `Moment`. A file and a camera that send the same
packets get the same seconds, although RTP servers cut times down to the 90 kHz clock where files round. Repaired are a counter that
begins anew (silently: nothing happened), a jump (taken out and marked), missing, repeated and standing times, and for a live source a
clock that runs at the wrong speed. Sound times are never touched: arrival counts only where they cannot be right.

Ticks here are 90 kHz. "Raw" ticks are the camera's, wraps taken out; media ticks are what is believed.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from stream.sources.pace import Pace
from stream.units import MEDIA_CLOCK_HZ

GAP_S = 2.0
"""A step ahead longer than this, or a step back longer than this (more than any reordering), is a discontinuity."""
GAP_STEPS = 4
"""A step ahead is no gap while it stays below this many times the one before: slow cameras step far."""
LONGEST_GAP_S = 60.0
"""A step ahead up to this is believed (nothing was sent meanwhile); a longer one is a camera that set its clock, unless nothing came
for at least half of that time."""
WRAPS = (1 << 32, 1 << 33)
"""Ticks after which a counter begins anew: RTP timestamps (RFC 3550 5.1), presentation times of MPEG-TS (ISO/IEC 13818-1 2.4.3.7)."""
MOST_TWINS = 3
"""Pictures of one time that are told apart by a millisecond each; with more of them the clock stands still, and steps are made up."""
NUM_UNMARKED = 25
"""A jump so few packets after another is taken out without a mark: a decoder that starts anew at every packet shows nothing."""
_TICKS_PER_MS = MEDIA_CLOCK_HZ // 1000
_GAP, _LONGEST_GAP = round(GAP_S * MEDIA_CLOCK_HZ), round(LONGEST_GAP_S * MEDIA_CLOCK_HZ)
_ROUND_UP_TICKS = 34
"""Times become whole milliseconds; 34/90 is added before cutting. The frame times of 8, 10, 12, 12.5, 15, 16, 20, 24, 25, 30, 50
and 60 frames per second, and of 29.97, then lie more than a tick from the edge: a tick lost on the way changes nothing."""
_DEFAULT_STEP = MEDIA_CLOCK_HZ // 25
"""Step between frames until one has been seen."""


class Moment(NamedTuple):
    """Presentation time and its running maximum, media seconds; `discontinuity` as in `Packet`."""

    pts_s: float
    media_s: float
    discontinuity: bool


def to_media_ticks(ticks: int, time_base: Fraction) -> int:
    """Ticks of `time_base` to 90 kHz ticks, nearest, halves away from zero: FFmpeg's own rounding when it rescales."""
    denominator = time_base.denominator
    rounded = (2 * abs(ticks) * time_base.numerator * MEDIA_CLOCK_HZ + denominator) // (2 * denominator)
    return rounded if ticks >= 0 else -rounded


class _Map(NamedTuple):
    """Raw to media ticks: raw `start` is `at`, and from there on a raw tick is `rate` media ticks; before it, `rate_before`."""

    start: int
    at: int
    rate: float = 1.0
    rate_before: float = 1.0

    def __call__(self, raw: int) -> int:
        rate = self.rate if raw >= self.start else self.rate_before
        return self.at + (raw - self.start if rate == 1.0 else round((raw - self.start) * rate))


class MediaClock:
    """Media time of one camera. It outlives connections: after `reconnect` time goes on, and the first packet is marked.

    - `num_jumps`, `num_wraps`: jumps taken out, counters that began anew. `num_made_up`: packets whose time was missing, repeated or
      standing still.
    - `rate`: real seconds per second of the camera's clock, 1 while that is believed; `num_rates`: how often it was changed.
    """

    def __init__(self) -> None:
        self.num_jumps = self.num_wraps = self.num_made_up = self.num_rates = 0
        self._pace = Pace()
        self._map: _Map | None = None
        self._time_base: Fraction | None = None
        self._is_native = False
        self._wrapped = 0
        self._raw = self._at = 0  # of the packet before
        self._latest = self._latest_raw = 0
        self._step, self._last_step = _DEFAULT_STEP, 0  # between frames; the last one ahead, gaps as well
        self._arrival_s = 0.0  # 0: not known
        self._reanchor = False
        self._elapsed_s = 0.0
        self._num_twins = 0
        self._since_jump = NUM_UNMARKED
        self._before_jump: _Map | None = None
        self._has_outliers = False

    @property
    def rate(self) -> float:
        return self._map.rate if self._map is not None else 1.0

    def reconnect(self, elapsed_s: float) -> None:
        """The next packet comes from a new connection, `elapsed_s` after the last one."""
        if self._map is not None:
            self._reanchor = True
            self._elapsed_s = elapsed_s
            self._arrival_s = 0.0
            self._has_outliers = False
            self._pace.restart()

    def moment(self, ticks: int | None, time_base: Fraction, arrival_s: float | None = None) -> Moment:
        """Time of the next packet in decode order. A packet without a time is one frame step after the latest. `arrival_s`: UTC epoch
        seconds when a live source's packet came; None for a recording, whose times are all there is to believe."""
        if ticks is None:
            raw = self._latest_raw + round(self._step / self.rate) if self._map is not None else 0
            self.num_made_up += 1
            if (
                self._reanchor
            ):  # where the new connection's counter stands shows in the next packet, which is no second discontinuity
                self._since_jump, self._before_jump = 0, None
        else:
            if time_base is not self._time_base:
                self._time_base, self._is_native = time_base, time_base * MEDIA_CLOCK_HZ == 1
            raw = self._wrapped + (ticks if self._is_native else to_media_ticks(ticks, time_base))
        if self._map is None:
            self._map, self._raw, self._latest_raw = _Map(raw, 0), raw, raw
            self._arrival_s = arrival_s or 0.0
            return Moment(0.0, 0.0, discontinuity=False)
        at = self._map(raw)
        step = at - self._latest
        marked = False
        if self._reanchor or raw == self._raw or not (-_GAP <= step <= _GAP and step) or self._num_twins:
            raw, at, marked = self._repaired(raw, at, time_base, arrival_s)
        elif step > 0:
            self._step = self._last_step = step
        self._raw, self._at = raw, at
        self._since_jump += 1
        if at > self._latest:
            self._latest, self._latest_raw = at, raw
        if arrival_s is not None:
            if arrival_s >= self._pace.due_s or arrival_s < self._arrival_s:
                self._see_pace(arrival_s)
            self._arrival_s = arrival_s
        pts_s = _seconds(at)
        return Moment(pts_s, pts_s if at == self._latest else _seconds(self._latest), marked)

    def _repaired(self, raw: int, at: int, time_base: Fraction, arrival_s: float | None) -> tuple[int, int, bool]:
        """Raw and media ticks of a packet whose time is not simply the next one, and whether a discontinuity is marked."""
        assert self._map is not None
        silence = 0
        if arrival_s is not None and self._arrival_s:
            silence = max(0, round((arrival_s - self._arrival_s) * MEDIA_CLOCK_HZ))
        if self._reanchor:
            self._reanchor, self._num_twins = False, 0
            return raw, self._resume(raw, round(self._elapsed_s * MEDIA_CLOCK_HZ)), True
        if raw == self._raw:
            return raw, self._twin(), False
        stood, self._num_twins = self._num_twins > MOST_TWINS, 0
        raw, at = self._unwrapped(raw, at, time_base)
        step = at - self._latest
        if stood and step <= 0 and raw > self._raw - _GAP:
            return raw, self._resume(raw, 0), False
        if step == 0:
            self.num_made_up += 1
            return raw, at + _TICKS_PER_MS, False
        if -_GAP <= step <= _GAP:
            self._last_step = max(step, 0) or self._last_step
            return raw, at, False
        if self._returns(raw):
            return raw, self._map(raw), False
        if 0 < step <= max(_LONGEST_GAP, 2 * silence):
            is_gap, self._last_step = step > GAP_STEPS * self._last_step, step
            return raw, at, is_gap
        return raw, *self._jump(raw, silence)

    def _twin(self) -> int:
        """Media time of a picture that repeats the time of the one before it."""
        self._num_twins += 1
        self.num_made_up += 1
        return self._at + _TICKS_PER_MS if self._num_twins <= MOST_TWINS else self._latest + self._step

    def _unwrapped(self, raw: int, at: int, time_base: Fraction) -> tuple[int, int]:
        """The same where a counter that began anew explains the step: ahead for good, back for a picture shown before that."""
        assert self._map is not None
        if -_GAP <= at - self._latest <= _LONGEST_GAP:
            return raw, at
        for wrap in (to_media_ticks(ticks, time_base) for ticks in WRAPS):
            if -_GAP <= self._map(raw + wrap) - self._latest <= _LONGEST_GAP:
                self._wrapped += wrap
                self.num_wraps += 1
                return raw + wrap, self._map(raw + wrap)
            if self.num_wraps and -_GAP <= self._map(raw - wrap) - self._latest <= _GAP:
                return raw - wrap, self._map(raw - wrap)
        return raw, at

    def _returns(self, raw: int) -> bool:
        """Whether a packet belongs to the time before a recent jump, which then was a single wrong time: the map of before is back."""
        if self._before_jump is None or self._since_jump > NUM_UNMARKED:
            return False
        if not -_GAP <= self._before_jump(raw) - self._latest <= _GAP:
            return False
        self._map, self._before_jump, self._has_outliers = self._before_jump, None, True
        return True

    def _jump(self, raw: int, silence: int) -> tuple[int, bool]:
        """The camera set its clock: media time goes on from where it was, later by a silence there was. Time is continuous then, so
        where one jump follows the other, not each is marked."""
        is_marked = self._since_jump >= NUM_UNMARKED and not self._has_outliers
        self._before_jump, self._since_jump = self._map, 0
        self.num_jumps += 1
        return self._resume(raw, silence if silence > _GAP else 0), is_marked

    def _resume(self, raw: int, elapsed: int) -> int:
        """From now on `raw` is one step after the latest time, or `elapsed` ticks after it where that is more."""
        at = self._latest + max(self._step, elapsed)
        self._map = _Map(raw, at, self.rate, self.rate)
        return at

    def _see_pace(self, arrival_s: float) -> None:
        """Compare the camera's seconds with ours. Times of pictures before the latest stay as they are, so that none overtakes."""
        if arrival_s < self._arrival_s:
            self._pace.restart()
        factor = self._pace.see(self._latest / MEDIA_CLOCK_HZ, arrival_s)
        if factor is not None:
            rate = self.rate
            self._step = max(1, round(self._step * factor))
            self._map = _Map(self._latest_raw, self._latest, rate * factor, rate)
            self.num_rates += 1


def _seconds(ticks: int) -> float:
    return (ticks + _ROUND_UP_TICKS) // _TICKS_PER_MS / 1000
