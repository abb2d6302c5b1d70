"""Small models, a byte tokenizer and made-up groups for the tests of the model side. No test in here."""

from __future__ import annotations

import numpy as np
import torch
from tokenizers import Tokenizer

from ov2.canvas import CanvasGroup
from ov2.config import OV2Config, TextConfig, VisionConfig
from ov2.model import OV2Model
from ov2.text import END_OF_TEXT, IM_END, IM_START, IMAGE_PAD, VISION_END, VISION_START, TextTokenizer

torch.set_num_threads(1)  # tests of small models on few cores: threads would only wait for each other

SPECIALS = {END_OF_TEXT: 496, IM_START: 497, IM_END: 498, IMAGE_PAD: 500, VISION_START: 502, VISION_END: 503}
"""As the golden checkpoint has them: image 500, vision start 502, vision end 503."""


def byte_tokenizer_json() -> dict[str, object]:
    """A tokenizer.json in Qwen's format whose words are single bytes, with a vocabulary of 512."""
    from tokenizers.pre_tokenizers import ByteLevel

    names = sorted(ByteLevel.alphabet()) + [f"<fill{i}>" for i in range(256, 512)]
    names_by_id = dict(enumerate(names)) | {token: name for name, token in SPECIALS.items()}
    return {
        "version": "1.0",
        "added_tokens": [
            {
                "id": i,
                "content": name,
                "special": True,
                "normalized": False,
                "lstrip": False,
                "rstrip": False,
                "single_word": False,
            }
            for name, i in SPECIALS.items()
        ],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "model": {"type": "BPE", "vocab": {name: i for i, name in names_by_id.items()}, "merges": []},
    }


def byte_tokenizer() -> TextTokenizer:
    import json

    return TextTokenizer(Tokenizer.from_str(json.dumps(byte_tokenizer_json())))


def small_config(*, tied: bool = False, max_positions: int = 40_960) -> OV2Config:
    vision = VisionConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96, out_hidden_size=48)
    text = TextConfig(
        vocab_size=512,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=max_positions,
        initializer_range=0.2,
    )
    return OV2Config(
        vision=vision,
        text=text,
        image_token_id=500,
        video_token_id=501,
        vision_start_token_id=502,
        vision_end_token_id=503,
        tie_word_embeddings=tied,
    )


def small_model(seed: int = 0, **config: object) -> OV2Model:
    """Random weights, large enough that attention matters."""
    torch.manual_seed(seed)
    return OV2Model(small_config(**config)).eval()  # type: ignore[arg-type]


def made_group(
    group_id: int, start_s: float, *, canvases: int = 2, size: tuple[int, int] = (28, 56), seed: int = 0, span_s: float = 1.0
) -> CanvasGroup:
    """A group of noise, whose blocks come from two source frames a tenth of a second apart per canvas."""
    rng = np.random.default_rng((seed, group_id))
    height, width = size
    blocks = height // 28 * (width // 28)
    positions = [
        (10 * group_id + canvas, 2 * row + dy, 2 * column + dx)
        for canvas in range(canvases)
        for row in range(height // 28)
        for column in range(width // 28)
        for dy in (0, 1)
        for dx in (0, 1)
    ]
    return CanvasGroup(
        canvases=rng.integers(0, 256, (canvases, height, width, 3), dtype=np.uint8),
        positions=np.array(positions, dtype=np.int32),
        runs=tuple((start_s + 0.1 * canvas, blocks) for canvas in range(canvases)),
        group_id=group_id,
        start_s=start_s,
        end_s=start_s + span_s,
        wall_s=1_700_000_000.0 + start_s + span_s,
        closed_by="quota",
    )
