"""Clips that cameras could have sent, each with something of its own to find: encoded by libx264 and libx265 on the spot."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from clips import Draw, scene, write_clip

WIDTH, HEIGHT, FPS = 320, 192, 10
_CAMERA = {"tune": "zerolatency", "sc_threshold": "0", "g": "20"}
_SHARES = (0.0, 0.35, 0.8, 0.1, 0.6)
_STRETCH = 40
"""Pictures for which a share of the picture moves."""


def lively(width: int = WIDTH, height: int = HEIGHT) -> Draw:
    """Calm and busy stretches of four seconds: texture moves over a share of the picture, and all of it is a little noisy."""
    rng = np.random.default_rng(0)
    still = scene(width, height)(0)
    texture = rng.integers(0, 255, (2 * height, 2 * width, 3), dtype=np.uint8)
    texture = np.add.reduce([np.roll(texture, step, 1) // 4 for step in range(4)]).astype(np.uint8)
    noise = rng.integers(0, 4, (16, height, width, 3), dtype=np.uint8)

    def draw(index: int) -> np.ndarray:
        picture: np.ndarray = still + noise[index % 16]
        share = int(width * _SHARES[index // _STRETCH % len(_SHARES)])
        top, left = 7 * index % height, 5 * index % width
        picture[:, :share] = texture[top : top + height, left : left + share]
        return picture

    return draw


def controlled(path: Path, **options: str) -> Path:
    """24 s of it, as an encoder with this rate control sends them."""
    return write_clip(path, width=WIDTH, height=HEIGHT, fps=FPS, num_frames=240, draw=lively(), **_CAMERA, **options)


RATES: dict[str, dict[str, str]] = {
    "constant quality": {"crf": "26"},
    "constant bit rate": {"b": "300k", "maxrate": "300k", "bufsize": "300k"},
    "capped": {"crf": "26", "maxrate": "200k", "bufsize": "200k"},
    "variable": {"b": "300k"},
}
STARVED = {"b": "20k", "maxrate": "20k", "bufsize": "20k", "nal-hrd": "cbr"}


def claims_too_much(path: Path) -> Path:
    """The encoder is told 30 pictures a second, and gets 10."""
    draw = scene(160, 96)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={**_CAMERA, "preset": "veryfast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 30)
        for index in range(60):
            frame = av.VideoFrame.from_ndarray(draw(index), format="rgb24")
            frame.pts, frame.time_base = 3 * index, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def damaged(path: Path) -> Path:
    """Bytes changed within every fourth picture or so."""
    clip = write_clip(path, width=WIDTH, height=HEIGHT, num_frames=80, draw=lively(), **_CAMERA, crf="24")
    data = bytearray(clip.read_bytes())
    start = data.index(b"mdat") + 4
    for at in range(start + len(data[start:]) // 8, len(data) - 64, 2503):
        data[at] ^= 0x5A
    clip.write_bytes(bytes(data))
    return clip


def keyed(path: Path, at: tuple[int, ...]) -> Path:
    """Keyframes where they are told, as a smart encoder puts them."""
    draw = scene(160, 96)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=FPS, options={**_CAMERA, "g": "1000", "forced-idr": "1", "preset": "veryfast"}
        )
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for index in range(140):
            frame = av.VideoFrame.from_ndarray(draw(index), format="rgb24")
            frame.pts, frame.pict_type = index, av.video.frame.PictureType.I if index in at else av.video.frame.PictureType.NONE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def resized(path: Path) -> Path:
    """The size changes in the middle."""
    with path.with_suffix(".ts").open("wb") as whole:
        for width in (160, 192):
            part = write_clip(path.with_name(f"{width}.ts"), width=width, num_frames=40, **_CAMERA)
            whole.write(part.read_bytes())
    return path.with_suffix(".ts")


Make = Callable[[Path], Path]


def plain(**options: str) -> Make:
    """A short clip with these options of the encoder."""
    return lambda path: write_clip(path, num_frames=60, **{**_CAMERA, **options})


CLIPS: dict[str, Make] = {
    "well": plain(),
    "long": lambda path: write_clip(path, num_frames=250, **{**_CAMERA, "g": "120"}),
    "smart": lambda path: write_clip(path, num_frames=130, **{**_CAMERA, "g": "600"}),
    "refresh": lambda path: write_clip(path, num_frames=80, **_CAMERA, **{"intra-refresh": "1"}),
    "b_frames": plain(bf="3", tune="grain", **{"x264-params": "b-adapt=0"}),
    "slices": plain(**{"x264-params": "slices=4"}),
    "cavlc": plain(profile="baseline", coder="0"),
    "cropped": lambda path: write_clip(path, width=186, height=122, num_frames=60, **_CAMERA),
    "interlaced": plain(**{"x264-params": "interlaced=1"}),
    "intra": plain(**{"g": "1"}),
    "high_10": lambda path: write_clip(path, num_frames=60, pixels="yuv420p10le", **_CAMERA),
    "h265": lambda path: write_clip(
        path, num_frames=60, codec="libx265", **{"x265-params": "log-level=none:bframes=0:pools=1"}
    ),
    "fast": lambda path: write_clip(path, fps=50, num_frames=150, **{**_CAMERA, "g": "50"}),
    "slow": lambda path: write_clip(path, fps=2, num_frames=20, **{**_CAMERA, "g": "4"}),
    "claims": claims_too_much,
    "damaged": damaged,
    "coarse": plain(qp="35"),
    "generous": lambda path: write_clip(path, width=640, height=360, draw=lively(640, 360), num_frames=60, **_CAMERA, qp="8"),
    "scene_cuts": lambda path: keyed(path, (0, 7, 60, 75, 130)),
    "resized": resized,
    "starved": lambda path: controlled(path, **STARVED),
}
