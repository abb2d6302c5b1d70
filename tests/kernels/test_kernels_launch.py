"""Who runs a kernel, with which configuration, and what is refused; and that every kernel builds for the GPUs it is meant for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import ov2_kernels.tune
import pytest
import torch
from kernel_cases import DEVICE, Held, PagedCase
from ov2_kernels import group_attention, quantise_kv
from ov2_kernels.dispatch import runs_kernel
from ov2_kernels.triton import configs, paged
from repository import SUPPORT

MOST_SHARED_BYTES = {80: 163 * 1024, 86: 99 * 1024, 89: 99 * 1024, 90: 227 * 1024}
"""Shared memory of one block (CUDA programming guide, technical specifications per compute capability)."""


def test_importing_the_package_does_not_import_triton() -> None:
    check = "import sys, ov2_kernels; assert 'triton' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=110)


def test_cpu_tensors_and_gradients_go_to_the_truth() -> None:
    assert not runs_kernel(torch.zeros(1))
    assert runs_kernel(torch.zeros(1, device=DEVICE)) == (DEVICE.type == "cuda")
    q = torch.randn(4, 2, 32, device=DEVICE, requires_grad=True)
    assert not runs_kernel(q)
    angles = torch.rand(4, 32, device=DEVICE)
    group_attention(q, q, q, angles, angles, (4,)).sum().backward()
    assert q.grad is not None


@pytest.mark.parametrize(("head_size", "dtype", "word"), [(48, torch.float32, "48"), (64, torch.float64, "float64")])
def test_what_no_kernel_takes_is_named(head_size: int, dtype: torch.dtype, word: str) -> None:
    case = PagedCase((Held((3,), 1),), head_size=head_size, dtype=dtype)
    with pytest.raises(ValueError, match=rf"expected .*32|bfloat16.* got .*{word}"):
        paged.paged_attention(*case.on_device())


def test_quantising_keeps_half_a_step_and_takes_silence() -> None:
    x_TKD = torch.randn(9, 2, 32)
    x_TKD[3] = 0
    values, scale_TK = quantise_kv(x_TKD, torch.int8)
    assert ((values.float() * scale_TK[..., None] - x_TKD).abs() <= scale_TK[..., None] * 0.5001).all()
    values, scale_TK = quantise_kv(x_TKD, torch.float8_e4m3fn)
    assert ((values.float() * scale_TK[..., None] - x_TKD).abs() <= x_TKD.abs() / 16 + scale_TK[..., None] * 2**-9).all()
    with pytest.raises(ValueError, match="float16"):
        quantise_kv(x_TKD, torch.float16)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(configs.CACHE_VARIABLE, str(tmp_path))
    configs._tuned.cache_clear()
    yield tmp_path
    configs._tuned.cache_clear()


def test_the_tuner_writes_the_fastest_and_launches_read_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ov2_kernels.tune, "NUM_PAGES", 2)
    times = iter(range(1000, 0, -1))

    def measure(_run: Callable[[], object]) -> float | None:
        time_ms = next(times)
        return None if time_ms % 2 else float(time_ms)

    before = configs.config_for("group", 64, torch.bfloat16, DEVICE)
    path = ov2_kernels.tune.tune(DEVICE, head_sizes=(64,), dtypes=(torch.bfloat16,), measure=measure, tell=lambda _: None)
    assert path.parent == folder
    fitting = configs.candidates("group")[::2]
    assert configs.config_for("group", 64, torch.bfloat16, DEVICE) == fitting[-1] != before
    assert configs.config_for("group", 32, torch.bfloat16, DEVICE) == configs._TABLE["group", 32, 2]


def test_a_damaged_tuner_file_says_what_to_do(folder: Path) -> None:
    configs.cache_file(DEVICE).write_text('{"group-64-bfloat16": {"rows": 3}}')
    with pytest.raises(ValueError, match="delete it, or run"):
        configs.config_for("group", 64, torch.bfloat16, DEVICE)


def test_kernels_build_for_gpus_within_their_shared_memory() -> None:
    """The serving type and the largest head; `python tests/support/kernel_builds.py 80 86 89 90` builds all."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    command = [sys.executable, str(SUPPORT / "kernel_builds.py"), "--few", "80", "90"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    builds = [json.loads(line) for line in done.stdout.splitlines()]
    assert {build["kernel"] for build in builds} == {"_attend_groups", "_attend_pages", "_merge_parts", "_make_patches"}
    for build in builds:
        assert build["has_machine_code"], build
        assert build["shared_bytes"] <= MOST_SHARED_BYTES[build["capability"]], build
