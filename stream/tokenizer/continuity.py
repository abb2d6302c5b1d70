"""Whether a frame goes on with the stream that the frame before it belongs to. In: frames in display order. Out: yes or no."""

from __future__ import annotations

from stream.codec.frame import Frame

GAP_INTERVALS = 4.0
"""A step in time is no gap while it stays below this many times the one before: slow cameras step far."""


class Continuity:
    """Of one stream. `gap_s`: a longer step is a gap, unless the camera is slower than that anyway."""

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._step_s = 0.0

    def breaks(self, last: Frame, frame: Frame) -> bool:
        """Whether `frame` does not continue the stream that ended with `last`: another size, a step back in time, or a gap."""
        step_s, usual_s = frame.media_s - last.media_s, self._step_s
        self._step_s = max(0.0, step_s)
        resized = (frame.width, frame.height) != (last.width, last.height)
        return resized or step_s < 0 or step_s > max(self._gap_s, GAP_INTERVALS * usual_s)
