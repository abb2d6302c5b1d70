"""Real footage made into films as fixed cameras send them, with still stretches whose beginning and end are known.

In: a short video of a fixed camera. Out: an mp4 of H.264 and its truth beside it: when something happens (.json), and where it moves
(.npz, `moving_pixels.py`). A film is still for `still_s` seconds, made of the footage's first picture with new sensor noise for every
frame, then runs the footage forward; looped, the two alternate until `LOOPED_S` are full. In the footage something happens where OpenCV's
MOG2 background subtractor, which has seen all of it before, finds more than `ACTIVE_SHARE` of the picture in front of the background; the
still stretches are still because we made them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ov2_bench.moving_pixels import STILL, MaskMotion, masks_beside

if TYPE_CHECKING:
    import numpy as np

    from trainer.world.activity import Intervals

LOOPED_S = 720.0
ACTIVE_SHARE = 0.002
"""The least of the picture that is in front of the background while something happens: a person far away."""
PAUSE_S = 1.5
"""Shorter rests belong to what happens around them, as in the world's truth."""
SUBTRACTED_WH = (320, 240)
TRUTH = "still stretches as made; in the footage OpenCV's MOG2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How a film is lit and encoded: gain, sensor noise in grey levels, libx264's options, seconds between keyframes."""

    name: str
    options: dict[str, str]
    gop_s: float = 4.0
    gain: float = 1.0
    noise: float = 1.5


CONSTANT_RATE = {"b": "400k", "maxrate": "400k", "bufsize": "400k", "nal-hrd": "cbr"}
CODINGS = {
    coding.name: coding
    for coding in (
        Coding(name="crf", options={"crf": "25"}),
        Coding(name="cbr", options=CONSTANT_RATE),
        Coding(name="smart", options={"crf": "25", "sc_threshold": "0"}, gop_s=60.0),
        Coding(name="dusk", options=CONSTANT_RATE, gain=0.3, noise=5.0),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """A video of a fixed camera, shown at `fps` pictures per second, every `every`th of its pictures, `width` by `height` pixels."""

    path: Path
    fps: int
    every: int = 1
    width: int = 640
    height: int = 480

    def pictures(self, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
        """uint8 [height, width, 3] RGB, in order."""
        import av
        import cv2

        with av.open(str(self.path)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index % self.every == 0:
                    rgb = frame.to_ndarray(format="rgb24")
                    yield cv2.resize(rgb, size or (self.width, self.height))


@lru_cache(maxsize=8)
def active_masks(footage: Footage) -> np.ndarray:
    """Pixels in front of the background, of every picture that has more than `ACTIVE_SHARE` of them, none of the others: uint8
    [pictures, height, width / 8], eight pixels a byte."""
    import cv2
    import numpy as np

    pictures = list(footage.pictures(SUBTRACTED_WH))
    subtractor = cv2.createBackgroundSubtractorMOG2(history=len(pictures), detectShadows=True)
    for picture in pictures:
        subtractor.apply(picture)
    kernel = np.ones((3, 3), np.uint8)
    in_front = (np.asarray(subtractor.apply(picture, learningRate=0) == 255, np.uint8) for picture in pictures)
    opened = (np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel), bool) for mask in in_front)
    return np.stack([np.packbits(mask & (float(mask.mean()) > ACTIVE_SHARE), axis=1) for mask in opened])


@dataclass(frozen=True, slots=True, kw_only=True)
class RealFilm:
    """One film: `footage` behind `still_s` still seconds, once, or again and again until `least_s` are full."""

    name: str
    footage: Footage
    coding: Coding
    still_s: float = 40.0
    least_s: float = 0.0

    def recipe(self) -> str:
        """All that decides the file; where the footage lies does not."""
        return repr(
            (replace(self.footage, path=Path(self.footage.path.name)), self.coding, self.still_s, self.least_s, ACTIVE_SHARE)
        )

    def make(self, folder: Path) -> bool:
        """Write the film and its truth into `folder`, unless they are there; whether something had to be made."""
        import numpy as np

        from trainer.world.activity import save_activity

        path = folder / f"{self.name}.mp4"
        is_filmed = _recipe_of(path) == self.recipe()
        if is_filmed and masks_beside(path).exists():
            return False
        masks = active_masks(self.footage)
        plan, fps = self.plan(len(masks)), self.footage.fps
        MaskMotion(masks, np.array([STILL if index is None else index for index in plan]), fps).save(path)
        if not is_filmed:
            unfinished = path.with_suffix(".part.mp4")
            self._encode(unfinished, plan)
            unfinished.replace(path)
            active = active_stretches([index is not None and bool(masks[index].any()) for index in plan], fps)
            save_activity(path, active, duration_s=len(plan) / fps, truth=TRUTH, recipe=self.recipe())
        return True

    def plan(self, num_pictures: int) -> list[int | None]:
        """Of every picture of the film, which of the footage's `num_pictures` it shows; None: the first, held still."""
        once: list[int | None] = [*[None] * round(self.still_s * self.footage.fps), *range(num_pictures)]
        wanted = max(len(once), round(self.least_s * self.footage.fps))
        return (once * -(-wanted // len(once)))[:wanted]

    def _encode(self, path: Path, plan: list[int | None]) -> None:
        import av

        fps, gop = self.footage.fps, str(round(self.coding.gop_s * self.footage.fps))
        options = {"preset": "veryfast", "bf": "0", "g": gop, "keyint_min": gop, "threads": "1"} | self.coding.options
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream("libx264", rate=fps, options=options)
            stream.width, stream.height, stream.pix_fmt = self.footage.width, self.footage.height, "yuv420p"
            for index, picture in enumerate(self.pictures(plan)):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, fps)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    def pictures(self, plan: list[int | None]) -> Iterator[np.ndarray]:
        """The pictures of the film, lit, with noise that is never twice the same."""
        import cv2
        import numpy as np

        from trainer.world.noise import NOISE_MARGIN, noise_tiles

        width, height = self.footage.width, self.footage.height
        more, less = noise_tiles(width, height, self.coding.noise)
        rng = np.random.default_rng(0)
        for picture in self._shown(plan):
            y, x = rng.integers(NOISE_MARGIN, size=2)
            lit = cv2.convertScaleAbs(picture, alpha=self.coding.gain)
            cv2.add(lit, more[y : y + height, x : x + width], dst=lit)
            yield cv2.subtract(lit, less[y : y + height, x : x + width], dst=lit)

    def _shown(self, plan: list[int | None]) -> Iterator[np.ndarray]:
        first = next(self.footage.pictures())
        pictures = self.footage.pictures()
        for index in plan:
            if index == 0:
                pictures = self.footage.pictures()
            yield first if index is None else next(pictures)


def active_stretches(flags: list[bool], fps: int) -> Intervals:
    """Seconds in which pictures are active, as (start, end), over pauses shorter than `PAUSE_S`."""
    found: list[tuple[float, float]] = []
    for index in (index for index, flag in enumerate(flags) if flag):
        low_s, high_s = index / fps, (index + 1) / fps
        if found and low_s - found[-1][1] < PAUSE_S:
            low_s = found.pop()[0]
        found.append((low_s, high_s))
    return tuple((round(low_s, 3), round(high_s, 3)) for low_s, high_s in found)


def _recipe_of(path: Path) -> str | None:
    beside = path.with_suffix(".json")
    if not path.exists() or not beside.exists():
        return None
    recipe = json.loads(beside.read_text()).get("recipe")
    return str(recipe)
