"""Pictures per second over the last few seconds. In: media times. Out: a rate, 0 before there are two."""

from __future__ import annotations

from collections import deque

SPAN_S = 5.0


class Rate:
    def __init__(self) -> None:
        self._times_s: deque[float] = deque()

    def push(self, media_s: float) -> None:
        self._times_s.append(media_s)
        while media_s - self._times_s[0] > SPAN_S:
            self._times_s.popleft()

    def per_s(self) -> float:
        times_s = tuple(self._times_s)
        span_s = times_s[-1] - times_s[0] if len(times_s) > 1 else 0.0
        return (len(times_s) - 1) / span_s if span_s > 0 else 0.0
