"""World streams encoded as cameras do, for benchmarks that compare encodings.

In: seeds, an encoding, a size. Out: files of H.264, made once and kept: the name of a file says all that decides its packets.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.world import World

LEAST_SECONDS = 10.0
"""A film shorter than this is mostly warm-up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """A way to film: a preset of `trainer.world.camera`, pictures per second, sensor noise in grey levels (None: the yard's), and
    what is filmed: a yard where something happens for a share `duty` of the time (None: the busy one), by day or at `night`."""

    name: str
    camera: str = "default"
    fps: int = 10
    noise: float | None = None
    duty: float | None = None
    night: bool = False


ENCODINGS: tuple[Encoding, ...] = (
    Encoding(name="crf"),
    Encoding(name="cbr", camera="cbr"),
    Encoding(name="vbr", camera="vbr"),
    Encoding(name="lowdelay", camera="lowdelay"),
    Encoding(name="refresh", camera="refresh"),
    Encoding(name="smart", camera="smart"),
    Encoding(name="scenecut", camera="scenecut"),
    Encoding(name="bframes", camera="bframes"),
    Encoding(name="crf_5fps", fps=5),
    Encoding(name="crf_30fps", fps=30),
    Encoding(name="cbr_30fps", camera="cbr", fps=30),
    Encoding(name="night", camera="night", noise=7.0),
)


def _keep_quiet(line: str) -> None:
    """Tell nobody; a function with a name, so that films may be made in other processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Films:
    """A folder of films, `seconds` long, `width` by `height` pixels. `tell` hears of each that has to be made."""

    folder: Path
    seconds: float
    width: int = 640
    height: int = 360
    tell: Callable[[str], None] = _keep_quiet

    def world(self, seed: int, encoding: Encoding | None = None) -> World:
        """The yard of a seed: the busy one, or what an encoding films."""
        from trainer.world import World

        if encoding is None:
            return World(seed, duration_s=self.seconds)
        return World(seed, duration_s=self.seconds, duty=encoding.duty, night=encoding.night)

    def path(self, seed: int, encoding: Encoding) -> Path:
        """The film of a seed, made if it is not there yet."""
        from trainer.world import Renderer
        from trainer.world.camera import camera_profile
        from trainer.world.writer import write_pictures

        options = camera_profile(encoding.camera).options(width=self.width, height=self.height, fps=encoding.fps)
        filmed = () if encoding.duty is None and not encoding.night else (encoding.duty, encoding.night)
        print_of_options = zlib.crc32(repr((sorted(options.items()), encoding.noise, *filmed)).encode())
        size = f"{self.width}x{self.height}"
        path = self.folder / f"{encoding.name}_{size}_{encoding.fps}fps_{self.seconds:g}s_{seed}_{print_of_options:08x}.mkv"
        if not path.exists():
            self.tell(f"  filming {path.name}")
            self.folder.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part.mkv")
            write_pictures(
                Renderer(self.world(seed, encoding), width=self.width, height=self.height, noise=encoding.noise),
                unfinished,
                profile_name=encoding.camera,
                fps=encoding.fps,
                start_s=0.0,
                duration_s=self.seconds,
            )
            unfinished.replace(path)
        return path


def seeds_between(text: str) -> range:
    """Seeds of `A:B`, B not included. Raises SeedError for anything else, and for seeds between training and test."""
    from trainer.world.errors import SeedError
    from trainer.world.seeds import split_of

    found = re.fullmatch(r"(\d+):(\d+)", text)
    if found is None or int(found[1]) >= int(found[2]):
        raise SeedError(f"seeds: expected A:B with A below B, for example 900000:900004, got {text!r}")
    first, end = int(found[1]), int(found[2])
    if split_of(first) != split_of(end - 1):
        raise SeedError(f"seeds: expected seeds of one split, training or test, got {text!r}")
    return range(first, end)
