"""Encoded pictures of one publisher to `Sample`s: canonical bytes, times, and what to do after a loss.

A picture that leans on a lost one shows what never was, so after a loss pictures are left out until one where decoding may start, which is
asked for. A sender that gives none within `key_patience_s` is taken as it comes, marked as broken.

In: `Encoded` pictures in order, sender reports. Out: `Sample`s to `on_sample`, wishes for a keyframe to `ask_key`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

from stream.codec.h264.access_unit import AccessUnit, Canonicaliser
from stream.sources.limits import IngestLimits
from stream.sources.sample import Sample
from stream.units import MEDIA_CLOCK_HZ
from stream.webrtc.assembly import Encoded
from stream.webrtc.rtptime import RtpTime

TIME_BASE = Fraction(1, MEDIA_CLOCK_HZ)
ASK_KEY_EVERY_S = 0.5
"""Least time between two wishes for a keyframe: a keyframe must have had time to come (RFC 4585 6.3.1)."""


class KeyWish:
    """Asks for a keyframe, at most every half second."""

    def __init__(self, ask: Callable[[], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        self.num_asked = 0
        self._ask = ask
        self._monotonic = monotonic
        self._next_s = float("-inf")

    def __call__(self) -> None:
        now_s = self._monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + ASK_KEY_EVERY_S
            self.num_asked += 1
            self._ask()


class Pictures:
    """`push` pictures, `report` what sender reports say. `skipped` counts pictures by why they were left out. `push` raises `TooLargeError` for
    a picture over the limits."""

    def __init__(
        self,
        on_sample: Callable[[Sample], None],
        ask_key: Callable[[], None],
        *,
        parameter_sets: bytes = b"",
        key_patience_s: float,
        limits: IngestLimits,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.skipped: Counter[str] = Counter()
        self.times = RtpTime()
        self._on_sample = on_sample
        self._ask_key = ask_key
        self._canonical = Canonicaliser(parameter_sets)
        self._key_patience_s = key_patience_s
        self._limits = limits
        self._clock = clock
        self._monotonic = monotonic
        self._started = False
        self._lost_since_s: float | None = None
        self._breaks = False

    def push(self, encoded: Encoded) -> None:
        unit = self._canonical.push(encoded.data)
        if unit is None:
            self.skipped["no_picture"] += 1
            return
        if self._started and (encoded.after_loss or unit.continues):
            self._breaks = True
            if self._lost_since_s is None:
                self._lost_since_s = self._monotonic()
        why = self._why_not(unit)
        if why is not None:
            self.skipped[why] += 1
            self._ask_key()
            return
        self._on_sample(self._sample(encoded, unit))

    def _why_not(self, unit: AccessUnit) -> str | None:
        """Why a picture is left out; None where it is taken."""
        if unit.size_px is None:
            return "no_parameter_sets"
        if unit.continues:
            return "damaged"
        if unit.starts:
            self._started, self._lost_since_s = True, None
            return None
        if not self._started:
            return "before_key"
        if self._lost_since_s is not None and self._monotonic() - self._lost_since_s < self._key_patience_s:
            return "after_loss"
        self._lost_since_s = None
        return None

    def _sample(self, encoded: Encoded, unit: AccessUnit) -> Sample:
        assert unit.size_px is not None
        self._limits.check_access_unit(len(unit.data))
        self._limits.check_picture(*unit.size_px)
        ticks = self.times.ticks(encoded.timestamp, encoded.ssrc)
        breaks, self._breaks = self._breaks or unit.resized, False
        return Sample(
            data=unit.data,
            pts=ticks,
            dts=None,
            time_base=TIME_BASE,
            arrival_s=self._clock(),
            reported_s=self.times.reported_s(ticks),
            is_key=unit.is_key,
            codec="h264",
            size_bytes=unit.size_bytes,
            width=unit.size_px[0],
            height=unit.size_px[1],
            breaks=breaks,
        )
