"""Attention along trees, with its gradient: PyTorch's own attention under a square mask, computed another way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from trainer.train import tree_attention
from trainer.train.tree_attention import ForestAttention, TreePiece


def forest(rng: np.random.Generator) -> tuple[ForestAttention, torch.Tensor]:
    """Two samples of random trees, and what their rows see as one mask."""
    pieces, first, sizes = [], 0, []
    seen: list[tuple[int, int, int, int, np.ndarray]] = []
    for _ in range(2):
        trunk = int(rng.integers(3, 12))
        cut = int(rng.integers(1, trunk))
        for start, end in ((0, cut), (cut, trunk)):
            seen.append((first + start, first + end, first, first + start, np.tri(end - start, dtype=bool)))
        row = first + trunk
        for _ in range(int(rng.integers(0, 3))):
            num = int(rng.integers(1, 6))
            own = np.tril(rng.random((num, num)) < 0.6) | np.eye(num, dtype=bool)
            seen.append((row, row + num, first, first + int(rng.integers(1, trunk + 1)), own))
            row += num
        sizes.append(row - first)
        first = row
    mask = torch.zeros(first, first, dtype=torch.bool)
    for start, end, low, high, own in seen:
        mask[start:end, low:high] = True
        mask[start:end, start:end] = torch.from_numpy(own)
        bias = torch.zeros(end - start, high - low + end - start)
        bias[:, high - low :].masked_fill_(torch.from_numpy(~own), -torch.inf)
        pieces.append(TreePiece(start, end, low, high, bias))
    return ForestAttention(tuple(pieces)), mask


@pytest.mark.parametrize("seed", range(20))
def test_what_is_read_and_its_gradient_equal_a_masked_pass(seed: int) -> None:
    attend, mask = forest(np.random.default_rng(seed))
    torch.manual_seed(seed)
    rows = len(mask)
    ours = [torch.randn(rows, heads, 8, requires_grad=True) for heads in (4, 2, 2)]
    theirs = [x.detach().clone().requires_grad_() for x in ours]
    given = torch.randn(rows, 4, 8)
    read = attend(0, *ours)
    read.backward(given)
    q, k, v = (x.transpose(0, 1) for x in theirs)
    expected = scaled_dot_product_attention(q, k.repeat_interleave(2, 0), v.repeat_interleave(2, 0), attn_mask=mask)
    expected.backward(given.transpose(0, 1))
    assert torch.allclose(read, expected.transpose(0, 1), atol=1e-5)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        assert torch.allclose(mine.grad, other.grad, atol=1e-5)


def test_a_trunk_longer_than_a_piece_is_cut_and_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class Trunk:
        """The parts of a sample that say how its rows lie."""

        input_ids = np.zeros(50, np.int64)
        parents = np.array([-1])
        segments = np.zeros(50, np.int64)

        class tree:  # noqa: N801
            trunk_end = 50
            branches = ()

    monkeypatch.setattr(tree_attention, "TRUNK_ROWS", 16)
    attend = ForestAttention.of([Trunk], torch.device("cpu"))  # type: ignore[list-item]
    assert len(attend.pieces) == 4
    torch.manual_seed(1)
    q, k, v = torch.randn(50, 2, 8), torch.randn(50, 1, 8), torch.randn(50, 1, 8)
    parts = (q.transpose(0, 1), *(x.transpose(0, 1).repeat_interleave(2, 0) for x in (k, v)))
    expected = scaled_dot_product_attention(*parts, is_causal=True).transpose(0, 1)
    assert torch.allclose(attend(0, q, k, v), expected, atol=1e-5)
