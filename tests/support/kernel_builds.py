"""Builds every kernel, as its launcher would launch it, to machine code for GPUs that this machine need not have.

In: compute capabilities, as arguments; --few for the serving type and the largest head alone. Out: one line of JSON per build: kernel,
capability, shared memory. Run in a process of its own: tests in Triton's interpreter have no compiler. No test in here.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from ov2_kernels import PictureTaps
from ov2_kernels.triton import cascade, group, merge, paged, patchify
from ov2_kernels.triton.configs import Config
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

DTYPES = (torch.bfloat16, torch.float32)


class NoDevice:
    """A driver that names a target and has no device; Triton keeps builds per device, so each target counts as one."""

    def __init__(self, capability: int) -> None:
        self._target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self._target

    def get_current_device(self) -> int:
        return int(self._target.arch)

    def get_current_stream(self, _device: int) -> int:
        return 0


def build(kernel: Any, grid: tuple[int, ...], _like: Tensor, *args: Any, config: Config, **constants: Any) -> None:
    """In the place of `launch`."""
    built = kernel.warmup(*args, grid=grid, **constants, num_warps=config.num_warps, num_stages=config.num_stages)
    capability = driver.active.get_current_target().arch
    about = {"kernel": built.name, "capability": capability, "shared_bytes": built.metadata.shared, "config": list(config)}
    print(json.dumps(about | {"constants": str(constants), "has_machine_code": len(built.asm["cubin"]) > 0}), flush=True)


def build_all(head_sizes: tuple[int, ...], dtypes: tuple[torch.dtype, ...], quantised: tuple[torch.dtype, ...]) -> None:
    one, two = torch.zeros(1, dtype=torch.int32), torch.zeros(1, 2, dtype=torch.int32)
    for head_size in head_sizes:
        for dtype in dtypes:
            qkv = torch.zeros(4, 3, 2, head_size, dtype=dtype).unbind(1)
            angles = torch.zeros(4, head_size, dtype=dtype)
            group.group_attention(*qkv, angles, angles, (4,))
            for num_new in (1, 40):
                q = torch.zeros(num_new, 8, head_size, dtype=dtype)
                pool = torch.zeros(2, 64, 2, head_size, dtype=dtype)
                paged.paged_attention(q, pool, pool, (0, num_new), two, two, num_splits=2)
                cascade.cascade_attention(q, pool, pool, (0, num_new), one, one, two, two)
    for pool_dtype in quantised:
        pool, scale = torch.zeros(2, 64, 2, 128, dtype=pool_dtype), torch.zeros(2, 64, 2)
        q = torch.zeros(40, 8, 128, dtype=torch.bfloat16)
        paged.paged_attention(q, pool, pool, (0, 40), two, two, (scale, scale), num_splits=1)
    planes = tuple(torch.zeros(28, 28, dtype=torch.uint8) for _ in range(3))
    start, weights = torch.zeros(28, dtype=torch.int32), torch.zeros(28, 3, dtype=torch.int32)
    taps = PictureTaps(*(start, weights) * 4)
    patchify.patchify(planes, taps, torch.zeros(7), torch.zeros(1, 2, dtype=torch.int64), *torch.zeros(2, 3), torch.bfloat16)


def main(few: bool, capabilities: list[int]) -> None:
    for module in (group, merge, paged, patchify):
        module.launch = build  # type: ignore[attr-defined]
    for capability in capabilities:
        driver.set_active(NoDevice(capability))
        quantised = (torch.float8_e4m3fn if capability >= 89 else torch.int8,)
        if few:
            build_all((128,), DTYPES[:1], quantised)
        else:
            build_all((32, 64, 128), DTYPES, (torch.int8, *quantised))


if __name__ == "__main__":
    main("--few" in sys.argv, [int(argument) for argument in sys.argv[1:] if argument != "--few"])
