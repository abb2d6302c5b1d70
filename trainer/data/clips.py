"""Clips: what the service would have made of one stretch of a world camera, kept on disk for training.

In: a seed. Out: a `Clip`: the closed groups of the stream and, at moments spread over it, the peek that an answer at that moment
would have read. The packets are encoded by the world's camera, read by the file source and cut by the service's own
tokenizer, so a clip holds, byte for byte, what a live session would have been given.
"""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from ov2.canvas import CanvasGroup
from stream.sources import open_source
from stream.tokenizer.inputs import new_tokenizer
from stream.tokenizer.settings import TokenizerSettings
from trainer.data.shown_group import ShownGroup
from trainer.errors import DataError
from trainer.world import World, write_file

G = TypeVar("G", CanvasGroup, ShownGroup)


@dataclass(frozen=True)  # no slots: a generic alias cannot make frozen ones
class MomentOf(Generic[G]):
    """A moment at which questions may be asked: `num_closed` groups are in the session, `peek` holds the open one (None right
    after a cut)."""

    at_s: float
    num_closed: int
    peek: G | None


@dataclass(frozen=True)  # no slots: a generic alias cannot make frozen ones
class ClipOf(Generic[G]):
    """A stretch of a world camera as the service would have seen it. `duration_s` is the script's length. Groups hold canvases where the
    clip was filmed, vision tokens alone where those are known already."""

    seed: int
    duration_s: float
    groups: tuple[G, ...]
    moments: tuple[MomentOf[G], ...]

    def every_group(self) -> list[G]:
        """Closed ones, then the open ones of its moments."""
        groups = list(self.groups)
        groups += [moment.peek for moment in self.moments if moment.peek is not None]
        return groups


Moment = MomentOf[CanvasGroup]
Clip = ClipOf[CanvasGroup]
AnyMoment = MomentOf[CanvasGroup] | MomentOf[ShownGroup]
AnyClip = ClipOf[CanvasGroup] | ClipOf[ShownGroup]


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSpec:
    """How the world is filmed for training and evaluation."""

    width: int = 640
    height: int = 360
    fps: int = 10
    camera: str = "default"
    duration_s: float = 48.0
    moment_every_s: float = 3.0


def moment_times(seed: int, spec: CameraSpec) -> list[float]:
    """Moments of a clip, media seconds: one in each stretch of `moment_every_s`, at a place drawn from the seed."""
    rng = np.random.default_rng([seed, 7])
    starts = np.arange(spec.moment_every_s, spec.duration_s - 0.2, spec.moment_every_s)
    return [float(round(s + rng.uniform(0, spec.moment_every_s * 0.8), 2)) for s in starts]


def make_clip(seed: int, settings: TokenizerSettings, spec: CameraSpec) -> Clip:
    """Film `seed`, and run the file through source and tokenizer, peeking at each moment."""
    world = World(seed, duration_s=spec.duration_s)
    tokenizer = new_tokenizer(settings)
    groups: list[CanvasGroup] = []
    moments: list[Moment] = []
    waiting = [t for t in moment_times(seed, spec) if t < spec.duration_s]
    with tempfile.TemporaryDirectory(prefix="ov2-clip-") as folder:
        path = Path(folder) / "clip.mp4"
        write_file(world, path, width=spec.width, height=spec.height, fps=spec.fps, camera=spec.camera)
        with open_source(str(path)) as packets:
            for packet in packets:
                while waiting and packet.pts_s > waiting[0]:
                    moments.append(Moment(waiting.pop(0), len(groups), tokenizer.peek()))
                groups.extend(tokenizer.push(packet))
        groups.extend(tokenizer.flush())
    return Clip(seed, spec.duration_s, tuple(groups), tuple(moments))


def save_clip(clip: Clip, path: Path) -> None:
    """Write a clip as one `.npz`, in one rename so that a half-written file is never read."""
    arrays: dict[str, np.ndarray] = {
        "seed": np.array(clip.seed),
        "duration_s": np.array(clip.duration_s),
        "num_groups": np.array(len(clip.groups)),
        "at_s": np.array([m.at_s for m in clip.moments]),
        "num_closed": np.array([m.num_closed for m in clip.moments], dtype=np.int64),
        "has_peek": np.array([m.peek is not None for m in clip.moments], dtype=bool),
    }
    for index, group in enumerate(clip.every_group()):
        arrays[f"canvases_{index}"] = group.canvases
        arrays[f"positions_{index}"] = group.positions
        arrays[f"runs_{index}"] = np.array(group.runs, dtype=np.float64).reshape(-1, 2)
        arrays[f"meta_{index}"] = np.array([group.group_id, group.start_s, group.end_s, group.cost])
        arrays[f"closed_by_{index}"] = np.array(group.closed_by)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    partial = path.with_suffix(".partial")
    partial.write_bytes(buffer.getvalue())
    partial.rename(path)


def load_clip(path: Path) -> Clip:
    """Read a clip written by `save_clip`.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with np.load(path) as data:
            count = int(data["num_groups"])
            has_peek = data["has_peek"]
            every = [_load_group(data, index) for index in range(count + int(has_peek.sum()))]
            peeks = iter(every[count:])
            moments = tuple(
                Moment(float(at_s), int(closed), next(peeks) if has else None)
                for at_s, closed, has in zip(data["at_s"], data["num_closed"], has_peek, strict=True)
            )
            return Clip(int(data["seed"]), float(data["duration_s"]), tuple(every[:count]), moments)
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise DataError(f"clip {path}: expected an .npz written by `ov2 train --make-data`, got {error}") from error


def _load_group(data: np.lib.npyio.NpzFile, index: int) -> CanvasGroup:
    group_id, start_s, end_s, cost = data[f"meta_{index}"]
    return CanvasGroup(
        canvases=data[f"canvases_{index}"],
        positions=data[f"positions_{index}"],
        runs=tuple((float(s), int(n)) for s, n in data[f"runs_{index}"]),
        group_id=int(group_id),
        start_s=float(start_s),
        end_s=float(end_s),
        wall_s=float(end_s),
        closed_by=str(data[f"closed_by_{index}"]),
        cost=float(cost),
    )
