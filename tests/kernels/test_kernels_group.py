"""Group attention, kernel and truth, against attention written out."""

from __future__ import annotations

import pytest
import torch
from kernel_cases import DEVICE, DTYPES, FULL, check
from ov2_kernels import group_attention
from ov2_kernels.triton import group as kernel
from torch import Tensor

LENGTHS = (3, 3, 130 * FULL, 1, 64, 40 * FULL)


def made(lengths: tuple[int, ...], heads: int, head_size: int, dtype: torch.dtype) -> list[Tensor]:
    """q, k, v as the encoder has them (slices of one projection), and angles whose neighbours differ, as the released model's do."""
    torch.manual_seed(0)
    qkv = torch.randn(sum(lengths), 3, heads, head_size).to(dtype)
    angles_PD = 3 * torch.randn(sum(lengths), head_size)
    return [*qkv.unbind(1), angles_PD.cos().to(dtype), angles_PD.sin().to(dtype)]


def written_out(q: Tensor, k: Tensor, v: Tensor, cos: Tensor, sin: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Rotation as a matrix per pair, and a mask of who is in whose group, in float64."""
    q, k, v, cos, sin = (x.double() for x in (q, k, v, cos[:, None], sin[:, None]))
    for x in (q, k):
        even, odd = x[..., 0::2].clone(), x[..., 1::2].clone()
        x[..., 0::2] = even * cos[..., 0::2] - odd * sin[..., 0::2]
        x[..., 1::2] = odd * cos[..., 1::2] + even * sin[..., 1::2]
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    scores = torch.einsum("phd,shd->hps", q, k) / q.shape[-1] ** 0.5
    return torch.einsum("hps,shd->phd", scores.masked_fill(owner[:, None] != owner, -torch.inf).softmax(-1), v)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("head_size", [32, 64, 128])
def test_the_kernel_equals_attention_written_out(head_size: int, dtype: torch.dtype) -> None:
    inputs = made(LENGTHS, 2, head_size, dtype)
    out_PHD = torch.full(inputs[0].shape, torch.nan, dtype=dtype, device=DEVICE)
    kernel.group_attention(*(x.to(DEVICE) for x in inputs), LENGTHS, out_PHD=out_PHD)
    check(out_PHD.cpu(), written_out(*inputs, LENGTHS))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_the_truth_equals_attention_written_out(dtype: torch.dtype) -> None:
    inputs = made(LENGTHS, 3, 32, dtype)
    check(group_attention(*inputs, LENGTHS), written_out(*inputs, LENGTHS))


def test_no_patches_give_nothing() -> None:
    inputs = [x.to(DEVICE) for x in made((), 2, 64, torch.float32)]
    assert kernel.group_attention(*inputs, ()).shape == (0, 2, 64)
