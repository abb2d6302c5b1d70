"""Attention of packed samples along their trees, with its gradient, as products of matrices.

In: queries, keys and values of samples that lie one after another, and which rows each row sees. Out: what they read. PyTorch's own attention
is exact here too, but its backward pass on a CPU took most of a step: products in bfloat16 run on matrix units, and a slice of keys costs
no copy of all of them when gradients are added in place.

A tree is cut into pieces: some rows of the trunk, or one branch; a piece sees the trunk up to somewhere, and of its own rows what a mask says.

Shape letters: T rows of all samples, H query heads, K key and value heads, G query heads of each (H / K), D head size, N rows of a piece,
S rows that it sees, its own last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.train.sample import Sample

TRUNK_ROWS = 384
"""Rows of a trunk's piece: fewer waste fewer products above the diagonal, more keep the matrix units busy."""


@dataclass(frozen=True, slots=True)
class TreePiece:
    """Rows [start, end) see rows [first, seen), and of [start, end) what a mask says. All count from the first sample's first row. `bias_NS`:
    minus infinity where a row does not see, else 0; made once for all layers."""

    start: int
    end: int
    first: int
    seen: int
    bias_NS: Tensor


@dataclass(frozen=True, slots=True)
class ForestAttention:
    """An `ov2.language.Attend` over several samples that lie one after another."""

    pieces: tuple[TreePiece, ...]
    is_compiled: bool = False

    @classmethod
    def of(cls, samples: Sequence[Sample], device: torch.device, *, is_compiled: bool = False) -> ForestAttention:
        pieces: list[TreePiece] = []
        first = 0
        for sample in samples:
            pieces += _pieces_of(sample, first, device)
            first += len(sample.input_ids)
        return cls(tuple(pieces), is_compiled)

    def __call__(self, _layer: int, q_THD: Tensor, k_TKD: Tensor, v_TKD: Tensor) -> Tensor:
        """Attention of all rows, [T, H, D]."""
        read_THD: Tensor = _Attention.apply(q_THD, k_TKD, v_TKD, self.pieces, self.is_compiled)  # type: ignore[no-untyped-call]
        return read_THD


class _Attention(torch.autograd.Function):
    """Pieces one after another; what a piece looked at is kept for the way back."""

    @staticmethod
    def forward(
        ctx: Any, q_THD: Tensor, k_TKD: Tensor, v_TKD: Tensor, pieces: tuple[TreePiece, ...], is_compiled: bool
    ) -> Tensor:
        look, _ = _elementwise(is_compiled)
        read_THD = torch.empty_like(q_THD)
        looks: list[Tensor] = []
        k_KTD, v_KTD = k_TKD.transpose(0, 1), v_TKD.transpose(0, 1)
        for piece in pieces:
            q_KMD = _by_key_head(q_THD[piece.start : piece.end], k_KTD.shape[0])
            scores_KMS = torch.bmm(q_KMD, _seen(k_KTD, piece).transpose(1, 2))
            p_KMS = look(scores_KMS, piece.bias_NS, q_THD.shape[-1] ** -0.5)
            read_THD[piece.start : piece.end] = _by_row(torch.bmm(p_KMS, _seen(v_KTD, piece)), piece.end - piece.start)
            looks.append(p_KMS)
        ctx.save_for_backward(q_THD, k_TKD, v_TKD, *looks)
        ctx.pieces, ctx.is_compiled = pieces, is_compiled
        return read_THD

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (given_THD,) = gradients
        q_THD, k_TKD, v_TKD, *looks = ctx.saved_tensors
        _, look_back = _elementwise(ctx.is_compiled)
        k_KTD, v_KTD = k_TKD.transpose(0, 1), v_TKD.transpose(0, 1)
        dq_THD = torch.empty_like(q_THD)
        # sums of many pieces: exact enough only in float32
        dk_KTD, dv_KTD = (torch.zeros(x.shape, dtype=torch.float32, device=x.device) for x in (k_KTD, v_KTD))
        for piece, p_KMS in zip(ctx.pieces, looks, strict=True):
            rows = slice(piece.start, piece.end)
            q_KMD, given_KMD = (_by_key_head(x[rows], k_KTD.shape[0]) for x in (q_THD, given_THD))
            _add_seen(dv_KTD, piece, torch.bmm(p_KMS.transpose(1, 2), given_KMD))
            dp_KMS = torch.bmm(given_KMD, _seen(v_KTD, piece).transpose(1, 2))
            ds_KMS = look_back(dp_KMS, p_KMS, q_THD.shape[-1] ** -0.5)
            dq_THD[rows] = _by_row(torch.bmm(ds_KMS, _seen(k_KTD, piece)), piece.end - piece.start)
            _add_seen(dk_KTD, piece, torch.bmm(ds_KMS.transpose(1, 2), q_KMD))
        return dq_THD, dk_KTD.transpose(0, 1).to(k_TKD.dtype), dv_KTD.transpose(0, 1).to(v_TKD.dtype), None, None


def _look(scores_KMS: Tensor, bias_NS: Tensor, scale: float) -> Tensor:
    """Shares of attention."""
    scores_KGNS = scores_KMS.view(scores_KMS.shape[0], -1, *bias_NS.shape).float() * scale
    shares_KGNS = torch.softmax(scores_KGNS + bias_NS, -1)
    return shares_KGNS.to(scores_KMS.dtype).view(scores_KMS.shape)


def _look_back(dp_KMS: Tensor, p_KMS: Tensor, scale: float) -> Tensor:
    """Gradient of scores, given that of the shares."""
    p, dp = p_KMS.float(), dp_KMS.float()
    return (p * (dp - (p * dp).sum(-1, keepdim=True)) * scale).to(dp_KMS.dtype)


@lru_cache(maxsize=2)
def _elementwise(is_compiled: bool) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    if not is_compiled:
        return _look, _look_back
    return torch.compile(_look, dynamic=True), torch.compile(_look_back, dynamic=True)


def _by_key_head(x_NHD: Tensor, num_key_heads: int) -> Tensor:
    """[K, G x N, D]: rows of the query heads that share a key head."""
    num, heads, size = x_NHD.shape
    return x_NHD.view(num, num_key_heads, heads // num_key_heads, size).permute(1, 2, 0, 3).reshape(num_key_heads, -1, size)


def _by_row(x_KMD: Tensor, num: int) -> Tensor:
    """[N, H, D] of [K, G x N, D]."""
    key_heads, _, size = x_KMD.shape
    return x_KMD.view(key_heads, -1, num, size).permute(2, 0, 1, 3).reshape(num, -1, size)


def _seen(x_KTD: Tensor, piece: TreePiece) -> Tensor:
    """Rows [K, S, D] that a piece sees."""
    if piece.seen == piece.start:  # they touch: no copy
        return x_KTD[:, piece.first : piece.end]
    return torch.cat((x_KTD[:, piece.first : piece.seen], x_KTD[:, piece.start : piece.end]), 1)


def _add_seen(into_KTD: Tensor, piece: TreePiece, x_KSD: Tensor) -> None:
    num_own = piece.end - piece.start
    into_KTD[:, piece.first : piece.seen] += x_KSD[:, :-num_own]
    into_KTD[:, piece.start : piece.end] += x_KSD[:, -num_own:]


def _pieces_of(sample: Sample, first: int, device: torch.device) -> list[TreePiece]:
    """A sample's pieces, its first row being row `first` of all."""
    pieces = []
    for start in range(0, sample.tree.trunk_end, TRUNK_ROWS):
        end = min(start + TRUNK_ROWS, sample.tree.trunk_end)
        own_NN = np.tri(end - start, dtype=bool)
        pieces.append(TreePiece(first + start, first + end, first, first + start, _bias(own_NN, start, device)))
    visible = visible_segments(sample.parents)
    for branch in sample.tree.branches:
        segments, order = sample.segments[branch.start : branch.end], np.arange(branch.end - branch.start)
        own_NN = visible[segments][:, segments] & (order[None, :] <= order[:, None])
        bias_NS = _bias(own_NN, branch.seen, device)
        pieces.append(TreePiece(first + branch.start, first + branch.end, first, first + branch.seen, bias_NS))
    return pieces


def _bias(own_NN: np.ndarray, num_seen: int, device: torch.device) -> Tensor:
    """Of a piece that sees `num_seen` rows before its own, and of these what `own_NN` says."""
    bias_NS = torch.zeros(len(own_NN), num_seen + len(own_NN))
    bias_NS[:, num_seen:].masked_fill_(torch.from_numpy(~own_NN), -torch.inf)
    return bias_NS.to(device)


def visible_segments(parents: np.ndarray) -> np.ndarray:
    """bool [S, S]: segment j lies on the path from i to the root (i itself included)."""
    visible = np.eye(len(parents), dtype=bool)
    for segment, parent in enumerate(parents):
        if parent >= 0:
            visible[segment] |= visible[parent]
    return visible
