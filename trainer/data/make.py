"""Making the clips of a run, on several processes.

In: a `TrainConfig`. Out: `clip_SEED.npz` files in the data folder; those that are already there are kept.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np

from stream.tokenizer.sampled_frames import SLOTS
from stream.tokenizer.settings import TokenizerSettings, settings_from
from trainer.config import TrainConfig
from trainer.data.clips import CameraSpec, make_clip, save_clip
from trainer.errors import DataError, SeedError
from trainer.world import split_of

STILL_SLOTS = 1
"""Frames of a group that is a still."""


def camera_spec(config: TrainConfig) -> CameraSpec:
    """How the clips of a run are filmed."""
    data = config.data
    return CameraSpec(
        width=data.width,
        height=data.height,
        fps=data.fps,
        camera=data.camera,
        duration_s=data.duration_s,
        moment_every_s=data.moment_every_s,
    )


def make_clips(config: TrainConfig, *, workers: int = 1, done: Callable[[int], None] | None = None) -> None:
    """Make the clips that are missing; `done(count)` is called as they come.

    Raises:
        SeedError: a seed of the run belongs to the test split.
    """
    folder = Path(config.data.folder)
    folder.mkdir(parents=True, exist_ok=True)
    seeds = range(config.data.first_seed, config.data.first_seed + config.data.num_clips)
    for seed in (seeds[0], seeds[-1]):
        if split_of(seed) != "train":
            raise SeedError(f"training seed {seed}: expected a seed of the train split, got one of {split_of(seed)}")
    spec = camera_spec(config)
    missing = [seed for seed in seeds if not clip_path(folder, seed).exists()]
    count = len(seeds) - len(missing)
    if done:
        done(count)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        futures = {pool.submit(_make_one, seed, clip_settings(config, seed), spec, folder): seed for seed in missing}
        for future in as_completed(futures):
            if error := future.exception():
                raise DataError(f"clip of seed {futures[future]}: {error}") from error
            count += 1
            if done:
                done(count)


def clip_settings(config: TrainConfig, seed: int) -> TokenizerSettings:
    """How a clip is tokenized: its input and token rate are drawn by its seed, and so is when within its step a frame is taken: at whole
    seconds, frames would be worth more than they are."""
    data, settings, rng = config.data, settings_from(config.tokenizer), np.random.default_rng([seed, 17])
    names, shares = list(data.inputs), np.array(list(data.inputs.values()))
    kind = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    rate = float(rng.choice(data.token_rates)) if data.token_rates else settings.token_rate
    settings = replace(settings, token_rate=rate)
    if kind in ("codec", "ippp"):
        return replace(settings, input=kind)
    slots = STILL_SLOTS if kind == "stills" else SLOTS
    return replace(settings, input="frames", canvases_per_group=slots, sample_phase=float(rng.random()))


def clip_path(folder: Path, seed: int) -> Path:
    """Where the clip of a seed lies."""
    return folder / f"clip_{seed:06d}.npz"


def _end_with_parent() -> None:
    """A worker whose parent is killed would wait for its next film for ever."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _make_one(seed: int, settings: TokenizerSettings, spec: CameraSpec, folder: Path) -> None:
    save_clip(make_clip(seed, settings, spec), clip_path(folder, seed))
