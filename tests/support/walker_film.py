"""A noisy wall that something striped crosses, encoded as a camera would. No test in here."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

from stream.sources import open_source
from stream.units import Packet

FPS = 30
WALK_S = (4.0, 7.0)


@cache
def film(bframes: int = 0, *, seconds: int = 10, fps: int = FPS, gop: int = 300) -> tuple[Packet, ...]:
    """A noisy wall; something striped crosses it from `WALK_S[0]` to `WALK_S[1]`."""
    noise = np.random.default_rng(7)
    width, height = 320, 192
    wall = 90 + 40 * np.sin(np.arange(width) / 9)[None, :] * np.cos(np.arange(height) / 7)[:, None]
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "film.mp4")
        with av.open(path, "w") as file:
            stream = file.add_stream("libx264", rate=fps)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.options = {"bf": str(bframes), "g": str(gop), "crf": "25", "preset": "veryfast", "threads": "1"}
            for i in range(seconds * fps):
                picture = np.repeat((wall + noise.normal(0, 3, wall.shape))[..., None], 3, axis=2)
                if WALK_S[0] <= i / fps < WALK_S[1]:
                    left = round(60 * (i / fps - WALK_S[0])) % (width - 60)
                    picture[40:160, left : left + 50] = [220, 40, 30]
                    picture[40:160, left : left + 50 : 9] = 240
                frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), "rgb24")
                file.mux(stream.encode(frame))
            file.mux(stream.encode())
        with open_source(path) as packets:
            return tuple(packets)
