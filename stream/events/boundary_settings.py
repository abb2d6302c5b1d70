"""Settings of boundary alerts. The defaults come from `ov2 bench boundaries`, docs/boundaries.md."""

from __future__ import annotations

from dataclasses import dataclass

from stream.errors import SettingsError
from stream.tokenizer.costs import COSTS


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundarySettings:
    """Deviations are counted in running scales. Raises `SettingsError` for a value out of range.

    - `cost`: bytes, log or complexity (`stream.tokenizer.costs`); complexity equals bytes where no quantiser is told.
      `scene_cut_ratio`: a keyframe this many times the running keyframe size counts with its excess (0: never; a fixed camera's
      keyframes tell what stands there, not what changed).
    - `onset`: sum of deviations, or score of a region, that opens an event; `slack`: deviation per bin that is nothing.
    - `calm_s`: how long the sums must stay under half of `onset` to end it; `refractory_s`: least time from one change that is
      told to the next. `echo_s`: seconds after a keyframe that are left out.
    - `level_s`: time constant of the level; `scale_s`: memory of the scale; `warm_up_s`: bins seen before the first event.
    - `floor`: least scale, in log units; `quiet_bytes`: costs well under it count as the same.
    """

    bin_s: float = 0.1
    cost: str = "complexity"
    scene_cut_ratio: float = 0.0
    onset: float = 4.5
    slack: float = 1.0
    calm_s: float = 1.0
    refractory_s: float = 0.75
    echo_s: float = 0.25
    level_s: float = 10.0
    scale_s: float = 20.0
    warm_up_s: float = 3.0
    floor: float = 0.02
    quiet_bytes: int = 100

    def __post_init__(self) -> None:
        if not self.onset > 0:
            raise SettingsError(f"boundary.onset: expected above 0, got {self.onset}")
        if self.cost not in COSTS:
            raise SettingsError(f"boundary.cost: expected one of {', '.join(COSTS)}, got {self.cost!r}")
