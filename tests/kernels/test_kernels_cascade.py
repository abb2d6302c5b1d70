"""Cascade attention, kernel and truth: many branches over one prefix read what each would read alone."""

from __future__ import annotations

import pytest
import torch
from kernel_cases import DEVICE, DTYPES, FULL, Held, PagedCase, check
from ov2_kernels import cascade_attention, paged_attention
from ov2_kernels.triton import cascade as kernel

PREFIX = Held((4, 40 * FULL, 9), 0)
BRANCHES = (Held((5 * FULL,), 5 * FULL), Held((1,), 1), Held((18, 20), 2), Held((7,), 0), Held((33,), 1))
"""A new question, one token alone, two that go on after several segments, and one that waits."""


class CascadeCase(PagedCase):
    """The first sequence is the prefix of all others."""

    def __init__(self, branches: tuple[Held, ...] = BRANCHES, prefix: Held = PREFIX, **options: object) -> None:
        super().__init__((prefix, *branches), **options)  # type: ignore[arg-type]
        self.prefix, *self.tokens = self.tokens
        self.starts = self.starts[1:]
        entries = int((self.valid_BL[0] > 0).sum())
        self.prefix_pages_L, self.prefix_valid_L = self.pages_BL[0, :entries], self.valid_BL[0, :entries]
        self.pages_BL, self.valid_BL = self.pages_BL[1:], self.valid_BL[1:]

    def on_device(self) -> tuple[torch.Tensor, ...]:
        *others, pages, valid, scales = super().on_device()
        return *others, self.prefix_pages_L.to(DEVICE), self.prefix_valid_L.to(DEVICE), pages, valid, scales

    def truth(self) -> torch.Tensor:
        *arguments, scales = self.on_device()
        return cascade_attention(*arguments, scales=scales).cpu()


def run_kernel(case: CascadeCase, num_splits: int | None = None) -> torch.Tensor:
    out_THD = torch.full(case.q_THD.shape, torch.nan, dtype=case.q_THD.dtype, device=DEVICE)
    return kernel.cascade_attention(*case.on_device(), num_splits=num_splits, out_THD=out_THD).cpu()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("head_size", [32, 64, 128])
def test_the_kernel_equals_attention_written_out(head_size: int, dtype: torch.dtype) -> None:
    case = CascadeCase(head_size=head_size, dtype=dtype)
    check(run_kernel(case), case.expected(case.prefix))


@pytest.mark.parametrize("num_splits", [1, 3])
@pytest.mark.parametrize("heads", [(3, 3), (6, 2), (8, 1)], ids=str)
def test_the_kernel_merges_any_number_of_parts(heads: tuple[int, int], num_splits: int) -> None:
    case = CascadeCase(heads=heads, head_size=32)
    check(run_kernel(case, num_splits), case.expected(case.prefix))


@pytest.mark.parametrize("pool_dtype", [None, torch.int8, torch.float8_e4m3fn], ids=str)
@pytest.mark.parametrize("num_repeats", [1, 20])
def test_the_truth_equals_attention_written_out_padded_or_one_by_one(pool_dtype: torch.dtype | None, num_repeats: int) -> None:
    case = CascadeCase(BRANCHES * num_repeats, pool_dtype=pool_dtype)
    check(case.truth(), case.expected(case.prefix))


@pytest.mark.parametrize("pool_dtype", [torch.int8, torch.float8_e4m3fn], ids=str)
def test_the_kernel_reads_quantised_pools_with_their_scales(pool_dtype: torch.dtype) -> None:
    case = CascadeCase(pool_dtype=pool_dtype)
    check(run_kernel(case), case.expected(case.prefix))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_truth_equals_paged_attention_over_prefix_and_own_pages(dtype: torch.dtype) -> None:
    case = CascadeCase(dtype=dtype)
    pages_BL, valid_BL = (
        torch.cat([prefix_L.expand(len(BRANCHES), -1), own_BL], 1)
        for prefix_L, own_BL in ((case.prefix_pages_L, case.pages_BL), (case.prefix_valid_L, case.valid_BL))
    )
    check(case.truth(), paged_attention(case.q_THD, case.k_NZKD, case.v_NZKD, case.starts, pages_BL, valid_BL))


def test_an_empty_prefix_leaves_the_own_pages() -> None:
    case = CascadeCase(prefix=Held((), 0))
    check(case.truth(), case.expected())
    check(run_kernel(case), case.expected())


def test_scores_far_apart_merge_without_overflow() -> None:
    case = CascadeCase()
    case.q_THD *= 300.0
    check(case.truth(), case.expected(case.prefix))
    check(run_kernel(case), case.expected(case.prefix))
