"""What the cameras of a run film: a still picture, and something that comes and goes every few seconds.

In: a folder, a seed. Out: a small file of H.264, made once. Nothing has to be recognised in it: packets that grow and shrink are events.
"""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

WIDTH, HEIGHT, FPS = 160, 96, 10
SECONDS = 24.0
PATCH_PX = 40
STILL_S = (1.6, 2.6)
MOVING_S = (0.8, 1.6)
"""Least and most seconds without the patch, and with it."""


def busy_film(folder: Path, seed: int, *, patch_px: int = PATCH_PX) -> Path:
    """The film of a seed, made if it is not there yet. `patch_px`: how large what moves is; a large one makes a large file."""
    import av
    import numpy as np

    path = folder / f"busy-{seed}-{patch_px}.mp4"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.mp4")
    noise = np.random.default_rng(seed)
    still = noise.integers(60, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    moving = _moving(random.Random(seed))
    with av.open(str(unfinished), "w") as container:
        options = {"g": str(4 * FPS), "preset": "veryfast", "tune": "zerolatency", "threads": "1"}
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, FPS)
        for index in range(round(SECONDS * FPS)):
            picture = still.copy()
            if any(start <= index / FPS < end for start, end in moving):
                left, top = noise.integers(0, WIDTH - patch_px), noise.integers(0, HEIGHT - patch_px)
                picture[top : top + patch_px, left : left + patch_px] = noise.integers(0, 255, (patch_px, patch_px, 3))
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    unfinished.replace(path)
    return path


def _moving(chance: random.Random) -> list[tuple[float, float]]:
    """From when to when something moves."""
    stretches, at_s = [], chance.uniform(*STILL_S)
    while at_s < SECONDS:
        end_s = at_s + chance.uniform(*MOVING_S)
        stretches.append((at_s, end_s))
        at_s = end_s + chance.uniform(*STILL_S)
    return stretches
