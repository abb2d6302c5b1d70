"""Encodes a world into a container: the one loop behind the file writer and the live publisher.

In: a world, an open PyAV output container, a profile. Out: packets muxed, picture k at exactly k/fps seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from trainer.world.camera import CameraProfile
from trainer.world.render import Renderer


def num_frames(duration_s: float, fps: int) -> int:
    """Pictures in `duration_s`: those with k/fps < duration_s."""
    return max(1, round(duration_s * fps))


def add_video(container: Any, profile: CameraProfile, *, width: int, height: int, fps: int) -> Any:
    """A libx264 stream with the profile's options and a time base of 1/90000, the clock of RTP's video."""
    stream = container.add_stream("libx264", rate=fps, options=profile.options(width=width, height=height, fps=fps))
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = Fraction(1, 90_000)
    stream.codec_context.thread_count = 1
    return stream


def encoded(stream: Any, renderer: Renderer, times_s: Iterator[float], *, fps: int) -> Iterator[list[Any]]:
    """For each moment of `times_s` the packets that its picture released; at the end those still held back."""
    import av

    ticks = Fraction(90_000, fps)
    for index, t_s in enumerate(times_s):
        frame = av.VideoFrame.from_ndarray(renderer.frame(t_s), format="rgb24")
        frame.pts, frame.time_base = round(index * ticks), Fraction(1, 90_000)
        yield stream.encode(frame)
    yield stream.encode(None)
