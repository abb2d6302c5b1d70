"""When anything happens in a world: the truth that groups and token rates are measured against.

In: a world. Out: intervals of seconds, in order, and a JSON file that carries them beside a film. It is active when an actor in view
moves, jumps or bends, or the door swings; shorter rests than `PAUSE_S` belong to what happens around them. Light, sensor
noise and leaves are no activity.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from trainer.world.render import is_still
from trainer.world.world import World

STEP_S = 0.05
"""The script is looked at this often."""
PAUSE_S = 1.5

Intervals = tuple[tuple[float, float], ...]


def active_intervals(world: World, *, start_s: float = 0.0, end_s: float | None = None) -> Intervals:
    """Intervals between `start_s` and `end_s` (default: the end) in which something happens, as (start, end), right to within
    `STEP_S`. Raises TimeError for a stretch that the world lacks."""
    end_s = world.duration_s if end_s is None else end_s
    found: list[tuple[float, float]] = []
    for look in range(int((end_s - start_s) / STEP_S + 1e-6)):
        t_s = start_s + look * STEP_S
        if not _is_active(world, t_s):
            continue
        until_s = min(end_s, t_s + STEP_S)
        if found and t_s - found[-1][1] < PAUSE_S:
            found[-1] = (found[-1][0], until_s)
        else:
            found.append((t_s, until_s))
    return tuple((round(low, 3), round(high, 3)) for low, high in found)


def save_activity(
    path: Path, active: Sequence[tuple[float, float]], *, duration_s: float, truth: str, recipe: str = ""
) -> Path:
    """Write `active` beside the film `path`, with the suffix .json. `truth` says where it comes from, `recipe` what else decides
    the film. Returns the file."""
    beside = path.with_suffix(".json")
    told = {"duration_s": duration_s, "truth": truth, "recipe": recipe, "active": [list(each) for each in active]}
    beside.write_text(json.dumps(told) + "\n")
    return beside


def _is_active(world: World, t_s: float) -> bool:
    state = world.state_at(t_s)
    return 0 < state.door_fraction < 1 or not all(map(is_still, state.actors))
