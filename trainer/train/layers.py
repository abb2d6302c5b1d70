"""The language layers as training runs them: the weights of the served model, products in bfloat16 where the machine has units for them, and
all but attention compiled where there is a C++ compiler.

In: embedded tokens, positions, an `Attend`, a `Precision`. Out: hidden states, as `OV2Model.run_language` gives them; the residual stream,
norms and weights stay float32. `tests/trainer/test_layers.py` holds the two together.

Shape letters: T tokens, C width, H query heads, K key and value heads, D head size, X width of all heads together.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from ov2.language import Attend
from ov2.model import OV2Model
from trainer.config import PrecisionName


@dataclass(frozen=True, slots=True)
class Precision:
    """`dtype` of products and attention; `is_compiled`: whether layers are compiled (the first steps then take a minute longer)."""

    dtype: torch.dtype = torch.float32
    is_compiled: bool = False


EXACT = Precision()
"""What serving computes in."""


def precision_of(name: PrecisionName, device: torch.device, *, is_compiled: bool | None = None) -> Precision:
    """What a machine is fast at: bfloat16 on GPUs and on CPUs with units for it, compiled where g++ is; float32 elsewhere. `is_compiled`: None
    leaves that to the machine."""
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(name)
    if dtype is None:
        dtype = torch.bfloat16 if has_bfloat16(device) else torch.float32
    return Precision(dtype, shutil.which("g++") is not None if is_compiled is None else is_compiled)


def has_bfloat16(device: torch.device) -> bool:
    """Whether products in bfloat16 are faster than in float32 there."""
    if device.type != "cpu":
        return True
    units = torch.cpu.get_capabilities()
    return bool(units.get("amx_bf16") or units.get("avx512_bf16"))


def run_layers(model: OV2Model, x_TC: Tensor, positions_T: Tensor, attend: Attend, precision: Precision) -> Tensor:
    """Hidden states [T, C] after the last norm, float32."""
    language: Any = model.model.language_model
    config = model.config.text
    cos_1TD, sin_1TD = language.rotary_emb(x_TC, positions_T[None])
    angles = cos_1TD[0].float(), sin_1TD[0].float()
    before, after = _pieces(precision.is_compiled)
    x_TC = x_TC.float()
    for index, layer in enumerate(language.layers):
        own, mlp = layer.self_attn, layer.mlp
        projections = (own.q_proj.weight, own.k_proj.weight, own.v_proj.weight)
        norms = (layer.input_layernorm.weight, own.q_norm.weight, own.k_norm.weight)
        q_THD, k_TKD, v_TKD = before(x_TC, angles, projections, norms, config.rms_norm_eps, precision.dtype)
        read_TX = attend(index, q_THD, k_TKD, v_TKD).flatten(1)
        products = (own.o_proj.weight, mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight)
        norm = layer.post_attention_layernorm.weight
        x_TC = after(x_TC, read_TX, products, norm, config.rms_norm_eps, precision.dtype)
    return _rms_norm(x_TC, language.norm.weight, config.rms_norm_eps)


def _before_attention(
    x_TC: Tensor,
    angles: tuple[Tensor, Tensor],
    projections: tuple[Tensor, Tensor, Tensor],
    norms: tuple[Tensor, Tensor, Tensor],
    eps: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries [T, H, D], keys and values [T, K, D]."""
    of_input, of_query, of_key = norms
    size = of_query.shape[0]
    read_TC = _rms_norm(x_TC, of_input, eps).to(dtype)
    q, k, v = (linear(read_TC, weight.to(dtype)).view(len(x_TC), -1, size) for weight in projections)
    turned = (_rotated(_rms_norm(part, norm, eps), *angles).to(dtype) for part, norm in ((q, of_query), (k, of_key)))
    q_THD, k_TKD = turned
    return q_THD, k_TKD, v


def _after_attention(
    x_TC: Tensor, read_TX: Tensor, products: tuple[Tensor, Tensor, Tensor, Tensor], norm: Tensor, eps: float, dtype: torch.dtype
) -> Tensor:
    """The residual stream with what attention read, and what the feed-forward part makes of it."""
    out, gate, up, down = (weight.to(dtype) for weight in products)
    x_TC = x_TC + linear(read_TX.to(dtype), out).float()
    read_TC = _rms_norm(x_TC, norm, eps).to(dtype)
    return x_TC + linear(silu(linear(read_TC, gate)) * linear(read_TC, up), down).float()


def _rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    x = x.float()
    return weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps))


def _rotated(x_THD: Tensor, cos_TD: Tensor, sin_TD: Tensor) -> Tensor:
    first, second = x_THD.chunk(2, -1)
    return x_THD * cos_TD[:, None] + torch.cat((-second, first), -1) * sin_TD[:, None]


@lru_cache(maxsize=2)
def _pieces(is_compiled: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What runs before and after attention. Compiled for sequences of any length: every step has another."""
    if not is_compiled:
        return _before_attention, _after_attention
    return torch.compile(_before_attention, dynamic=True), torch.compile(_after_attention, dynamic=True)
