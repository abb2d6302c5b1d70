"""`python -m ov2_kernels.tune`: find the launch configurations that are fastest on this GPU, and write them where kernels look for them.

In: a CUDA device. Out: a JSON file (ov2_kernels.triton.configs says where). Takes minutes, most of them compiling; a live path only reads.

Shape letters: P patches, H heads, K key and value heads, D head size, T tokens, N pages of 64 slots.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch

from ov2_kernels.triton import group, paged
from ov2_kernels.triton.configs import HEAD_SIZES, OPERATIONS, Config, cache_file, cache_key, candidates, save

Run = Callable[[Config], object]
PAGE_TOKENS, NUM_PAGES = 64, 256
"""A window of 16 384 tokens."""
NUM_HEADS, NUM_KV = 32, 8
NUM_DECODES, NUM_APPENDED = 8, 720
CANVAS_PATCHES, NUM_CANVASES, NUM_VISION_HEADS = 720, 4, 16


def milliseconds(run: Callable[[], object]) -> float | None:
    """Median time of a launch; None where the configuration does not fit the device."""
    from triton.runtime.errors import OutOfResources
    from triton.testing import do_bench

    try:
        return float(do_bench(run, return_mode="median"))
    except OutOfResources:
        return None


def tune(
    device: torch.device,
    *,
    head_sizes: Iterable[int] = HEAD_SIZES,
    dtypes: Iterable[torch.dtype] = (torch.bfloat16, torch.float16),
    measure: Callable[[Callable[[], object]], float | None] = milliseconds,
    tell: Callable[[str], None] = print,
) -> Path:
    """Time every candidate for each operation, head size and type. Returns the file that was written."""
    tuned: dict[str, Config] = {}
    for head_size in head_sizes:
        for dtype in dtypes:
            for operation in OPERATIONS:
                run = _workload(operation, head_size, dtype, device)
                times = {config: measure(partial(run, config)) for config in candidates(operation)}
                fitting = {config: time_ms for config, time_ms in times.items() if time_ms is not None}
                best = min(fitting, key=fitting.__getitem__)
                tuned[cache_key(operation, head_size, dtype)] = best
                tell(f"{cache_key(operation, head_size, dtype)}: {fitting[best]:.3f} ms with {best}")
    save(cache_file(device), tuned)
    return cache_file(device)


def _workload(operation: str, head_size: int, dtype: torch.dtype, device: torch.device) -> Run:
    """A launch of about the size that the 8B model makes."""
    if operation == "group":
        num_patches = CANVAS_PATCHES * NUM_CANVASES
        q, k, v = torch.randn(num_patches, 3, NUM_VISION_HEADS, head_size, device=device, dtype=dtype).unbind(1)
        cos, sin = torch.rand(2, num_patches, head_size, device=device, dtype=dtype)
        return lambda config: group.group_attention(q, k, v, cos, sin, (num_patches,), config=config)
    num_sequences, num_new = (NUM_DECODES, 1) if operation == "decode" else (1, NUM_APPENDED)
    q = torch.randn(num_sequences * num_new, NUM_HEADS, head_size, device=device, dtype=dtype)
    k, v = torch.randn(2, num_sequences * NUM_PAGES, PAGE_TOKENS, NUM_KV, head_size, device=device, dtype=dtype)
    pages = torch.randperm(num_sequences * NUM_PAGES, device=device).int().view(num_sequences, NUM_PAGES)
    valid = torch.full_like(pages, PAGE_TOKENS)
    starts = tuple(range(0, num_sequences * num_new + 1, num_new))
    return lambda config: paged.paged_attention(q, k, v, starts, pages, valid, config=config)


def main() -> None:
    parser = argparse.ArgumentParser(description="Find the fastest launch configurations of the kernels on this GPU.")
    parser.add_argument("--device", default="cuda", help="CUDA device (default: cuda)")
    parser.add_argument("--head-sizes", type=int, nargs="+", choices=HEAD_SIZES, default=HEAD_SIZES)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("expected a CUDA device, got none; run this on the machine with the GPU")
    print(f"written: {tune(torch.device(arguments.device), head_sizes=arguments.head_sizes)}")


if __name__ == "__main__":
    main()
