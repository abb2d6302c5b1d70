"""Clips straight from scripts: what the tokenizer would choose of a world, roughly, without a film, a codec or an encoder.

In: a world, a bank of vision tokens, how the camera's groups look. Out: a clip whose groups hold tokens. Blocks that something moves in
compete to be shown, as they do in the service; groups close as what moved adds up. It is no model of the codec: it has its shape, and never
ends.

Shape letters: F frames, R and C rows and columns of blocks, V blocks of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ov2.prompt import num_run_tokens
from stream.tokenizer.sampled_frames import LATEST_S, SLOTS
from trainer.config import ScriptCamera, TrainConfig
from trainer.data.clip_source import ClipSource, world_of
from trainer.data.clips import CameraSpec, ClipOf, MomentOf, moment_times
from trainer.data.make import clip_settings
from trainer.data.shown_group import ShownGroup
from trainer.data.token_bank import TokenBank, kinds_of_blocks
from trainer.train.naming import shows
from trainer.world import World, WorldState
from trainer.world import layout as place
from trainer.world.seeds import TRAIN_SEEDS
from trainer.world.state import Box

HELD_OUT = 0x5EED
"""Sets the generator of held-out clips apart."""
STIRS = 0.02
"""Share of the picture that has to move for a frame to be active."""
LATEST_SHARE = 0.5
"""Of the score of a block that an actor covered before, and covers no more: background is shown again."""
NOISE = 0.03
FADE = 0.7
"""Scores of one frame's blocks fade by rank, so that no frame takes a canvas alone."""


class ScriptClips(ClipSource[ShownGroup]):
    """Clips without end: another world each time, read by the inputs that films are read by. Held out are the last seeds that training may
    use."""

    where = "scripts"

    def __init__(self, bank: TokenBank, config: TrainConfig, spec: CameraSpec) -> None:
        self._bank, self._config, self._spec = bank, config, spec

    @property
    def num_held_out(self) -> int:
        return self._config.data.num_validation

    def held_out(self, index: int) -> ClipOf[ShownGroup]:
        seed = TRAIN_SEEDS[-1] - index
        return self._of(seed, np.random.default_rng([seed, HELD_OUT]))

    def clip(self, rng: np.random.Generator) -> ClipOf[ShownGroup]:
        return self._of(int(rng.integers(TRAIN_SEEDS[-1] - self.num_held_out)), rng)

    def _of(self, seed: int, rng: np.random.Generator) -> ClipOf[ShownGroup]:
        """By the input and token rate that a film of the seed would be read by."""
        world, settings = world_of(seed, self._spec.duration_s), clip_settings(self._config, seed)
        moments_s = moment_times(seed, self._spec)
        if settings.input == "frames":
            slots = settings.canvases_per_group or SLOTS
            return framed_clip(world, self._bank, settings.token_rate, slots, settings.sample_phase, moments_s, rng)
        return script_clip(world, self._bank, self._config.scripts, moments_s, rng)


@dataclass(frozen=True, slots=True)
class _Frames:
    """Of a whole clip: times [F], and what stirs in each block [F, R x C]."""

    times_s: np.ndarray
    scores: np.ndarray

    @property
    def areas(self) -> np.ndarray:
        """Share of each picture that stirs, [F]."""
        areas: np.ndarray = np.minimum(self.scores, 1.0).mean(1)
        return areas


def script_clip(
    world: World, bank: TokenBank, camera: ScriptCamera, moments_s: Sequence[float], rng: np.random.Generator
) -> ClipOf[ShownGroup]:
    """A clip of the whole world, with a peek at each of the moments."""
    frames = _watch(world, bank.grid, camera, rng)
    cuts = _cuts(frames, camera, rng)
    groups = [_group(world, bank, camera, frames, start, end, rng) for start, end in pairwise(cuts)]
    moments = []
    for at_s in moments_s:
        end = int(np.searchsorted(frames.times_s, at_s, side="right"))
        num_closed = int(np.searchsorted(cuts, end, side="right")) - 1
        if num_closed < 0 or end == 0:
            continue
        start = cuts[num_closed]
        peek = _group(world, bank, camera, frames, start, end, rng) if end > start else None
        moments.append(MomentOf(at_s, num_closed, peek))
    return ClipOf(world.seed, world.duration_s, tuple(groups), tuple(moments))


def framed_clip(
    world: World,
    bank: TokenBank,
    token_rate: float,
    slots: int,
    phase: float,
    moments_s: Sequence[float],
    rng: np.random.Generator,
) -> ClipOf[ShownGroup]:
    """A clip of whole frames, `slots` to a group, as many a second as `token_rate` pays for."""
    per_frame = bank.grid[0] * bank.grid[1] + num_run_tokens(LATEST_S)
    step_s = per_frame / token_rate
    times_s = np.arange(phase * step_s, world.duration_s, step_s)
    steps = list(range(0, len(times_s), slots))
    groups = [_frames_of(world, bank, times_s[first : first + slots], first * step_s, step_s, rng) for first in steps]
    moments = []
    for at_s in moments_s:
        taken = int(np.searchsorted(times_s, at_s, side="right"))
        num_closed = taken // slots
        # as a live peek does, the newest picture takes the last slot that is free
        open_s = np.append(times_s[num_closed * slots : taken], at_s)
        moments.append(MomentOf(at_s, num_closed, _frames_of(world, bank, open_s, num_closed * slots * step_s, step_s, rng)))
    return ClipOf(world.seed, world.duration_s, tuple(groups), tuple(moments))


def _frames_of(
    world: World, bank: TokenBank, times_s: np.ndarray, start_s: float, step_s: float, rng: np.random.Generator
) -> ShownGroup:
    rows_columns = np.indices(bank.grid).reshape(2, -1).T
    vision = [
        bank.draw(kinds_of_blocks(world, _state(world, at_s), rows_columns, bank.grid), rows_columns, rng) for at_s in times_s
    ]
    return ShownGroup(
        runs=tuple((float(at_s), len(rows_columns)) for at_s in times_s),
        start_s=start_s,
        end_s=max(start_s + len(times_s) * step_s, float(times_s[-1])),
        vision_VD=np.concatenate(vision),
    )


def _state(world: World, at_s: float) -> WorldState:
    return world.state_at(min(float(at_s), world.duration_s))


def _watch(world: World, grid: tuple[int, int], camera: ScriptCamera, rng: np.random.Generator) -> _Frames:
    """What stirs: blocks that moving actors cover or have just left, a door that swings, a lamp that turns."""
    step_s = 1 / camera.fps
    times_s = np.arange(float(rng.uniform(0, step_s)), world.duration_s, step_s)
    row, column = (axis.reshape(-1) for axis in np.indices(grid))
    top, left, height, width = row / grid[0], column / grid[1], 1 / grid[0], 1 / grid[1]
    scores = rng.random((len(times_s), row.size)) * NOISE
    before = world.state_at(float(times_s[0]))
    for index, at_s in enumerate(times_s[1:], 1):
        now = world.state_at(float(at_s))
        for box, strength in _stirring(world, before, now):
            scores[index] += strength * shows(box, top, left, height, width)
        before = now
    return _Frames(times_s, scores)


def _stirring(world: World, before: WorldState, now: WorldState) -> list[tuple[Box, float]]:
    old = {actor.ident: actor for actor in before.actors}
    found: list[tuple[Box, float]] = []
    for actor in now.actors:
        was = old.pop(actor.ident, None)
        if was is None or was.box != actor.box or was.bend != actor.bend or actor.rope is not None:
            found.append((actor.box, 1.0))
            if was is not None:
                found.append((was.box, LATEST_SHARE))
    found += [(gone.box, LATEST_SHARE) for gone in old.values()]
    at = world.layout.place
    if before.door_fraction != now.door_fraction:
        found.append(
            _span(at(place.DOOR_X - place.DOOR_HALF_W, place.DOOR_TOP), at(place.DOOR_X + place.DOOR_HALF_W, place.DOOR_BASE))
        )
    if before.lamp_on != now.lamp_on:
        found.append(_span(at(place.LAMP_X - 60, place.LAMP_Y - 60), at(place.LAMP_X + 60, place.LAMP_Y + 60)))
    if before.parcel != now.parcel:
        x, y = at(place.PARCEL_X, place.PARCEL_Y)
        found.append(((x - 0.04, y - 0.1, x + 0.04, y), 1.0))
    return found


def _span(a: tuple[float, float], b: tuple[float, float]) -> tuple[Box, float]:
    return (min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])), 1.0


def _cuts(frames: _Frames, camera: ScriptCamera, rng: np.random.Generator) -> list[int]:
    """First frames of all groups, and the end: active ones close as what stirred adds up, still ones when something begins."""
    areas, step_s = frames.areas, 1 / camera.fps
    is_active = areas > STIRS
    mean = float(areas[is_active].mean()) if is_active.any() else 1.0
    quota = mean * camera.mean_span_s * camera.fps * float(rng.uniform(0.7, 1.4))
    cuts, total, stirs = [0], 0.0, bool(is_active[:2].any())
    for index in range(1, len(areas)):
        span_s = (index - cuts[-1]) * step_s
        begins = not stirs and is_active[index]
        ceases = stirs and not is_active[max(0, index - _still_frames(camera)) : index + 1].any()
        full = stirs and span_s >= camera.t_min_s and (total >= quota or span_s >= camera.t_max_s)
        if begins or (ceases and span_s >= camera.t_min_s) or full or span_s >= camera.t_still_s:
            cuts.append(index)
            total, stirs = 0.0, bool(is_active[index])
        total += float(areas[index])
    return [*cuts, len(areas)]


def _still_frames(camera: ScriptCamera) -> int:
    """Frames without anything that stirs, after which a spell is still: one second."""
    return round(camera.fps)


def _group(
    world: World, bank: TokenBank, camera: ScriptCamera, frames: _Frames, start: int, end: int, rng: np.random.Generator
) -> ShownGroup:
    """The first frame whole, and the best blocks of the others; nothing but the first where nothing stirs."""
    rows, columns = bank.grid
    per_canvas = rows * columns
    picked = [(start, np.arange(per_canvas))]
    later = np.arange(start + 1, end)
    if len(later) and (frames.areas[start:end] > STIRS).any():
        share = np.array_split(later, camera.canvases - 1)
        for some in (one for one in share if len(one)):
            picked += _best(frames.scores[some], some, per_canvas, camera.source_frames)
    runs, vision = [], []
    for frame, blocks in picked:
        at_s = float(frames.times_s[frame])
        rows_columns = np.stack(np.divmod(blocks, columns), 1)
        vision.append(bank.draw(kinds_of_blocks(world, _state(world, at_s), rows_columns, bank.grid), rows_columns, rng))
        runs.append((at_s, len(blocks)))
    end_s = float(frames.times_s[end - 1]) + 1 / camera.fps
    return ShownGroup(runs=tuple(runs), start_s=runs[0][0], end_s=end_s, vision_VD=np.concatenate(vision))


def _best(scores_FV: np.ndarray, frames: np.ndarray, num: int, most_frames: int) -> list[tuple[int, np.ndarray]]:
    """The best `num` blocks of the best frames, frame by frame in order of time."""
    kept = np.sort(np.argsort(-scores_FV.sum(1), kind="stable")[:most_frames])
    scores_FV, frames = scores_FV[kept], frames[kept]
    ranks = np.argsort(np.argsort(-scores_FV, 1), 1)
    faded = scores_FV * (1 - FADE * ranks / scores_FV.shape[1])
    chosen = np.zeros(faded.size, bool)
    chosen[np.argsort(-faded.reshape(-1))[:num]] = True
    chosen = chosen.reshape(faded.shape)
    return [(int(frame), np.flatnonzero(row)) for frame, row in zip(frames, chosen, strict=True) if row.any()]
