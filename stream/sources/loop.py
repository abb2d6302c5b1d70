"""A file that begins again when it ends, as one stream whose time goes on.

In: `Sample`s of one reading after another. Out: the same, later readings moved behind earlier ones, their first sample marked as a break.
"""

from __future__ import annotations

from fractions import Fraction

from stream.sources.sample import Sample

_DEFAULT_STEP_S = Fraction(1, 25)
"""Between the last picture and the first of the next reading, where one picture is all there is."""


class Loop:
    """`again()` before every reading but the first; then `sample` for each."""

    def __init__(self) -> None:
        self.num_samples = 0
        self._shift = 0
        self._first: int | None = None
        self._latest = 0
        self._step = 0
        self._breaks = False

    def again(self) -> None:
        if self._first is not None:
            self._shift += self._latest + self._step - self._first
        self._first, self.num_samples, self._breaks = None, 0, True

    def sample(self, sample: Sample) -> Sample:
        """The sample at its time in the whole."""
        self.num_samples += 1
        ticks = sample.pts if sample.pts is not None else sample.dts
        if ticks is not None:
            self._learn(ticks, sample.time_base)
        if not self._shift and not self._breaks:
            return sample
        breaks, self._breaks = sample.breaks or self._breaks, False
        return sample._replace(pts=self._moved(sample.pts), dts=self._moved(sample.dts), breaks=breaks)

    def _learn(self, ticks: int, time_base: Fraction) -> None:
        if self._first is None:
            self._first = self._latest = ticks
        self._latest = max(self._latest, ticks)
        self._first = min(self._first, ticks)
        num_steps = self.num_samples - 1
        self._step = round((self._latest - self._first) / num_steps) if num_steps else round(_DEFAULT_STEP_S / time_base)

    def _moved(self, ticks: int | None) -> int | None:
        return None if ticks is None else ticks + self._shift
