"""Small real clips, encoded on the spot: a textured square over noise, with a colour, that moves."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np

Draw = Callable[[int], np.ndarray]


def scene(width: int, height: int, seed: int = 0) -> Draw:
    """frame number -> RGB picture."""
    rng = np.random.default_rng(seed)
    still = rng.integers(60, 140, (height, width, 3), dtype=np.uint8)
    still = (still // 2 + np.linspace(0, 80, width, dtype=np.uint8)[None, :, None]).astype(np.uint8)
    square = rng.integers(0, 255, (height // 3, height // 3, 3), dtype=np.uint8)

    def draw(index: int) -> np.ndarray:
        picture = still.copy()
        left = 3 * index % (width - square.shape[1])
        picture[height // 3 : height // 3 + square.shape[0], left : left + square.shape[1]] = square
        return picture

    return draw


@contextmanager
def unhurried() -> Iterator[None]:
    """Whatever an encoder does, this thread is scheduled afterwards as it was before. Where it may (as root), SVT-AV1 makes the thread that
    opens it a real-time one, and with it every thread and process that this one starts: none else would get a turn."""
    if sys.platform != "linux":
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def copy_packets(recorded: av.container.InputContainer, out: av.container.OutputContainer) -> None:
    """The video of one container into another, as it is."""
    track = recorded.streams.video[0]
    stream = out.add_stream_from_template(track)
    for packet in recorded.demux(track):
        if packet.dts is not None:
            packet.stream = stream
            out.mux(packet)


def write_clip(
    path: Path,
    *,
    width: int = 160,
    height: int = 96,
    fps: int = 10,
    num_frames: int = 30,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    draw: Draw | None = None,
    **options: str,
) -> Path:
    """Encode and mux by the file's suffix. Options are the encoder's; for x264 a short GOP and one thread by default."""
    draw = draw or scene(width, height)
    defaults = {"preset": "veryfast", "g": "10", "threads": "1"} if codec == "libx264" else {}
    container_options = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with unhurried(), av.open(str(path), "w", options=container_options) as container:
        stream = container.add_stream(codec, rate=fps, options={**defaults, **options})
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(draw(index), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
