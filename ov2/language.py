"""The language half: Qwen3 from transformers, with attention passed in through its attention interface.

In: embedded tokens, their positions, and an `Attend` that knows which keys each query sees. Out: hidden states after the last
norm. Training and serving run this one forward; they differ only in the `Attend` (ov2.attention, ov2.kv_sequence). Weight keys
are the released ones, which are transformers' own.

Shape letters: T tokens, C width, H query heads, K key and value heads, D head size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, Qwen3Config
from transformers.initialization import no_init_weights
from transformers.models.qwen3.modeling_qwen3 import Qwen3Model, Qwen3RotaryEmbedding

from ov2.config import TextConfig

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer index, q_THD, k_TKD, v_TKD) -> out_THD, with rotary angles already applied."""
INTERFACE = "ov2_attend"
"""Name under which transformers finds our attention."""


def _attend(
    module: nn.Module, q_1HTD: Tensor, k_1KTD: Tensor, v_1KTD: Tensor, _mask: None, *, attend: Attend, **_: Any
) -> tuple[Tensor, None]:
    """transformers' attention call, handed to the caller's `attend`. Returns [1, T, H, D] and no weights."""
    q_THD, k_TKD, v_TKD = (x[0].transpose(0, 1) for x in (q_1HTD, k_1KTD, v_1KTD))
    layer: int = module.layer_idx  # type: ignore[assignment]
    return attend(layer, q_THD, k_TKD, v_TKD)[None], None


AttentionInterface.register(INTERFACE, _attend)


class LanguageModel(Qwen3Model):  # type: ignore[no-untyped-call]
    """Qwen3 without its head, over one sequence."""

    def __init__(self, config: TextConfig) -> None:
        with no_init_weights():  # the model starts or loads its own
            super().__init__(qwen3_config(config))

    def make_angles(self, device: torch.device) -> None:
        """Make the rotary frequencies, which are not among the weights, of a model that was made without storage."""
        with device:
            self.rotary_emb = Qwen3RotaryEmbedding(self.config)

    def forward(self, x_TC: Tensor, positions_T: Tensor, attend: Attend) -> Tensor:
        """Hidden states [T, C]."""
        hidden: Tensor = (
            super()
            .forward(
                inputs_embeds=x_TC[None],
                position_ids=positions_T[None],
                attention_mask={"full_attention": None},
                use_cache=False,
                attend=attend,
            )
            .last_hidden_state[0]
        )
        return hidden


def qwen3_config(config: TextConfig) -> Qwen3Config:
    """Our sizes as transformers spells them."""
    return Qwen3Config(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        max_position_embeddings=config.max_position_embeddings,
        rms_norm_eps=config.rms_norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        attention_bias=config.attention_bias,
        initializer_range=config.initializer_range,
        use_cache=False,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation=INTERFACE,  # type: ignore[call-arg]
    )
