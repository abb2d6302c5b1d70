"""Sensor noise, made once per size and level. In: a picture size and a level. Out: two pictures, to add and to subtract."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from trainer.world.pen import Image

NOISE_MARGIN = 64
"""Pixels that a tile is larger than the picture each way: a frame takes its cut-out at an offset that time decides."""


@lru_cache(maxsize=8)
def noise_tiles(width: int, height: int, level: float) -> tuple[Image, Image]:
    """Sensor noise, split in its positive and negative part, NOISE_MARGIN larger than the picture each way."""
    rng = np.random.default_rng(int(level * 100))
    shape = (height + NOISE_MARGIN, width + NOISE_MARGIN)
    luma = cv2.GaussianBlur(rng.normal(0, 1, shape).astype(np.float32), (3, 3), 0.6)
    luma *= level / luma.std()
    chroma = cv2.resize(rng.normal(0, level * 0.5, (shape[0] // 3 + 1, shape[1] // 3 + 1, 3)).astype(np.float32), shape[::-1])
    noise = np.rint(luma[..., None] + chroma)
    return np.clip(noise, 0, 255).astype(np.uint8), np.clip(-noise, 0, 255).astype(np.uint8)
