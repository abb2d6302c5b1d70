"""Clips with the vision tokens of their groups in place of canvases: made once, while the encoder does not learn.

In: filmed clips and a model. Out: `tokens/clip_SEED.npz` beside a bank for scripts (`token_bank.py`), read back as clips of `ShownGroup`s. A
fifth of a step, and the decoding of every clip, are saved that way.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ov2.encode import encode
from ov2.model import OV2Model
from trainer.data.clips import Clip, ClipOf, MomentOf, load_clip
from trainer.data.filmed_clips import ClipFolder, FilmedClips
from trainer.data.shown_group import ShownGroup
from trainer.data.token_bank import TokenBank
from trainer.errors import DataError

FOLDER = "tokens"
BANK_CLIPS = 160
"""Clips of which the bank is made; more give no other kinds of blocks."""


class EncodedClips(ClipFolder[ShownGroup]):
    """Of a folder that `encode_clips` has made."""

    def __init__(self, folder: Path, num_validation: int) -> None:
        super().__init__(folder / FOLDER, num_validation, load_encoded)


def encode_clips(
    model: OV2Model, films: FilmedClips, folder: Path, *, done: Callable[[int], None] = lambda count: None
) -> None:
    """Encode all clips into `folder`, and make the bank of those that are learned from; in one rename, so that a folder is whole or not there.
    One that is there is kept: it was made by the same encoder."""
    if folder.exists():
        return
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / FOLDER).mkdir(parents=True)
    was_training = model.training
    model.eval()
    for count, path in enumerate(films.paths):
        _save(_encoded(model, load_clip(path)), partial / FOLDER / path.name)
        done(count + 1)
    banked = films.training[:BANK_CLIPS]
    TokenBank.of((load_clip(path), load_encoded(partial / FOLDER / path.name)) for path in banked).save(partial)
    model.train(was_training)
    partial.rename(folder)


def _encoded(model: OV2Model, clip: Clip) -> ClipOf[ShownGroup]:
    every = clip.every_group()
    shown = [
        ShownGroup(
            runs=group.runs,
            start_s=group.start_s,
            end_s=group.end_s,
            vision_VD=encoded.vision_tokens.cpu().numpy().astype(np.float16),
        )
        for group, encoded in zip(every, encode(model, every), strict=True)
    ]
    peeks = iter(shown[len(clip.groups) :])
    moments = tuple(
        MomentOf(moment.at_s, moment.num_closed, next(peeks) if moment.peek is not None else None) for moment in clip.moments
    )
    return ClipOf(clip.seed, clip.duration_s, tuple(shown[: len(clip.groups)]), moments)


def _save(clip: ClipOf[ShownGroup], path: Path) -> None:
    groups = clip.every_group()
    buffer = io.BytesIO()
    np.savez(
        buffer,
        seed=np.array(clip.seed),
        duration_s=np.array(clip.duration_s),
        num_groups=np.array(len(clip.groups)),
        at_s=np.array([moment.at_s for moment in clip.moments]),
        num_closed=np.array([moment.num_closed for moment in clip.moments], np.int64),
        has_peek=np.array([moment.peek is not None for moment in clip.moments], bool),
        spans=np.array([(group.start_s, group.end_s) for group in groups]).reshape(-1, 2),
        num_runs=np.array([len(group.runs) for group in groups], np.int64),
        runs=np.array([run for group in groups for run in group.runs], np.float64).reshape(-1, 2),
        vision=np.concatenate([group.vision_VD for group in groups]),
    )
    path.write_bytes(buffer.getvalue())


def load_encoded(path: Path) -> ClipOf[ShownGroup]:
    """Read a clip written by `encode_clips`. Raises `DataError` where it is missing or damaged."""
    try:
        with np.load(path) as data:
            groups = list(_groups_of(data))
            num = int(data["num_groups"])
            peeks = iter(groups[num:])
            moments = tuple(
                MomentOf(float(at_s), int(closed), next(peeks) if has else None)
                for at_s, closed, has in zip(data["at_s"], data["num_closed"], data["has_peek"], strict=True)
            )
            return ClipOf(int(data["seed"]), float(data["duration_s"]), tuple(groups[:num]), moments)
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise DataError(f"clip {path}: expected an .npz of vision tokens, got {error}; remove {path.parent.parent}") from error


def _groups_of(data: np.lib.npyio.NpzFile) -> Iterator[ShownGroup]:
    runs, vision_VD = data["runs"], data["vision"]
    run = block = 0
    for (start_s, end_s), num in zip(data["spans"], data["num_runs"], strict=True):
        own = tuple((float(seconds), int(blocks)) for seconds, blocks in runs[run : run + num])
        last = block + sum(blocks for _, blocks in own)
        yield ShownGroup(runs=own, start_s=float(start_s), end_s=float(end_s), vision_VD=vision_VD[block:last])
        run, block = run + num, last
