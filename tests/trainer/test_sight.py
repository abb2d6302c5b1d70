"""What the bundled checkpoint knows by sight: the memory's words, on a film that nobody fitted anything on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ov2.encode import encode
from ov2.model import OV2Model
from stream.memory import Summariser, phrases_of
from stream.tokenizer.settings import settings_from
from trainer.data.clips import CameraSpec, make_clip
from trainer.evaluate.memory import moved
from trainer.evaluate.sight import SUBJECTS, shows
from trainer.world import World

SEED, SECONDS = 900_101, 14.0


@pytest.fixture(scope="module")
def words() -> tuple[Summariser, np.ndarray]:
    model = OV2Model.from_pretrained("ov2-nano")
    summariser = Summariser.of(model.folder, model.stream_settings["memory"])
    assert summariser is not None
    clip = make_clip(
        SEED,
        settings_from(model.stream_settings["tokenizer"]),
        CameraSpec(duration_s=SECONDS, moment_every_s=1000.0),
    )
    with torch.inference_mode():
        groups = encode(model, [moved(group, 1e9) for group in clip.groups])
    return summariser, np.stack([summariser.word_scores(*summariser.summarise(one.vision_tokens.numpy())) for one in groups])


def test_what_a_film_shows_scores_as_seen_and_what_it_lacks_does_not(words: tuple[Summariser, np.ndarray]) -> None:
    summariser, words_GKW = words
    world = World(SEED, duration_s=SECONDS)
    truth = {subject: shows(world, subject) for subject in SUBJECTS}
    assert set(truth.values()) >= {True, False}
    for subject, is_shown in truth.items():
        if is_shown is not None:
            best = summariser.scores(phrases_of(subject, summariser.words), words_GKW).max()
            assert (best >= summariser.seen_at) == is_shown, subject


def test_a_summary_takes_a_kilobyte(words: tuple[Summariser, np.ndarray]) -> None:
    summariser, _ = words
    summary_KB, _ = summariser.summarise(np.random.default_rng(0).normal(size=(56, summariser.basis_DB.shape[0])))
    assert summary_KB.nbytes == 1024


def test_a_checkpoint_without_a_calibration_knows_nothing_by_sight() -> None:
    model = OV2Model.from_pretrained("ov2-nano")
    assert Summariser.of(model.folder, {}) is None
    assert Summariser.of(None, {"seen_at": 1.0}) is None
