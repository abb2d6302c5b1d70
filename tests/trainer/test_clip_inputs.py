"""What clips are read by: shares of inputs, and samples of every input that are the live session."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from tiny_run import SPEC, config, model, text  # noqa: F401

from ov2 import prompt
from ov2.encode import vision_tokens
from ov2.model import OV2Model
from ov2.session import Session
from ov2.text import TextTokenizer
from trainer.config import DataConfig, TrainConfig
from trainer.data.clips import make_clip
from trainer.data.make import clip_settings
from trainer.errors import ConfigError
from trainer.train.forward import hidden_states, labelled_logits
from trainer.train.narration import Lesson
from trainer.train.sample import pack
from trainer.world import World

# ruff: noqa: F811


def test_the_inputs_of_clips_have_their_shares_and_frames_a_phase_of_their_own(config: TrainConfig) -> None:
    mixed = {"codec": 0.5, "frames": 0.375, "stills": 0.125}
    data = replace(config.data, inputs=mixed, token_rates=(20.0, 40.0, 60.0))
    made = [clip_settings(replace(config, data=data), seed) for seed in range(400)]
    kinds = Counter("codec" if s.input == "codec" else "stills" if s.canvases_per_group == 1 else "frames" for s in made)
    for kind, share in mixed.items():
        assert kinds[kind] / 400 == pytest.approx(share, abs=0.06)
    assert set(Counter(s.token_rate for s in made)) == {20.0, 40.0, 60.0}
    assert len({s.sample_phase for s in made if s.input == "frames"}) > 100
    assert made[7] == clip_settings(replace(config, data=data), 7)


def test_an_input_that_nobody_knows_is_named() -> None:
    with pytest.raises(ConfigError, match=r"data\.inputs: expected weights of codec, ippp, frames, stills, got video"):
        DataConfig(folder="x", inputs={"video": 1.0})


@pytest.mark.parametrize("kind", ["frames", "stills", "ippp"])
def test_a_sample_of_every_input_is_the_live_session_token_by_token(
    kind: str, config: TrainConfig, model: OV2Model, text: TextTokenizer
) -> None:
    settings = clip_settings(replace(config, data=replace(config.data, inputs={kind: 1.0})), 0)
    clip, world = make_clip(0, settings, SPEC), World(0, duration_s=12.0)
    moment = next(m for m in clip.moments if m.num_closed >= 2 and m.peek is not None)
    sample = pack(clip, world, text, [(moment, [Lesson("presence", "Is there a dog in view?", "yes")])])
    with torch.no_grad():
        hidden = hidden_states(model, [sample], vision_tokens(model, sample.groups))
        logits = labelled_logits(model, [sample], hidden)
    with Session(model) as session:
        for group in clip.groups[: moment.num_closed]:
            session.append(group)
        assert moment.peek is not None
        branch, peek = session.branch(), session.encode(moment.peek)
        branch.append(prompt.group_tokens(text, moment.peek, zero_s=session.zero_s), peek.vision_tokens, peek)
        ids = [*prompt.question_tokens(text, "Is there a dog in view?"), *prompt.answer_tokens(text, "yes")]
        with torch.no_grad():
            live = model.head(branch.append(ids)[-len(logits) - 1 : -1])
        branch.close()
    assert torch.allclose(logits, live, atol=2e-4)
