"""RTP time: 32 bits that wrap every 13 hours, and what sender reports say of it.

In: timestamps of packets (RFC 3550 5.1) and sender reports (6.4.1). Out: ticks in 64 bits, UTC epoch seconds by the sender's clock.
"""

from __future__ import annotations

from stream.units import MEDIA_CLOCK_HZ

TIMESTAMPS = 1 << 32
NTP_EPOCH_S = 2_208_988_800
"""1970 in the seconds of NTP, which count from 1900 (RFC 868)."""
_NTP_FRACTIONS = 1 << 32
LEAST_APART_S = 0.8
"""Reports closer than this tell nothing of each other's speed."""
LEAST_DRIFT_S, DRIFT = 0.1, 0.01
"""By how much, and what share of the time between them, two reports may disagree. GStreamer's webrtcbin (1.22) sends reports whose RTP time
runs at double speed: a report is believed once another agrees with it."""


def nearest(timestamp: int, to: int) -> int:
    """The 64-bit time that ends in this 32-bit one and is nearest to another."""
    return to + (timestamp - to + TIMESTAMPS // 2) % TIMESTAMPS - TIMESTAMPS // 2


class RtpTime:
    """The times of one stream. A new source (`ssrc`) forgets what the reports of the old one said."""

    def __init__(self) -> None:
        self._ssrc: int | None = None
        self._latest: int | None = None
        self._newest: tuple[int, float] | None = None
        self._report: tuple[int, float] | None = None
        self._early: dict[int, tuple[int, int]] = {}

    def ticks(self, timestamp: int, ssrc: int) -> int:
        """The time of a picture, unwrapped."""
        if ssrc != self._ssrc or self._latest is None:
            self._ssrc = ssrc
            self._newest = self._report = None
            self._latest = timestamp
            if ssrc in self._early:
                self.report(ssrc, *self._early.pop(ssrc))
            self._early.clear()
        self._latest = nearest(timestamp, self._latest)
        return self._latest

    def report(self, ssrc: int, ntp: int, timestamp: int) -> None:
        """A sender report: this RTP time is that moment of the sender's clock. One without a clock (0) says nothing."""
        if not ntp:
            return
        if ssrc != self._ssrc or self._latest is None:
            self._early = {ssrc: (ntp, timestamp)}
            return
        report = (nearest(timestamp, self._latest), ntp / _NTP_FRACTIONS - NTP_EPOCH_S)
        if self._newest is not None and 0 <= report[1] - self._newest[1] < LEAST_APART_S:
            return
        self._report = report if self._newest is not None and _agree(self._newest, report) else None
        self._newest = report

    def reported_s(self, ticks: int) -> float | None:
        """UTC epoch seconds of a picture by the sender's clock; None before two reports that agree."""
        if self._report is None:
            return None
        at, wall_s = self._report
        return wall_s + (ticks - at) / MEDIA_CLOCK_HZ


def _agree(earlier: tuple[int, float], later: tuple[int, float]) -> bool:
    media_s, wall_s = (later[0] - earlier[0]) / MEDIA_CLOCK_HZ, later[1] - earlier[1]
    return abs(media_s - wall_s) <= LEAST_DRIFT_S + DRIFT * abs(wall_s)
