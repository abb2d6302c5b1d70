"""Launch configurations: a small table, and what the tuner found on this device, if it ever ran here.

In: operation, head size, element type, device. Out: a `Config`. A live path reads the tuner's file and never tunes.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch

CACHE_VARIABLE = "OV2_KERNELS_CACHE"
"""Names the folder of the tuner's files; without it, ov2_kernels in the user's cache folder."""
HEAD_SIZES = (32, 64, 128)
DTYPES = (torch.bfloat16, torch.float16, torch.float32)


class Config(NamedTuple):
    """Rows (queries times query heads of one key head) and keys of a tile, warps of a program, stages of its pipeline."""

    block_rows: int
    block_keys: int
    num_warps: int
    num_stages: int


OPERATIONS = ("group", "append", "decode")
_HALF, _SINGLE = 2, 4
"""Bytes of an element: bfloat16 and float16 launch alike."""
_TABLE = {
    ("group", 32, _HALF): Config(128, 64, 4, 3),
    ("group", 64, _HALF): Config(128, 64, 4, 3),
    ("group", 128, _HALF): Config(64, 64, 4, 2),
    ("group", 32, _SINGLE): Config(64, 32, 4, 2),
    ("group", 64, _SINGLE): Config(32, 32, 8, 2),
    ("group", 128, _SINGLE): Config(32, 32, 8, 1),
    ("append", 32, _HALF): Config(128, 64, 4, 3),
    ("append", 64, _HALF): Config(128, 64, 4, 3),
    ("append", 128, _HALF): Config(128, 64, 8, 2),
    ("append", 32, _SINGLE): Config(64, 32, 4, 2),
    ("append", 64, _SINGLE): Config(64, 32, 8, 2),
    ("append", 128, _SINGLE): Config(32, 32, 8, 2),
    ("decode", 32, _HALF): Config(16, 128, 4, 3),
    ("decode", 64, _HALF): Config(16, 128, 4, 3),
    ("decode", 128, _HALF): Config(16, 64, 4, 3),
    ("decode", 32, _SINGLE): Config(16, 64, 4, 2),
    ("decode", 64, _SINGLE): Config(16, 64, 4, 2),
    ("decode", 128, _SINGLE): Config(16, 32, 8, 2),
}
"""Fits the shared memory of every device since Ampere; tests/support/kernel_builds.py builds them all."""


def config_for(operation: str, head_size: int, dtype: torch.dtype, device: torch.device) -> Config:
    """The tuned configuration where there is one, else the table's. Raises `ValueError` for what no kernel takes."""
    check_supported(head_size, dtype)
    return _tuned(device).get(cache_key(operation, head_size, dtype)) or _TABLE[operation, head_size, dtype.itemsize]


def check_supported(head_size: int, dtype: torch.dtype) -> None:
    """Raise `ValueError` for a head size or an element type without a kernel."""
    if head_size not in HEAD_SIZES:
        raise ValueError(
            f"head size: expected {', '.join(map(str, HEAD_SIZES))} for the Triton kernels, got {head_size}; "
            f"run this model on the CPU, whose path takes any, or give it heads of one of these sizes"
        )
    if dtype not in DTYPES:
        raise ValueError(
            f"queries: expected {', '.join(map(str, DTYPES))} for the Triton kernels, got {dtype}; cast them to one of these"
        )


def candidates(operation: str) -> list[Config]:
    """What the tuner tries."""
    rows = (16,) if operation == "decode" else (32, 64, 128)
    return [
        Config(block_rows, block_keys, num_warps, num_stages)
        for block_rows in rows
        for block_keys in (32, 64, 128)
        for num_warps in (4, 8)
        for num_stages in (2, 3, 4)
    ]


def cache_key(operation: str, head_size: int, dtype: torch.dtype) -> str:
    return f"{operation}-{head_size}-{str(dtype).removeprefix('torch.')}"


def cache_file(device: torch.device) -> Path:
    """One file per device name and version of Triton."""
    import triton

    folder = os.environ.get(CACHE_VARIABLE)
    root = Path(folder) if folder else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ov2_kernels"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return root / f"{name.replace(' ', '_').replace('/', '_')}-triton{triton.__version__}.json"


def save(path: Path, tuned: dict[str, Config]) -> None:
    """Write a tuner's file, whole or not at all; what was read before is forgotten."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps({key: config._asdict() for key, config in sorted(tuned.items())}, indent=1) + "\n")
    part.replace(path)
    _tuned.cache_clear()


@lru_cache(maxsize=8)
def _tuned(device: torch.device) -> dict[str, Config]:
    """The tuner's file of a device, read once; nothing where there is none. Raises `ValueError` for one that is damaged."""
    path = cache_file(device)
    if not path.is_file():
        return {}
    try:
        return {key: Config(**values) for key, values in json.loads(path.read_text()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: expected launch configurations, got something else ({error}); delete it, or run python -m ov2_kernels.tune"
        ) from error
