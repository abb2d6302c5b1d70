"""The kernels' benchmark: who is compared, what is reported of those who cannot run, and that its workloads do what they say."""

from __future__ import annotations

import json
from io import StringIO

import pytest
import torch
from ov2_bench.kernel_workloads import NANO, Workload, workloads
from ov2_bench.kernels import Result, _row, table
from rich.console import Console

CPU = torch.device("cpu")


def refuse() -> None:
    raise RuntimeError("no compiler here\nand more")


@pytest.fixture(scope="module")
def result() -> Result:
    a = torch.ones(200, 200)
    work = Workload(
        name="product",
        ours=lambda: a @ a,
        others={"twice": lambda: (a @ a, a @ a, a @ a, a @ a), "broken": refuse, "absent": "needs CUDA"},
        num_bytes=3 * a.numel() * 4,
        num_flops=2 * 200**3,
    )
    row = _row(work, CPU, 5, 10.0, 100.0)
    return {"name": "CPU", "copy_gb_per_s": 10.0, "matmul_gflop_per_s": 100.0, "operations": {"product": row}}


def test_ours_is_compared_with_the_best_that_runs_and_reasons_are_kept(result: Result) -> None:
    row = result["operations"]["product"]
    assert row["alternatives"]["broken"] == "not available: no compiler here"
    assert row["alternatives"]["absent"] == "needs CUDA"
    assert row["ratio_to_best"] == pytest.approx(row["ours_ms"] / row["alternatives"]["twice"])
    assert row["share_of_copy"] == pytest.approx(row["gb_per_s"] / 10.0)
    assert json.loads(json.dumps(result)) == result


def test_the_table_shows_every_alternative(result: Result) -> None:
    shown = StringIO()
    Console(width=120, file=shown).print(table("cpu", result))
    assert all(word in shown.getvalue() for word in ("product", "twice", "no compiler here", "needs CUDA"))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, when FlexAttention loads
def test_workloads_and_their_alternatives_do_the_same_work() -> None:
    group, decode, append, cascade, patchify = workloads(CPU)
    assert torch.allclose(decode.ours(), decode.others["SDPA, contiguous"]()[0].transpose(0, 1), atol=1e-5)
    assert torch.allclose(append.ours(), append.others["SDPA, contiguous"]()[0].transpose(0, 1), atol=1e-5)
    assert torch.allclose(cascade.ours(), cascade.others["paged, one call"](), atol=1e-5)
    assert torch.equal(patchify.ours(), patchify.others["paint, then patches"]())
    assert torch.allclose(group.ours(), group.others["SDPA, block mask"]()[0].transpose(0, 1), atol=1e-5)
    assert group.num_flops == 4 * NANO.vision_heads * 64 * (2880**2 + 720**2)
