"""The vision half: patches to vision tokens. Module names spell the released weight keys.

In: normalised patches in block layout, the canvases they fill, and the source position of each. Out: one token per block.

Shape letters: P patches, C encoder width, H heads, D head size, V vision tokens (P / 4), G rows of `image_grid_thw`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ov2_kernels import group_attention
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from ov2.canvas import BLOCK_PATCHES
from ov2.config import VisionConfig
from ov2.rope import patch_angles


class PatchEmbedding(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        side = config.patch_size
        self.patch_embedding = nn.Conv2d(config.num_channels, config.hidden_size, side, stride=side, bias=False)

    def forward(self, pixels_PX: Tensor) -> Tensor:
        return linear(pixels_PX, self.patch_embedding.weight.flatten(1))


class GroupSelfAttention(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x_PC: Tensor, cos_PD: Tensor, sin_PD: Tensor, lengths: Sequence[int]) -> Tensor:
        q_PHD, k_PHD, v_PHD = self.qkv(x_PC).unflatten(-1, (3, self.num_heads, -1)).unbind(1)
        read_PC: Tensor = self.proj(group_attention(q_PHD, k_PHD, v_PHD, cos_PD, sin_PD, lengths).flatten(1))
        return read_PC


class EncoderMLP(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x_PC: Tensor) -> Tensor:
        out_PC: Tensor = self.fc2(gelu(self.fc1(x_PC)))
        return out_PC


class EncoderLayer(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = GroupSelfAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = EncoderMLP(config)

    def forward(self, x_PC: Tensor, cos_PD: Tensor, sin_PD: Tensor, lengths: Sequence[int]) -> Tensor:
        x_PC = x_PC + self.self_attn(self.layer_norm1(x_PC), cos_PD, sin_PD, lengths)
        out_PC: Tensor = x_PC + self.mlp(self.layer_norm2(x_PC))
        return out_PC


class Encoder(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_hidden_layers))

    def forward(self, x_PC: Tensor, cos_PD: Tensor, sin_PD: Tensor, lengths: Sequence[int]) -> Tensor:
        for layer in self.layers:
            x_PC = layer(x_PC, cos_PD, sin_PD, lengths)
        return x_PC


class Merger(nn.Module):
    """Four neighbouring patches become one token of the language model's width."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        wide = config.hidden_size * BLOCK_PATCHES
        self.ln_q = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = nn.Sequential(nn.Linear(wide, wide), nn.GELU(), nn.Linear(wide, config.out_hidden_size))

    def forward(self, x_PC: Tensor) -> Tensor:
        merged: Tensor = self.mlp(self.ln_q(x_PC).unflatten(0, (-1, BLOCK_PATCHES)).flatten(1))
        return merged


class VisionTower(nn.Module):
    """Encoder and merger."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = PatchEmbedding(config)
        self.layernorm_pre = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.encoder = Encoder(config)
        self.merger = Merger(config)

    def forward(self, pixels_PX: Tensor, grid_thw_G3: Tensor, positions_P3: Tensor) -> Tensor:
        """Vision tokens [V, out_hidden_size], in the order of the patches.

        Windows of one size are brought together first, so that the encoder attends to them as one batch.
        """
        lengths = window_lengths(grid_thw_G3, self.config.frame_windows_size)
        assert sum(lengths) == pixels_PX.shape[0] == positions_P3.shape[0], "grid, pixels and positions: patches differ"
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        moved = order != list(range(len(lengths)))
        if moved:
            starts = torch.tensor(lengths).cumsum(0) - torch.tensor(lengths)
            index_P = torch.cat([torch.arange(lengths[i]) + starts[i] for i in order]).to(pixels_PX.device)
            pixels_PX, positions_P3 = pixels_PX[index_P], positions_P3[index_P]
        cos_PD, sin_PD = patch_angles(positions_P3, self.config.head_size, self.config.rope_theta, pixels_PX.dtype)
        x_PC = self.layernorm_pre(self.embeddings(pixels_PX))
        tokens_VE: Tensor = self.merger(self.encoder(x_PC, cos_PD, sin_PD, [lengths[i] for i in order]))
        if moved:
            back_V = torch.empty_like(index_P[::BLOCK_PATCHES])
            back_V[index_P[::BLOCK_PATCHES] // BLOCK_PATCHES] = torch.arange(back_V.numel(), device=back_V.device)
            tokens_VE = tokens_VE[back_V]
        return tokens_VE


def window_lengths(grid_thw_G3: Tensor, window: int) -> list[int]:
    """Patches of every attention window: each grid row [canvases, rows, columns] in steps of `window` canvases."""
    lengths = []
    for canvases, rows, columns in grid_thw_G3.tolist():
        lengths += [min(window, canvases - first) * rows * columns for first in range(0, canvases, window)]
    return lengths
