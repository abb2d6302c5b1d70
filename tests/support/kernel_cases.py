"""Ragged paged batches with poison around them, and attention written out. No test in here.

On a machine with CUDA the kernels run there, at full size; elsewhere in Triton's interpreter, at sizes it can bear.

Shape letters: as in ov2_kernels.paged_attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from ov2_kernels import quantise_kv
from torch import Tensor

HAS_CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if HAS_CUDA else "cpu")
FULL = 16 if HAS_CUDA else 1
"""What lengths are multiplied by."""
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
MOST_ERROR = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.2e-2}
"""RMS of the error over RMS of the reference. The interpreter cuts bfloat16 where a GPU rounds: two units of its last place."""


def check(out: Tensor, expected: Tensor) -> None:
    """Every number is one, and the error ratio keeps to its type's limit."""
    assert out.shape == expected.shape
    assert not out.isnan().any()
    error = (out.double() - expected.double()).square().mean().sqrt() / expected.double().square().mean().sqrt()
    assert error < MOST_ERROR[out.dtype], f"error ratio {float(error):.2e}"


@dataclass(frozen=True)
class Held:
    """Tokens of each segment, each of which ends in a page of its own, and how many of the last tokens have a query."""

    segments: tuple[int, ...]
    num_new: int

    @property
    def num_tokens(self) -> int:
        return sum(self.segments)


class PagedCase:
    """Random sequences in shuffled pages; slots without a token, and pages that nobody holds, are NaN (or what is nearest)."""

    def __init__(
        self,
        sequences: Sequence[Held],
        *,
        heads: tuple[int, int] = (4, 2),
        head_size: int = 64,
        page_tokens: int = 16,
        dtype: torch.dtype = torch.float32,
        pool_dtype: torch.dtype | None = None,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        num_heads, num_kv = heads
        self.page_tokens, self.pool_dtype = page_tokens, pool_dtype
        num_pages = sum(-(-tokens // page_tokens) for one in sequences for tokens in one.segments) + 3
        shape = (num_pages, page_tokens, num_kv)
        poison = 127 if pool_dtype == torch.int8 else torch.nan
        self.k_NZKD, self.v_NZKD = (torch.full((*shape, head_size), poison).to(pool_dtype or dtype) for _ in "kv")
        self.scales = None if pool_dtype is None else (torch.full(shape, torch.nan), torch.full(shape, torch.nan))
        self._free = torch.randperm(num_pages).tolist()
        self.starts = (0, *torch.tensor([one.num_new for one in sequences]).cumsum(0).tolist())
        self.q_THD = torch.randn(self.starts[-1], num_heads, head_size).to(dtype)
        self.tokens = [
            (torch.randn(one.num_tokens, num_kv, head_size).to(dtype), torch.randn(one.num_tokens, num_kv, head_size).to(dtype))
            for one in sequences
        ]
        tables = [self._write(one.segments, *tokens) for one, tokens in zip(sequences, self.tokens, strict=True)]
        longest = max((len(pages) for pages, _ in tables), default=0) + 1
        self.pages_BL, self.valid_BL = torch.zeros(2, len(sequences), longest, dtype=torch.int32)
        for b, (pages, valid) in enumerate(tables):
            self.pages_BL[b, : len(pages)], self.valid_BL[b, : len(pages)] = torch.tensor([pages, valid])

    def _write(self, segments: Sequence[int], k_SKD: Tensor, v_SKD: Tensor) -> tuple[list[int], list[int]]:
        """Put tokens into free pages; what a quantised pool makes of them replaces them."""
        pages, valid, first = [], [], 0
        for tokens in segments:
            for begin in range(0, tokens, self.page_tokens):
                count = min(self.page_tokens, tokens - begin)
                page, rows = self._free.pop(), slice(first, first + count)
                for which, (pool, x_SKD) in enumerate(((self.k_NZKD, k_SKD), (self.v_NZKD, v_SKD))):
                    if self.scales is None:
                        pool[page, :count] = x_SKD[rows]
                    else:
                        values, scale = quantise_kv(x_SKD[rows], pool.dtype)
                        pool[page, :count], self.scales[which][page, :count] = values, scale
                        x_SKD[rows] = values.float() * scale[..., None]
                pages.append(page)
                valid.append(count)
                first += count
        return pages, valid

    def on_device(self) -> tuple[Tensor, ...]:
        """Queries, pools, starts, tables and scales, as the kernels take them."""
        q, k, v, pages, valid = (x.to(DEVICE) for x in (self.q_THD, self.k_NZKD, self.v_NZKD, self.pages_BL, self.valid_BL))
        scales = None if self.scales is None else tuple(scale.to(DEVICE) for scale in self.scales)
        return q, k, v, self.starts, pages, valid, scales  # type: ignore[return-value]

    def expected(self, prefix: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Attention written out, in float64, query by query: the last `num_new` tokens, each seeing itself and what is older."""
        outs = []
        for (first, end), (k_SKD, v_SKD) in zip(pairwise(self.starts), self.tokens, strict=True):
            if prefix is not None:
                k_SKD, v_SKD = torch.cat([prefix[0], k_SKD]), torch.cat([prefix[1], v_SKD])
            group = self.q_THD.shape[1] // k_SKD.shape[1]
            k_SHD, v_SHD = (x.double().repeat_interleave(group, 1) for x in (k_SKD, v_SKD))
            for query in range(first, end):
                seen = len(k_SHD) - (end - 1 - query)
                scores_HS = torch.einsum("hd,shd->hs", self.q_THD[query].double(), k_SHD[:seen]) / k_SHD.shape[-1] ** 0.5
                outs.append(torch.einsum("hs,shd->hd", scores_HS.softmax(-1), v_SHD[:seen]))
        return torch.stack(outs)
