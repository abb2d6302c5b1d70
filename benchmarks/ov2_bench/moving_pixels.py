"""The truth of what moves: in which pixels of every picture, of a generated yard or of a real film.

In: a world, or the masks that `footage.py` wrote beside a film. Out: `Truth`, pixels that move in every block of a canvas of any size.

- In a yard an actor is its box in the world's state, cut at the picture's edge; it moves when the renderer would draw it differently in the
  next picture.
- In real footage that is what stands in front of the background for OpenCV's MOG2 subtractor, which has seen all of it before: people who
  stand for a while, too. In the still stretches, made of one picture and noise, nothing moves.

Shape letters: T pictures of a film, P of its footage, H and W pixels of a mask, R and C block rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ov2_bench.errors import RunError

if TYPE_CHECKING:
    import numpy as np

    from trainer.world import World

STILL = -1
"""In `shown`: a picture that none of the footage is shown in."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Pixels that move in every block of every picture, `moving_px` float [T, R, C]."""

    moving_px: np.ndarray
    fps: int


class Motion(Protocol):
    """What moves in a film."""

    @property
    def fps(self) -> int: ...

    @property
    def num_frames(self) -> int: ...

    def mask(self, frame: int, width: int, height: int) -> np.ndarray:
        """Pixels that move in a picture of `width` by `height`, bool [height, width]."""


def truth_of(motion: Motion, grid_rc: tuple[int, int]) -> Truth:
    """For canvases of so many block rows and columns."""
    import numpy as np

    from ov2.canvas import BLOCK_PX

    num_rows, num_cols = grid_rc
    moving_TRC = np.zeros((motion.num_frames, num_rows, num_cols))
    for frame in range(motion.num_frames):
        mask = motion.mask(frame, num_cols * BLOCK_PX, num_rows * BLOCK_PX)
        moving_TRC[frame] = mask.reshape(num_rows, BLOCK_PX, num_cols, BLOCK_PX).sum(axis=(1, 3))
    return Truth(moving_TRC, motion.fps)


@dataclass(frozen=True, slots=True)
class YardMotion:
    """Of a world's actors."""

    world: World
    fps: int

    @property
    def num_frames(self) -> int:
        from trainer.world.encode import num_frames

        return num_frames(self.world.duration_s, self.fps)

    def mask(self, frame: int, width: int, height: int) -> np.ndarray:
        import numpy as np

        from trainer.world.render import is_still

        mask = np.zeros((height, width), bool)
        for actor in self.world.state_at(frame / self.fps).actors:
            if not is_still(actor):
                left, top, right, bottom = (max(0.0, side) for side in actor.box)
                mask[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = True
        return mask


@dataclass(frozen=True, slots=True)
class MaskMotion:
    """Of a film of footage: `masks` uint8 [P, H, W / 8], eight pixels a byte, and for every picture of the film which of them it is,
    `shown` int [T], or `STILL`."""

    masks: np.ndarray
    shown: np.ndarray
    fps: int

    @property
    def num_frames(self) -> int:
        return len(self.shown)

    def mask(self, frame: int, width: int, height: int) -> np.ndarray:
        import numpy as np

        if self.shown[frame] == STILL:
            return np.zeros((height, width), bool)
        small_HW = np.unpackbits(self.masks[self.shown[frame]], axis=1)
        rows = np.arange(height) * small_HW.shape[0] // height
        cols = np.arange(width) * small_HW.shape[1] // width
        mask: np.ndarray = small_HW[np.ix_(rows, cols)] > 0
        return mask

    def save(self, film: Path) -> None:
        """Beside a film."""
        import numpy as np

        np.savez_compressed(masks_beside(film), masks=self.masks, shown=self.shown, fps=self.fps)


def masks_beside(film: Path) -> Path:
    """The file of a film's masks."""
    return film.with_suffix(".npz")


def mask_motion(film: Path) -> MaskMotion:
    """What was saved beside a film. Raises RunError where nothing was, or something else."""
    import numpy as np

    beside = masks_beside(film)
    try:
        with np.load(beside) as told:
            return MaskMotion(told["masks"], told["shown"], int(told["fps"]))
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"{film.name}: expected {beside.name} beside it, which says where something moves, got {type(error).__name__}: {error}; "
            "scripts/real_films.py FOLDER writes it"
        ) from error
