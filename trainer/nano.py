"""A new model of a training run: the released layout at the sizes that the YAML gives, random weights, its own vocabulary.

In: a `TrainConfig` and a folder for the tokenizer files. Out: an `OV2Model` that is ready to train and to save.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from ov2.config import OV2Config, TextConfig, VisionConfig
from ov2.model import OV2Model
from trainer.config import TrainConfig, build
from trainer.lines import world_lines
from trainer.processes import this_process
from trainer.vocabulary import TOKENIZER, learn_vocabulary, save_vocabulary

MLP_SCALE = 0.3
COPY_SCALE = 0.3
"""How strongly the layers write at the start."""


def new_model(config: TrainConfig, folder: Path) -> OV2Model:
    """Learn the vocabulary into `folder` and make a model with random weights; or load `init_from` when it is set, with all that is written
    down about it. Of several processes the first alone writes the vocabulary."""
    torch.manual_seed(config.seed)
    if config.init_from:
        model = OV2Model.from_pretrained(config.init_from, dtype=torch.float32)
        if config.fresh_language:
            start_language(model)
    else:
        process = this_process()
        if process.is_main_process:
            save_vocabulary(learn_vocabulary(world_lines(), vocab_size=config.vocab_size), folder)
        process.wait_for_everyone()
        model = OV2Model(model_config(config, Tokenizer.from_file(str(folder / TOKENIZER))))
        model.folder = folder
        start_language(model)
    model.stream_settings = {
        **model.stream_settings,
        "tokenizer": dict(config.tokenizer),
        "max_positions": config.max_positions,
        "max_timestamp_s": config.max_timestamp_s,
    }
    return model


@torch.no_grad()
def start_language(model: OV2Model) -> None:
    """Start the language layers so that a token looks at tokens like itself and takes a little of what it sees.

    Queries begin equal to keys, and the output projection as the transpose of the values': with blocks that carry the words of what
    they show, "dog" in a question attends to dogs from the first step. Source: mimetic initialization, Trockman and Kolter 2023
    (there with a negative value product, for vision; here positive, since answers are copied from what is seen).
    """
    std = model.config.text.hidden_size**-0.5
    layers: Any = model.model.language_model.layers
    for layer in layers:
        for module in layer.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=std)
        layer.mlp.down_proj.weight.mul_(MLP_SCALE)
        attention = layer.self_attn
        repeats, head = attention.num_key_value_groups, attention.head_dim
        keys = attention.k_proj.weight.unflatten(0, (-1, head)).repeat_interleave(repeats, dim=0)
        values = attention.v_proj.weight.unflatten(0, (-1, head)).repeat_interleave(repeats, dim=0)
        attention.q_proj.weight.copy_(keys.flatten(0, 1))
        attention.o_proj.weight.copy_(COPY_SCALE * values.flatten(0, 1).T)


def model_config(config: TrainConfig, vocabulary: Tokenizer) -> OV2Config:
    """The released configuration at the run's sizes, with the special tokens where the vocabulary has them."""
    sizes = {**config.model["text_config"], "vocab_size": vocabulary.get_vocab_size()}
    text = build(TextConfig, sizes, "model.text_config")
    vision_sizes = {**config.model["vision_config"], "out_hidden_size": text.hidden_size}
    return OV2Config(
        text=text,
        vision=build(VisionConfig, vision_sizes, "model.vision_config"),
        image_token_id=_special(vocabulary, "<|image_pad|>"),
        video_token_id=_special(vocabulary, "<|video_pad|>"),
        vision_start_token_id=_special(vocabulary, "<|vision_start|>"),
        vision_end_token_id=_special(vocabulary, "<|vision_end|>"),
        tie_word_embeddings=True,
    )


def _special(vocabulary: Tokenizer, name: str) -> int:
    token = vocabulary.token_to_id(name)
    assert token is not None, f"expected {name} in the vocabulary"
    return int(token)
