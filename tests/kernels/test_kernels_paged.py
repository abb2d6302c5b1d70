"""Paged attention, kernel and truth, against attention written out; nothing outside the valid slots is ever read."""

from __future__ import annotations

import pytest
import torch
from kernel_cases import DEVICE, DTYPES, FULL, Held, PagedCase, check
from ov2_kernels import paged_attention
from ov2_kernels.triton import paged as kernel

RAGGED = (Held((5, 17 * FULL, 3), 3), Held((1,), 1), Held((16, 2 * FULL), 0), Held((30 * FULL,), 19 * FULL))
"""Segments that end inside a page, one token alone, a sequence that only waits, and one that is mostly new."""
DECODES = (Held((33 * FULL, 4), 1), Held((1,), 1), Held((20, 20 * FULL, 20), 1))


def run_kernel(case: PagedCase, num_splits: int | None = None) -> torch.Tensor:
    out_THD = torch.full(case.q_THD.shape, torch.nan, dtype=case.q_THD.dtype, device=DEVICE)
    return kernel.paged_attention(*case.on_device(), num_splits=num_splits, out_THD=out_THD).cpu()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("head_size", [32, 64, 128])
@pytest.mark.parametrize("held", [RAGGED, DECODES], ids=["append", "decode"])
def test_the_kernel_equals_attention_written_out(held: tuple[Held, ...], head_size: int, dtype: torch.dtype) -> None:
    case = PagedCase(held, head_size=head_size, dtype=dtype)
    check(run_kernel(case), case.expected())


@pytest.mark.parametrize("heads", [(1, 1), (4, 4), (6, 2), (8, 1), (10, 2)], ids=str)
def test_the_kernel_shares_key_heads_among_any_number_of_query_heads(heads: tuple[int, int]) -> None:
    case = PagedCase(RAGGED, heads=heads, head_size=32)
    check(run_kernel(case), case.expected())


@pytest.mark.parametrize("num_splits", [1, 2, 5])
@pytest.mark.parametrize("page_tokens", [1, 7, 64])
def test_pages_of_any_size_split_into_any_number_of_parts_read_the_same(page_tokens: int, num_splits: int) -> None:
    case = PagedCase((*DECODES, *RAGGED), head_size=32, page_tokens=page_tokens)
    check(run_kernel(case, num_splits), case.expected())


@pytest.mark.parametrize("pool_dtype", [torch.int8, torch.float8_e4m3fn], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_quantised_pools_are_read_with_their_scales(pool_dtype: torch.dtype, dtype: torch.dtype) -> None:
    case = PagedCase(RAGGED, dtype=dtype, pool_dtype=pool_dtype)
    check(run_kernel(case, 2), case.expected())
    check(paged_attention(*case.on_device()[:-1], scales=case.on_device()[-1]).cpu(), case.expected())


@pytest.mark.parametrize("num_repeats", [1, 40])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_truth_equals_attention_written_out_padded_or_one_by_one(dtype: torch.dtype, num_repeats: int) -> None:
    case = PagedCase((*RAGGED, *DECODES) * num_repeats, heads=(6, 2), head_size=16, dtype=dtype)
    starts = torch.tensor(case.starts, dtype=torch.int32)
    out = paged_attention(case.q_THD, case.k_NZKD, case.v_NZKD, starts, case.pages_BL, case.valid_BL)
    check(out, case.expected())


@pytest.mark.parametrize("held", [(Held((3,), 0), Held((5,), 0)), ()], ids=["waiting", "none"])
def test_a_batch_without_queries_reads_nothing(held: tuple[Held, ...]) -> None:
    case = PagedCase(held)
    assert run_kernel(case).shape == (0, 4, 64)
    assert paged_attention(case.q_THD, case.k_NZKD, case.v_NZKD, case.starts, case.pages_BL, case.valid_BL).shape == (0, 4, 64)
